//! The calls that an engine has in memory. What may not be lost lies in the store; an entry that waits for nothing may go at any
//! time.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap, VecDeque};

use base::Time;
use sip::Flow;
use state::{Key, Stamp};

use super::shares::Place;
use super::spread::Spread;
use crate::record::{Phase, Record, Tombstone};
use crate::soft::Soft;
use crate::step::{Change, Effect, Timer};

/// Events of one call that wait while one is in work.
pub(super) const WAITING_MAX: usize = 16;

/// Entries that are looked at for one that may go.
const CANDIDATES: usize = 8;

/// An event that waits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Owned {
    /// `hops`: how often it was handed from engine to engine.
    Message {
        bytes: Box<[u8]>,
        flow: Flow,
        hops: u8,
    },
    Timer(Timer),
    TakeOver,
}

impl Owned {
    fn is_copy(&self, other: &Owned) -> bool {
        match (self, other) {
            (Owned::Message { bytes, .. }, Owned::Message { bytes: new, .. }) => bytes == new,
            (one, other) => one == other,
        }
    }
}

/// What the store has under the key, as far as this engine knows.
#[derive(Debug, Default)]
pub(super) enum Known {
    #[default]
    Unread,
    Nothing,
    Gone(Tombstone),
    Up(Box<Record>),
    /// A record that only a newer build can read, and its owner.
    Foreign(u32),
}

/// What a call waits for.
#[derive(Debug)]
pub(super) enum Busy {
    /// The record, which is not in memory.
    Reads(Owned),
    /// Whether the record in memory is still that of the store.
    Checks(Owned),
    Writes(Box<Writing>),
    /// The end of a call that the store did not take before.
    Owes,
}

/// What led to a write.
#[derive(Debug)]
pub(super) enum Cause {
    Event(Owned),
    /// The INVITE that lies in the record that is written.
    Invite {
        flow: Flow,
        hops: u8,
    },
}

#[derive(Debug)]
pub(super) struct Writing {
    pub(super) cause: Cause,
    pub(super) change: Change,
    pub(super) stamp: Stamp,
    pub(super) then: Vec<Effect>,
    /// The header of the record that the write changes.
    pub(super) before: Option<state::Header>,
    /// What happens once outside of the call, if the write takes effect.
    pub(super) emitted: Vec<state::Effect>,
}

impl Writing {
    fn invite(&self) -> &[u8] {
        match &self.change {
            Change::Create { record, .. } | Change::Put { record, .. } => &record.invite,
            Change::Del { .. } => b"",
        }
    }

    /// What led to the write, to happen anew.
    pub(super) fn event(&self) -> Owned {
        match &self.cause {
            Cause::Event(event) => event.clone(),
            Cause::Invite { flow, hops } => {
                Owned::Message { bytes: self.invite().into(), flow: *flow, hops: *hops }
            }
        }
    }

    fn is_copy(&self, other: &Owned) -> bool {
        match (&self.cause, other) {
            (Cause::Event(event), other) => event.is_copy(other),
            (Cause::Invite { .. }, Owned::Message { bytes, .. }) => self.invite() == &**bytes,
            (Cause::Invite { .. }, Owned::Timer(_) | Owned::TakeOver) => false,
        }
    }
}

/// The end of a call, as it is written when the store answers again.
#[derive(Debug)]
pub(super) struct Owed {
    /// Of the record that ends.
    pub(super) header: state::Header,
    /// `None`: the call never began.
    pub(super) tombstone: Option<Tombstone>,
    pub(super) emitted: Vec<state::Effect>,
    pub(super) at: Time,
}

#[derive(Debug, Default)]
pub(super) struct Call {
    pub(super) known: Known,
    pub(super) busy: Option<Busy>,
    pub(super) waiting: VecDeque<Owned>,
    pub(super) soft: Soft,
    /// In the share of its source, until it is answered.
    pub(super) place: Option<Place>,
    /// How often the present event has met another record.
    pub(super) attempts: u8,
    /// Events that happen anew later: timers whose write was refused, a CANCEL that found no call.
    pub(super) again: Vec<(Time, Owned)>,
    /// An event has waited once already for the call to begin.
    pub(super) looked_again: bool,
    /// The engine stood still while the store was asked: others may have gone on with the call.
    pub(super) doubted: bool,
    /// The end of the call that the store has not taken: it is written later.
    pub(super) owed: Option<Box<Owed>>,
    /// When the first timer of the application runs out, if this engine has the call.
    pub(super) application_due: Option<Time>,
    armed: Option<Time>,
    /// As what the call is counted.
    counted: Option<Phase>,
}

impl Call {
    pub(super) fn is_idle(&self) -> bool {
        let waits = self.busy.is_some() || self.owed.is_some() || !self.waiting.is_empty();
        !waits && self.soft.is_empty() && self.again.is_empty() && self.application_due.is_none()
    }

    /// Whether this engine works on the call; not if it has refused it and only waits for the store to forget it.
    pub(super) fn runs_here(&self) -> bool {
        self.owed.is_none() && (self.busy.is_some() || matches!(self.known, Known::Up(_)))
    }

