//! The calls that an engine has in memory. What may not be lost lies in the store; an entry that waits for nothing may go at any
//! time. Most calls that are up wait for nothing for minutes: of those only the bytes of the record are kept, in one piece, so
//! that many fit into memory and the next message finds all of a call in a few cache lines.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap, VecDeque};

use base::Time;
use state::Key;

use super::call::{Call, Known};
use super::spread::Spread;
use crate::record::{Phase, Record};

/// Entries that are looked at for one that may go.
const CANDIDATES: usize = 8;

#[derive(Debug)]
enum Entry {
    Live(Box<Call>),
    /// A call that is up and waits for nothing. No bytes: its record must be read anew.
    Packed {
        record: Box<[u8]>,
        counted: Option<Phase>,
    },
}

impl Entry {
    fn live(&self) -> Option<&Call> {
        match self {
            Entry::Live(call) => Some(call),
            Entry::Packed { .. } => None,
        }
    }

    fn live_mut(&mut self) -> Option<&mut Call> {
        match self {
            Entry::Live(call) => Some(call),
            Entry::Packed { .. } => None,
        }
    }

    fn may_go(&self) -> bool {
        self.live().is_none_or(Call::is_idle)
    }

    fn counted(&self) -> Option<Phase> {
        match self {
            Entry::Live(call) => call.counted,
            Entry::Packed { counted, .. } => *counted,
        }
    }

    /// The call, as it was packed.
    fn unpack(&mut self) -> &mut Call {
        if let Entry::Packed { record, counted } = self {
            let known = Record::read(record).map_or(Known::Unread, |record| Known::Up(Box::new(record)));
            *self = Entry::Live(Box::new(Call { known, counted: *counted, ..Call::default() }));
        }
        match self {
            Entry::Live(call) => call,
            Entry::Packed { .. } => unreachable!("unpacked above"),
        }
    }
}

