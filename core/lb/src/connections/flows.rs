//! Clients that came back: which connection reaches a client whose former connection is gone.
//!
//! A tag names the connection that its dialog was made on. Another connection replaces it only if the client has proven
//! itself there: by a request of the same dialog with the copy of the tag that only this client was given
//! (`way::private_tag`); or by registering there what it had registered on the old connection, with success from a server. So
//! neither a stranger nor the other party takes over anybody's calls. A telephone that changes its network leaves a
//! connection behind, and nobody reports the end of that connection. So the last proof counts, even while the old connection
//! seems open. Registrations with different `reg-id`s do not replace each other: they are flows side by side (RFC 5626 §4.2).

mod stored;

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};

use base::{Duration, Time};
use sip::ConnectionId;

use crate::signed::tag::PeerConnection;

/// Connections of one worker: as many as a slot number can tell apart.
const SLOTS: usize = 1 << 16;
const OPEN: u64 = 1 << 32;
/// Proofs that are remembered: three for each registered client (contact, GRUU, telephone), for more clients than four
/// workers can have connections at the default limit.
const FLOWS_MAX: usize = 3 << 18;
/// REGISTERs that may wait for their answer at the same time.
const WAITING_MAX: usize = 1 << 14;
const SHARDS: usize = 16;
/// How long to wait for the answer to a REGISTER: Timer F (RFC 3261 §17.1.2.2).
const WAITING_TIME: Duration = Duration::from_secs(32);
/// How long a lost connection still leads to the telephone that registered on it, if room is short.
const TELEPHONE_TIME: Duration = Duration::from_secs(3600);
/// Time between two searches for useless entries in a full shard.
const SWEEP_PAUSE: Duration = Duration::from_secs(1);

/// A proof of a client, as a keyed hash.
pub(crate) type Proof = u64;

/// The proofs that a REGISTER gives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Registration {
    /// Address of record and contact.
    pub contact: Proof,
    /// Address of record, telephone of the user (its instance, RFC 5626 §4.1, or else its contact), and `reg-id`.
    pub telephone: Proof,
    /// Address of record and connection.
    pub here: Proof,
}

/// The connection that a client is reached by, and since when.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Known {
    pub flow: PeerConnection,
    pub since: Time,
}

#[derive(Debug)]
struct Waiting {
    registration: Registration,
    flow: PeerConnection,
    until: Time,
}

#[derive(Debug, Default)]
struct Shard {
    known: HashMap<Proof, Known>,
    /// From an address of record and a connection to the telephone that last registered there.
    telephones: HashMap<Proof, (Proof, Time)>,
    /// Keyed by the branch and the address of record of the REGISTER.
    waiting: HashMap<u64, Waiting>,
    swept: Time,
}

#[derive(Debug)]
pub struct Flows {
    /// For each worker and slot: the generation of the connection that is open there, marked by [`OPEN`].
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

    /// The worker has received a message over this connection of its own.
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

    /// Whether a message came over the connection and it is not gone.
    pub(crate) fn is_open(&self, id: ConnectionId) -> bool {
        self.slot(id).is_some_and(|slot| slot.load(Relaxed) == OPEN | u64::from(id.generation))
    }

    /// The client has proven itself on this connection. False: there is no room to remember it.
    pub(crate) fn learn(&self, now: Time, proof: Proof, flow: PeerConnection) -> bool {
        let mut shard = self.shard(proof);
        if shard.known.len() >= FLOWS_MAX / SHARDS && !shard.known.contains_key(&proof) {
            self.sweep(&mut shard, now);
            if shard.known.len() >= FLOWS_MAX / SHARDS {
                return false;
            }
        }
        let known = shard.known.entry(proof).or_insert(Known { flow, since: now });
        if known.flow != flow {
            *known = Known { flow, since: now };
        }
        true
    }

    /// The connection on which the client last gave this proof, if it is open.
    pub(crate) fn find(&self, proof: Proof) -> Option<Known> {
        let known = *self.shard(proof).known.get(&proof)?;
        self.is_open(known.flow.id).then_some(known)
    }

    /// Finds the telephone that registered here (this address of record on this connection), and the connection on which it
    /// last registered.
    pub(crate) fn follow(&self, here: Proof) -> Option<Known> {
        let (telephone, _) = *self.shard(here).telephones.get(&here)?;
        self.find(telephone)
    }

    pub(crate) fn link(&self, now: Time, here: Proof, telephone: Proof) -> bool {
        let mut shard = self.shard(here);
        if shard.telephones.len() >= FLOWS_MAX / SHARDS && !shard.telephones.contains_key(&here) {
            self.sweep(&mut shard, now);
            if shard.telephones.len() >= FLOWS_MAX / SHARDS {
                return false;
            }
        }
        shard.telephones.insert(here, (telephone, now));
        true
    }