    /// False: too many wait.
    pub(super) fn wait(&mut self, owned: Owned) -> Waits {
        let is_present = match &self.busy {
            Some(Busy::Reads(event) | Busy::Checks(event)) => event.is_copy(&owned),
            Some(Busy::Writes(writing)) => writing.is_copy(&owned),
            Some(Busy::Owes) | None => false,
        };
        if is_present || self.waiting.iter().any(|waiting| waiting.is_copy(&owned)) {
            return Waits::Copy;
        }
        if self.waiting.len() >= WAITING_MAX {
            return Waits::Full;
        }
        self.waiting.push_back(owned);
        Waits::Yes
    }

    pub(super) fn deadline(&self) -> Time {
        let again = self.again.iter().map(|(at, _)| *at);
        let owed = self.owed.as_ref().map(|owed| owed.at);
        // What must be written waits for the write in work: until then nothing could be done about it.
        let written = owed.into_iter().chain(self.application_due).filter(|_| self.busy.is_none());
        again.chain(written).min().unwrap_or(Time::NEVER).min(self.soft.deadline())
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Waits {
    Yes,
    Copy,
    Full,
}

/// See the head of this module.
#[derive(Debug)]
pub(super) struct Calls {
    calls: HashMap<Key, Box<Call>, Spread>,
    alarms: BinaryHeap<Reverse<(Time, Key)>>,
    /// In the order in which they came.
    order: VecDeque<Key>,
    max: usize,
    /// How many calls are counted as each [`Phase`].
    phases: [u64; Phase::ALL.len()],
}

impl Calls {
    pub(super) fn new(max: usize, spread: Spread) -> Calls {
        Calls {
            calls: HashMap::with_hasher(spread),
            alarms: BinaryHeap::new(),
            order: VecDeque::new(),
            max,
            phases: [0; Phase::ALL.len()],
        }
    }

    pub(super) fn len(&self) -> usize {
        self.calls.len()
    }

    pub(super) fn get(&self, key: Key) -> Option<&Call> {
        self.calls.get(&key).map(|call| &**call)
    }

    pub(super) fn get_mut(&mut self, key: Key) -> Option<&mut Call> {
        self.calls.get_mut(&key).map(|call| &mut **call)
    }

    /// A new entry. `None`: there is no room, and no entry may go.
    pub(super) fn add(&mut self, key: Key) -> Option<&mut Call> {
        if self.calls.len() >= self.max {
            self.make_room()?;
        }
        self.order.push_back(key);
        Some(self.calls.entry(key).or_default())
    }

    fn make_room(&mut self) -> Option<()> {
        for _ in 0..CANDIDATES {
            let key = self.order.pop_front()?;
            match self.calls.get(&key) {
                Some(call) if call.is_idle() => {
                    self.forget(key);
                    return Some(());
                }
                Some(_) => self.order.push_back(key),
                None => {}
            }
        }
        (self.calls.len() < self.max).then_some(())
    }

    fn forget(&mut self, key: Key) {
        if let Some(counted) = self.calls.remove(&key).and_then(|call| call.counted) {
            self.phases[counted as usize] -= 1;
        }
    }

    /// Counts the call anew: by its record if `engine` has the call.
    pub(super) fn count(&mut self, key: Key, engine: u32) {
        let Some(call) = self.calls.get_mut(&key) else { return };
        let phase = match &call.known {
            Known::Up(record) if record.header.owner == engine => Some(record.phase()),
            _ => None,
        };
        let before = std::mem::replace(&mut call.counted, phase);
        if before != phase {
            before.into_iter().for_each(|phase| self.phases[phase as usize] -= 1);
            phase.into_iter().for_each(|phase| self.phases[phase as usize] += 1);
        }
    }

    pub(super) fn counted(&self, phase: Phase) -> u64 {
        self.phases[phase as usize]
    }

    pub(super) fn remove(&mut self, key: Key) {
        self.forget(key);
        // Names of entries that are gone leave from the front; most go in their order.
        while self.order.front().is_some_and(|first| !self.calls.contains_key(first)) {
            self.order.pop_front();
        }
        if self.order.len() > 2 * self.calls.len() + 1024 {
            self.order.retain(|key| self.calls.contains_key(key));
        }
    }

    /// An alarm lies no later than the deadline of the call.
    pub(super) fn arm(&mut self, key: Key) {
        let Some(call) = self.calls.get_mut(&key) else { return };
        let deadline = call.deadline();
        if deadline != Time::NEVER && call.armed.is_none_or(|armed| deadline < armed) {
            call.armed = Some(deadline);
            self.alarms.push(Reverse((deadline, key)));
        }
    }

    /// A call whose deadline has come.
    pub(super) fn due(&mut self, now: Time) -> Option<Key> {
        while let Some(Reverse((at, key))) = self.alarms.peek().copied() {
            if at > now {
                return None;
            }
            self.alarms.pop();
            let Some(call) = self.calls.get_mut(&key).filter(|call| call.armed == Some(at)) else { continue };
            call.armed = None;
            if call.deadline() <= now {
                return Some(key);
            }
            self.arm(key);
        }
        None
    }

    pub(super) fn next_deadline(&self) -> Option<Time> {
        self.alarms.peek().map(|Reverse((at, _))| *at)
    }

    pub(super) fn all(&self) -> impl Iterator<Item = (Key, &Call)> {
        self.calls.iter().map(|(key, call)| (*key, &**call))
    }

    pub(super) fn all_mut(&mut self) -> impl Iterator<Item = (Key, &mut Call)> {
        self.calls.iter_mut().map(|(key, call)| (*key, &mut **call))
    }
}
