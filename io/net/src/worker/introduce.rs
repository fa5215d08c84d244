//! Workers of one process that know each other.

use std::io;
use std::sync::Arc;

use turn::Core;

use super::Worker;
use super::balance::Balance;
use crate::Spread;

/// Introduces the workers of a process to each other, so that a message reaches the worker that owns its connection, and
/// datagrams are dealt out among them. The workers are in the order of their numbers.
pub fn introduce<C: Core>(workers: &mut [Worker<C>]) -> io::Result<()> {
    let mailboxes: Vec<_> = workers.iter().map(|worker| worker.edge.mailbox()).collect();
    let counters: Vec<_> = workers.iter().map(|worker| Arc::clone(&worker.handle.counters)).collect();
    for worker in &mut *workers {
        worker.edge.mailboxes.clone_from(&mailboxes);
    }
    let [first, _, ..] = workers else { return Ok(()) };
    match first.spread {
        Spread::Flow => {}
        Spread::Message => {
            for socket in first.udp() {
                crate::spread::apply(Spread::Message, socket, counters.len())?;
            }
        }
        Spread::Auto => first.balance = Some(Balance::of(counters)),
    }
    Ok(())
}
