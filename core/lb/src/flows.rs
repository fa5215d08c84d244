//! Clients that came back: by which connection one is reached whose former connection is gone.
//!
//! A tag names the connection that its dialog was made on. When that one is gone, another takes its place only if the
//! client has proven itself on it: by a request of the same dialog with the tag of the dialog (made here for this call,
//! and known to its parties alone), or by registering the same address of record with the same contact, and a server
//! having answered that with success. So a stranger takes over nobody's calls, and the client that lost its connection
//! gets the next request on its new one.
//!
//! A telephone that changes its network leaves a connection behind of whose end nobody tells us. So a registration also
//! takes the place of an open connection: of that by which the same contact was registered before, unless the two have
//! different `reg-id`s, which are flows side by side (RFC 5626 §4.2).

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};

use base::{Duration, Time};
use sip::ConnectionId;

use crate::affinity::tag::PeerConnection;

/// Connections of one worker: as many as a slot number tells apart.
const SLOTS: usize = 1 << 16;
const OPEN: u64 = 1 << 32;
/// Clients that are remembered; more than four workers can have connections at the default limit.
const FLOWS_MAX: usize = 1 << 18;
/// REGISTERs that wait for their answer at once.
const WAITING_MAX: usize = 1 << 14;
const SHARDS: usize = 16;
/// How long the answer to a REGISTER is waited for: Timer F (RFC 3261 §17.1.2.2).
const WAITING_TIME: Duration = Duration::from_secs(32);
/// Between two looks for entries that have lost their use, in a shard that is full.
const SWEEP_PAUSE: Duration = Duration::from_secs(1);

/// What a client proved, as a keyed hash.
pub(crate) type Proof = u64;

/// What was proven, and where.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Proven {
    pub(crate) proof: Proof,
    pub(crate) flow: PeerConnection,
    /// Of a registration (RFC 5626 §4.2.1); 0: it has none.
    pub(crate) reg_id: u32,
}

#[derive(Debug)]
struct Waiting {
    proven: Proven,
    until: Time,
}

#[derive(Debug)]
struct Known {
    flow: PeerConnection,
    reg_id: u32,
    /// The connection that `flow` has taken the place of.
    before: Option<PeerConnection>,
}

#[derive(Debug, Default)]
struct Shard {
    known: HashMap<Proof, Known>,
    /// By the branch and the address of record of the REGISTER.
    waiting: HashMap<u64, Waiting>,
    swept: Time,
}

#[derive(Debug)]
pub struct Flows {
    /// For each worker and slot the generation of the connection that is open there, marked by [`OPEN`].
    open: Vec<OnceLock<Box<[AtomicU64]>>>,
    shards: [Mutex<Shard>; SHARDS],
}

impl Flows {
    pub fn new(workers: u8) -> Flows {
        Flows {
            open: (0..workers.max(1)).map(|_| OnceLock::new()).collect(),
            shards: std::array::from_fn(|_| Mutex::default()),
        }
    }

    fn slot(&self, id: ConnectionId) -> Option<&AtomicU64> {
        let worker = self.open.get(usize::from(id.worker))?;
        let slots = worker.get_or_init(|| (0..SLOTS).map(|_| AtomicU64::new(0)).collect());
        slots.get(usize::from(id.slot))
    }

    /// The worker has had a message over this connection of its own.
    pub(crate) fn heard(&self, id: ConnectionId) {
        let mark = OPEN | u64::from(id.generation);
        if let Some(slot) = self.slot(id).filter(|slot| slot.load(Relaxed) != mark) {
            slot.store(mark, Relaxed);
        }
    }

    /// The worker reports that a connection of its own is gone.
    pub(crate) fn closed(&self, id: ConnectionId) {
        if self.is_open(id)
            && let Some(slot) = self.slot(id)
        {
            slot.store(0, Relaxed);
        }
    }

    /// Whether the connection has been heard and is not gone.
    pub(crate) fn is_open(&self, id: ConnectionId) -> bool {
        self.slot(id).is_some_and(|slot| slot.load(Relaxed) == OPEN | u64::from(id.generation))
    }

    /// The client has proven itself on this connection. False: there is no room to remember it.
    pub(crate) fn learn(&self, now: Time, proven: Proven) -> bool {
        let Proven { proof, flow, reg_id } = proven;
        let mut shard = self.shard(proof);
        if shard.known.len() >= FLOWS_MAX / SHARDS && !shard.known.contains_key(&proof) {
            self.sweep(&mut shard, now);
            if shard.known.len() >= FLOWS_MAX / SHARDS {
                return false;
            }
        }
        let before = match shard.known.get(&proof) {
            Some(known) if known.reg_id != reg_id => None,
            Some(known) if known.flow == flow => known.before,
            Some(known) => Some(known.flow),
            None => None,
        };
        shard.known.insert(proof, Known { flow, reg_id, before });
        true
    }

    /// The connection on which the client has proven this last, while it is open.
    pub(crate) fn find(&self, proof: Proof) -> Option<PeerConnection> {
        let flow = self.shard(proof).known.get(&proof)?.flow;
        self.is_open(flow.id).then_some(flow)
    }

    /// The open connection on which the client has proven this in place of that one.
    pub(crate) fn instead_of(&self, before: PeerConnection, proof: Proof) -> Option<PeerConnection> {
        let flow = self.shard(proof).known.get(&proof).filter(|known| known.before == Some(before))?.flow;
        self.is_open(flow.id).then_some(flow)
    }

