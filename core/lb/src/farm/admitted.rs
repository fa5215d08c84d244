//! How many new calls each server was given: shows between two heartbeats whether a server has room.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use crate::farm::condition::Condition;
use crate::farm::server::Server;

/// New calls given to each slot since the start. With the residual capacity of the last heartbeat, they show whether a
/// server has room now.
#[derive(Debug)]
pub struct Admitted {
    given: Box<[AtomicU64]>,
    at_limit: Box<[AtomicU64]>,
}

impl Admitted {
    pub fn new(slots: usize) -> Admitted {
        let zeros = || (0..slots).map(|_| AtomicU64::new(0)).collect();
        Admitted { given: zeros(), at_limit: zeros() }
    }

    pub fn slots(&self) -> usize {
        self.given.len()
    }

    pub fn count(&self, slot: u16) -> u64 {
        self.given.get(usize::from(slot)).map_or(0, |count| count.load(Relaxed))
    }

    /// A new call was given to the server of this slot.
    pub fn admit(&self, slot: u16) {
        if let Some(count) = self.given.get(usize::from(slot)) {
            count.fetch_add(1, Relaxed);
        }
    }

    /// New calls that came while the server of this slot was at a limit of the configuration, since the start.
    pub fn count_at_limit(&self, slot: u16) -> u64 {
        self.at_limit.get(usize::from(slot)).map_or(0, |count| count.load(Relaxed))
    }

    /// A new call came while the server of this slot was at its limit.
    pub(crate) fn note_at_limit(&self, slot: u16) {
        if let Some(count) = self.at_limit.get(usize::from(slot)) {
            count.fetch_add(1, Relaxed);
        }
    }

    /// Calls given to this server since its last heartbeat.
    pub fn since_heartbeat(&self, server: &Server) -> u32 {
        self.since(server.seat.slot, server.admitted_before)
    }

    /// Calls given to this slot since its count had these low bits.
    pub(crate) fn since(&self, slot: u16, before: u32) -> u32 {
        (self.count(slot) as u32).wrapping_sub(before)
    }

    /// The server takes new calls and has room for one more, by its own word.
    pub fn has_room(&self, server: &Server) -> bool {
        matches!(server.condition, Condition::Active | Condition::Trial)
            && server.residual_calls.is_none_or(|residual| self.since_heartbeat(server) < residual)
    }
}