    /// A REGISTER goes on to a server. `registration`: what it proves if the server accepts. False: there is no room.
    pub(crate) fn asked(
        &self,
        now: Time,
        asked: u64,
        registration: Registration,
        flow: PeerConnection,
    ) -> bool {
        let mut shard = self.shard(asked);
        if shard.waiting.len() >= WAITING_MAX / SHARDS && !shard.waiting.contains_key(&asked) {
            self.sweep(&mut shard, now);
            if shard.waiting.len() >= WAITING_MAX / SHARDS {
                return false;
            }
        }
        shard.waiting.insert(asked, Waiting { registration, flow, until: now + WAITING_TIME });
        true
    }

    /// The final answer to that REGISTER has come. Returns what a success proves, and on which connection.
    pub(crate) fn answered(&self, now: Time, asked: u64) -> Option<(Registration, PeerConnection)> {
        let waiting = self.shard(asked).waiting.remove(&asked)?;
        (now < waiting.until).then_some((waiting.registration, waiting.flow))
    }

    fn sweep(&self, shard: &mut Shard, now: Time) {
        if now.since(shard.swept) < SWEEP_PAUSE && shard.swept != Time::ZERO {
            return;
        }
        shard.swept = now;
        shard.known.retain(|_, known| self.is_open(known.flow.id));
        shard.telephones.retain(|_, (_, since)| now.since(*since) < TELEPHONE_TIME);
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
        assert!(flows.learn(Time::ZERO, 5, flow(1, 0)));
        assert!((1..5).all(|at| flows.learn(Time::from_secs(at), 5, flow(2, 0))));
        assert_eq!(flows.find(5), Some(Known { flow: flow(2, 0), since: Time::from_secs(1) }));
        flows.closed(id(2, 0));
        assert_eq!(flows.find(5), None);
    }

    #[test]
    fn a_register_proves_nothing_until_it_is_answered_in_time() {
        let flows = heard();
        let registration = |contact| Registration { contact, telephone: 1, here: 1 };
        assert!((5..7).all(|proof| flows.asked(Time::ZERO, proof + 5, registration(proof), flow(1, 0))));
        assert_eq!(flows.find(5), None);
        assert_eq!(flows.answered(Time::from_secs(1), 10), Some((registration(5), flow(1, 0))));
        assert_eq!(flows.answered(Time::from_secs(1), 10), None, "answered before");
        assert_eq!(flows.answered(Time::from_secs(33), 11), None, "too late");
        assert_eq!(flows.answered(Time::ZERO, 99), None, "never asked");
    }

    #[test]
    fn a_connection_leads_to_where_its_telephone_is_now() {
        let flows = heard();
        assert_eq!(flows.follow(7), None);
        assert!(flows.learn(Time::ZERO, 5, flow(1, 0)) && flows.link(Time::ZERO, 7, 5));
        assert!(flows.learn(Time::from_secs(1), 5, flow(2, 0)));
        assert_eq!(flows.follow(7), Some(Known { flow: flow(2, 0), since: Time::from_secs(1) }));
        flows.closed(id(2, 0));
        assert_eq!(flows.follow(7), None);
    }

    #[test]
    fn a_full_table_refuses_and_forgets_what_is_gone() {
        let flows = heard();
        let all = FLOWS_MAX / SHARDS;
        let proof = |number: usize| (number * SHARDS) as u64;
        assert!((0..all).all(|number| flows.learn(Time::ZERO, proof(number), flow(number as u16 % 2, 0))));
        assert!(!flows.learn(Time::from_secs(5), proof(all), flow(3, 0)));
        flows.closed(id(1, 0));
        assert!(!flows.learn(Time::from_secs(5), proof(all), flow(3, 0)), "looked a moment ago");
        assert!(flows.learn(Time::from_secs(6), proof(all), flow(3, 0)));
        let waiting = WAITING_MAX / SHARDS;
        let registration = Registration { contact: 1, telephone: 1, here: 1 };
        assert!((0..waiting).all(|number| flows.asked(
            Time::from_secs(9),
            proof(number),
            registration,
            flow(3, 0)
        )));
        assert!(!flows.asked(Time::from_secs(9), proof(waiting), registration, flow(3, 0)));
        assert!(flows.asked(Time::from_secs(50), proof(waiting), registration, flow(3, 0)));
        assert!((0..all).all(|number| flows.link(Time::from_secs(50), proof(number), 1)));
        assert!(!flows.link(Time::from_secs(60), proof(all), 1));
        assert!(flows.link(Time::from_secs(4000), proof(all), 1), "an hour later");
    }
}