/// See the head of this module.
#[derive(Debug)]
pub(super) struct Calls {
    calls: HashMap<Key, Entry, Spread>,
    /// Where records are written before they are packed.
    scratch: Vec<u8>,
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
            scratch: Vec::new(),
            alarms: BinaryHeap::new(),
            order: VecDeque::new(),
            max,
            phases: [0; Phase::ALL.len()],
        }
    }

    pub(super) fn len(&self) -> usize {
        self.calls.len()
    }

    /// A call that waits for something, or that [`Calls::wake`] has woken.
    pub(super) fn get(&self, key: Key) -> Option<&Call> {
        self.calls.get(&key)?.live()
    }

    /// See [`Calls::get`].
    pub(super) fn get_mut(&mut self, key: Key) -> Option<&mut Call> {
        self.calls.get_mut(&key)?.live_mut()
    }

    /// A call to which something happens.
    pub(super) fn wake(&mut self, key: Key) -> Option<&mut Call> {
        self.calls.get_mut(&key).map(Entry::unpack)
    }

    /// A call that is up and waits for nothing takes less memory from now on.
    pub(super) fn pack(&mut self, key: Key) {
        let Some(entry) = self.calls.get_mut(&key) else { return };
        let Entry::Live(call) = &*entry else { return };
        let Known::Up(record) = &call.known else { return };
        if !call.is_idle() || call.deadline() != Time::NEVER || record.phase() != Phase::Up {
            return;
        }
        self.scratch.clear();
        record.write(&mut self.scratch);
        *entry = Entry::Packed { record: self.scratch[..].into(), counted: call.counted };
    }

    /// The calls that wait for nothing are read anew when something happens to them.
    pub(super) fn doubt_packed(&mut self) {
        for entry in self.calls.values_mut() {
            if let Entry::Packed { record, .. } = entry {
                *record = Box::default();
            }
        }
    }

    /// A new entry. `None`: there is no room, and no entry may go.
    pub(super) fn add(&mut self, key: Key) -> Option<&mut Call> {
        if self.calls.len() >= self.max {
            self.make_room()?;
        }
        self.order.push_back(key);
        Some(self.calls.entry(key).or_insert_with(|| Entry::Live(Box::default())).unpack())
    }

    fn make_room(&mut self) -> Option<()> {
        for _ in 0..CANDIDATES {
            let key = self.order.pop_front()?;
            match self.calls.get(&key) {
                Some(entry) if entry.may_go() => {
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
        if let Some(counted) = self.calls.remove(&key).and_then(|entry| entry.counted()) {
            self.phases[counted as usize] -= 1;
        }
    }

    /// Counts the call anew: by its record if `engine` has the call.
    pub(super) fn count(&mut self, key: Key, engine: u32) {
        let Some(call) = self.get_mut(key) else { return };
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
        let Some(call) = self.calls.get_mut(&key).and_then(Entry::live_mut) else { return };
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
            let Some(call) = self.get_mut(key).filter(|call| call.armed == Some(at)) else { continue };
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

    /// Those that wait for something.
    pub(super) fn all(&self) -> impl Iterator<Item = (Key, &Call)> {
        self.calls.iter().filter_map(|(key, entry)| Some((*key, entry.live()?)))
    }

    /// See [`Calls::all`].
    pub(super) fn all_mut(&mut self) -> impl Iterator<Item = (Key, &mut Call)> {
        self.calls.iter_mut().filter_map(|(key, entry)| Some((*key, entry.live_mut()?)))
    }
}

#[cfg(test)]
mod tests {
    use state::{FORMAT, Header};

    use super::*;
    use crate::process::call::Owned;
    use crate::record::{Leg, LegState};
    use crate::secret::FarmSecret;

    const KEY: Key = Key([3; 12]);

    fn calls(state: LegState) -> (Calls, Record) {
        let mut calls = Calls::new(4, Spread::of(&FarmSecret::new([7; 32])));
        let caller = Leg { state, call_id: b"a84b4c76"[..].into(), ..Leg::default() };
        let record = Record {
            header: Header { format: FORMAT, ..Header::default() },
            birth: 17,
            legs: vec![caller],
            invite: b"Via, CSeq"[..].into(),
            ..Record::default()
        };
        calls.add(KEY).expect("there is room").known = Known::Up(Box::new(record.clone()));
        calls.count(KEY, record.header.owner);
        (calls, record)
    }

    #[test]
    fn a_call_that_is_up_and_waits_for_nothing_is_packed_until_it_is_woken() {
        let (mut calls, record) = calls(LegState::Confirmed);
        calls.pack(KEY);
        assert!(calls.get(KEY).is_none() && calls.all().next().is_none());
        assert_eq!((calls.len(), calls.counted(Phase::Up)), (1, 1));
        let Some(Call { known: Known::Up(woken), .. }) = calls.wake(KEY) else { panic!("it is up") };
        assert_eq!(**woken, record);
        calls.remove(KEY);
        assert_eq!((calls.len(), calls.counted(Phase::Up)), (0, 0));
    }

    #[test]
    fn a_packed_call_leaves_when_others_need_its_room() {
        let (mut calls, _) = calls(LegState::Confirmed);
        calls.pack(KEY);
        for other in 4..8 {
            calls.add(Key([other; 12])).expect("there is room");
        }
        assert!(calls.wake(KEY).is_none());
        assert_eq!((calls.len(), calls.counted(Phase::Up)), (4, 0));
    }

    #[test]
    fn a_call_that_rings_or_whose_event_comes_again_is_not_packed() {
        let (mut calls, _) = calls(LegState::Early);
        calls.pack(KEY);
        assert!(calls.get(KEY).is_some());
        let (mut calls, _) = self::calls(LegState::Confirmed);
        let event = Owned::TakeOver;
        calls.get_mut(KEY).expect("it is there").again.push((Time::from_secs(1), event));
        calls.pack(KEY);
        assert!(calls.get(KEY).is_some());
    }

    #[test]
    fn after_a_doubt_a_packed_call_is_read_anew() {
        let (mut calls, _) = calls(LegState::Confirmed);
        calls.pack(KEY);
        calls.doubt_packed();
        assert!(matches!(calls.wake(KEY), Some(Call { known: Known::Unread, .. })));
    }
}
