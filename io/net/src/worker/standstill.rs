//! All workers of a process stand still, so that another process can go on where they are: each ends its turn, gives its
//! connections, and waits. Then they all go on, or they all end. While they stand, what comes waits in the sockets.

use std::io;
use std::os::fd::{AsFd as _, OwnedFd};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Barrier};

use base::{Duration, Time};
use turn::{Core, Input};

use super::asked::Request;
use super::{Handle, Worker};
use crate::connections::{Pairs, Part, Relay};

/// Rounds in which workers take what they have posted to each other: a message for another worker's connection, and a
/// fallback of that message.
const ROUNDS: usize = 2;

/// All workers stand. Dropped, they go on.
#[derive(Debug)]
pub struct Standstill {
    /// In the order of the workers.
    pub parts: Vec<Part>,
    ends: Vec<Sender<()>>,
    alive: Receiver<()>,
}

impl Standstill {
    /// Asks all workers of a process, in the order of their numbers. `Err`: one of them did not come within this time; then
    /// none stands.
    pub fn of(workers: &[Handle], patience: Duration) -> io::Result<Standstill> {
        let together = Arc::new(Barrier::new(workers.len()));
        let (alive, ended) = channel();
        let (given, parts) = channel();
        let mut ends = Vec::new();
        for (worker, handle) in workers.iter().enumerate() {
            let (end, word) = channel();
            ends.push(end);
            handle.asked.ask(Request {
                worker,
                together: Arc::clone(&together),
                parts: given.clone(),
                ends: word,
                _alive: alive.clone(),
            });
            let _ = handle.wake.wake();
        }
        drop((alive, given));
        let mut all: Vec<(usize, Part)> = Vec::new();
        while all.len() < workers.len() {
            all.push(parts.recv_timeout(patience).map_err(|_| {
                io::Error::new(io::ErrorKind::TimedOut, "a worker did not end its turn in time")
            })?);
        }
        all.sort_by_key(|(worker, _)| *worker);
        Ok(Standstill { parts: all.into_iter().map(|(_, part)| part).collect(), ends, alive: ended })
    }

    /// All workers end, without a word to any peer: another process has their sockets. Workers with TLS end later, when the
    /// last of those connections has ended.
    pub fn end(self) -> Ending {
        // A worker that is gone needs no word.
        self.ends.iter().for_each(|end| _ = end.send(()));
        Ending(self.alive)
    }
}

/// The workers that have not ended yet.
#[derive(Debug)]
pub struct Ending(Receiver<()>);

impl Ending {
    /// True: all have ended within this time.
    pub fn wait(&self, patience: Duration) -> bool {
        self.0.recv_timeout(patience) == Err(RecvTimeoutError::Disconnected)
    }
}

impl<C: Core> Worker<C> {
    /// The sockets of the listeners once more, with the numbers of their listeners, to be given to another process.
    pub fn sockets(&self) -> io::Result<Vec<(u8, OwnedFd)>> {
        let udp = self.edge.udp().iter().map(|socket| (socket.listener(), socket.as_fd()));
        let all = udp.chain(self.edge.connections.listening());
        all.map(|(listener, socket)| Ok((listener, socket.try_clone_to_owned()?))).collect()
    }

    /// Goes on with the connections that a worker of another process had. To be called before [`Worker::run`]. Returns how
    /// many there were, and how many of them are not taken.
    pub fn restore(&mut self, bytes: &[u8], descriptors: Vec<OwnedFd>, now: Time) -> (usize, usize) {
        self.edge.connections.restore(bytes, descriptors, now)
    }

    /// The core, for what it is to know before the first message.
    pub fn core_mut(&mut self) -> &mut C {
        &mut self.core
    }

    /// Another process has the sockets. This worker does the TLS of its connections as long as there are any.
    pub(super) fn relay(self, pairs: Pairs) -> io::Result<()> {
        let clock = self.clock;
        self.into_relay(pairs)?.run(clock)
    }

    /// All other sockets close here: whoever holds a socket must serve it.
    fn into_relay(self, pairs: Pairs) -> io::Result<Relay> {
        self.edge.connections.into_relay(pairs)
    }

    /// Stands still until it is known how it goes on. `Some`: it ends, and relays these.
    pub(super) fn stand_still(&mut self, request: &Request) -> Option<Pairs> {
        for _ in 0..ROUNDS {
            request.together.wait();
            let now = self.clock.now();
            let (core, outbox) = (&mut self.core, &mut self.outbox);
            self.edge.take_letters(outbox, |letter, outbox| core.handle(now, Input::Letter(&letter), outbox));
            self.flush(now);
        }
        request.together.wait();
        let (part, pairs) = self.edge.connections.part();
        request.parts.send((request.worker, part)).ok()?;
        request.ends.recv().ok().map(|()| pairs)
    }
}