    /// A REGISTER goes on to a server: what it will have proven if the server says yes. False: there is no room.
    pub(crate) fn asked(&self, now: Time, asked: u64, proven: Proven) -> bool {
        let mut shard = self.shard(asked);
        if shard.waiting.len() >= WAITING_MAX / SHARDS && !shard.waiting.contains_key(&asked) {
            self.sweep(&mut shard, now);
            if shard.waiting.len() >= WAITING_MAX / SHARDS {
                return false;
            }
        }
        shard.waiting.insert(asked, Waiting { proven, until: now + WAITING_TIME });
        true
    }

    /// The final answer to that REGISTER has come: what it proves if that is one of success.
    pub(crate) fn answered(&self, now: Time, asked: u64) -> Option<Proven> {
        let waiting = self.shard(asked).waiting.remove(&asked)?;
        (now < waiting.until).then_some(waiting.proven)
    }

    fn sweep(&self, shard: &mut Shard, now: Time) {
        if now.since(shard.swept) < SWEEP_PAUSE && shard.swept != Time::ZERO {
            return;
        }
        shard.swept = now;
        shard.known.retain(|_, known| self.is_open(known.flow.id));
        shard.waiting.retain(|_, waiting| now < waiting.until);
    }

    fn shard(&self, key: u64) -> MutexGuard<'_, Shard> {
        self.shards[key as usize % SHARDS].lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(slot: u16, generation: u32) -> ConnectionId {
        ConnectionId { worker: 1, slot, generation }
    }

    fn flow(slot: u16, generation: u32) -> PeerConnection {
        PeerConnection { listener: 3, id: id(slot, generation) }
    }

    fn proven(proof: Proof, slot: u16) -> Proven {
        Proven { proof, flow: flow(slot, 0), reg_id: 0 }
    }

    /// With connections 0 to 3 open.
    fn heard() -> Flows {
        let flows = Flows::new(2);
        (0..4).for_each(|slot| flows.heard(id(slot, 0)));
        flows
    }

    #[test]
    fn a_connection_is_open_from_its_first_message_to_its_end() {
        let flows = heard();
        assert!(flows.is_open(id(1, 0)) && !flows.is_open(id(1, 1)) && !flows.is_open(id(7, 0)));
        flows.closed(id(1, 1));
        assert!(flows.is_open(id(1, 0)), "another was closed");
        flows.closed(id(1, 0));
        assert!(!flows.is_open(id(1, 0)));
        let foreign = ConnectionId { worker: 200, slot: 0, generation: 0 };
        flows.heard(foreign);
        assert!(!flows.is_open(foreign), "of no worker of ours");
    }

    #[test]
    fn the_last_connection_that_was_proven_is_found_while_it_is_open() {
        let flows = heard();
        assert_eq!(flows.find(5), None);
        assert!(flows.learn(Time::ZERO, proven(5, 1)) && flows.learn(Time::ZERO, proven(5, 2)));
        assert_eq!(flows.find(5), Some(flow(2, 0)));
        flows.closed(id(2, 0));
        assert_eq!(flows.find(5), None);
    }

    #[test]
    fn a_registration_takes_the_place_of_the_one_before_it() {
        let flows = heard();
        let instead_of = |slot| flows.instead_of(flow(slot, 0), 5);
        flows.learn(Time::ZERO, proven(5, 1));
        assert_eq!(instead_of(1), None);
        flows.learn(Time::ZERO, proven(5, 2));
        assert_eq!((instead_of(1), instead_of(2), instead_of(3)), (Some(flow(2, 0)), None, None));
        flows.learn(Time::ZERO, proven(5, 2));
        assert_eq!(instead_of(1), Some(flow(2, 0)), "refreshed");
        flows.learn(Time::ZERO, Proven { reg_id: 2, ..proven(5, 3) });
        assert_eq!((instead_of(1), instead_of(2)), (None, None), "a flow beside it");
        flows.learn(Time::ZERO, Proven { reg_id: 2, ..proven(5, 0) });
        assert_eq!(instead_of(3), Some(flow(0, 0)));
        flows.closed(id(0, 0));
        assert_eq!(instead_of(3), None);
    }

    #[test]
    fn a_register_proves_nothing_until_it_is_answered_in_time() {
        let flows = heard();
        assert!(flows.asked(Time::ZERO, 10, proven(5, 1)) && flows.asked(Time::ZERO, 11, proven(6, 1)));
        assert_eq!(flows.find(5), None);
        assert_eq!(flows.answered(Time::from_secs(1), 10), Some(proven(5, 1)));
        assert_eq!(flows.answered(Time::from_secs(1), 10), None, "answered before");
        assert_eq!(flows.answered(Time::from_secs(33), 11), None, "too late");
        assert_eq!(flows.answered(Time::ZERO, 99), None, "never asked");
    }

    #[test]
    fn a_full_table_refuses_and_forgets_what_is_gone() {
        let flows = heard();
        let all = FLOWS_MAX / SHARDS;
        let proof = |number: usize| (number * SHARDS) as u64;
        assert!((0..all).all(|number| flows.learn(Time::ZERO, proven(proof(number), number as u16 % 2))));
        assert!(!flows.learn(Time::from_secs(5), proven(proof(all), 3)));
        flows.closed(id(1, 0));
        assert!(!flows.learn(Time::from_secs(5), proven(proof(all), 3)), "looked a moment ago");
        assert!(flows.learn(Time::from_secs(6), proven(proof(all), 3)));
        let waiting = WAITING_MAX / SHARDS;
        assert!((0..waiting).all(|number| flows.asked(Time::from_secs(9), proof(number), proven(1, 3))));
        assert!(!flows.asked(Time::from_secs(9), proof(waiting), proven(1, 3)));
        assert!(flows.asked(Time::from_secs(50), proof(waiting), proven(1, 3)));
    }
}
