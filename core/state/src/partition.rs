//! One of the 256 parts of the state tier, in memory.

mod due;
mod out;
mod records;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use crate::command::{Also, Answer, Command, Create, Del, List, Mark, Millis, Put};
use crate::header::{Header, Stamp};
use crate::key::Key;
use crate::planted::{self, Bug};
use due::Wakeups;
use out::Out;
use records::Records;

/// Bounds of one partition. A call up needs no room for its next write: only new calls are refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// From this number of bytes on, no call begins.
    pub bytes_max: usize,
    /// From this number of effects on that wait for the long-lived store, no call begins.
    pub effects_max: usize,
}

/// What a partition holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    pub records: usize,
    pub tombstones: usize,
    pub bytes: usize,
    pub effects: usize,
}

/// See the head of this module.
#[derive(Debug)]
pub struct Partition {
    bounds: Bounds,
    records: Records,
    wakeups: Wakeups,
    out: Out,
    counters: BTreeMap<Box<[u8]>, i64>,
    names: BTreeMap<Box<[u8]>, Key>,
    polls: BTreeMap<Box<[u8]>, Poll>,
    marks: BTreeMap<u32, Mark>,
    /// Bytes of counters, names and votes.
    named_bytes: usize,
}

/// Bytes that a name or a vote takes beside its own.
const NAME_BYTES: usize = 64;

/// Votes, by voter and by choice.
#[derive(Debug, Default)]
struct Poll {
    voters: BTreeMap<Box<[u8]>, Box<[u8]>>,
    choices: BTreeMap<Box<[u8]>, u64>,
}

impl Partition {
    pub fn new(bounds: Bounds) -> Partition {
        Partition {
            bounds,
            records: Records::default(),
            wakeups: Wakeups::default(),
            out: Out::default(),
            counters: BTreeMap::new(),
            names: BTreeMap::new(),
            polls: BTreeMap::new(),
            marks: BTreeMap::new(),
            named_bytes: 0,
        }
    }

    /// Sets other bounds from now on; what is there stays.
    pub fn set_bounds(&mut self, bounds: Bounds) {
        self.bounds = bounds;
    }

    /// Carries out a command. `now`: the time of this node, by which tombstones end.
    pub fn apply(&mut self, now: Millis, command: Command) -> Answer {
        self.records.bury_no_longer(now);
        match command {
            Command::Create(create) => self.create(create),
            Command::Put(put) => self.put(put),
            Command::Del(del) => self.del(now, del),
            Command::Peek { key, cached } => match self.records.get(key) {
                Some(record) if cached.is_some() && Stamp::of(record) == cached => Answer::Unchanged,
                found => Answer::Record(found.map(Box::from)),
            },
            Command::Due(due) => {
                let taken = self.wakeups.take(&due);
                let record = |key| Some((key, Box::from(self.records.get(key)?)));
                Answer::Due(taken.into_iter().filter_map(record).collect())
            }
            Command::Wake { key, expected, at } => match self.refused(key, expected) {
                Some(refused) => refused,
                None => {
                    self.wakeups.set(key, at);
                    Answer::Done
                }
            },
            Command::OwnedBy(asked) => {
                let (looked_at, next) = self.wakeups.between(asked.after, asked.until, asked.limit);
                let keys = looked_at.into_iter().filter(|key| self.records.owner(*key) == Some(asked.engine));
                Answer::Owned { keys: keys.collect(), next }
            }
            Command::List(List { after, limit }) => {
                let (looked_at, next) = self.wakeups.between(after, Millis::MAX, limit);
                let record = |key| Some((key, Box::from(self.records.get(key)?)));
                Answer::Listed { records: looked_at.into_iter().filter_map(record).collect(), next }
            }
            Command::Find { name } => Answer::Found(self.names.get(&name).copied()),
            Command::Count { poll, choice, voter } => self.count(poll, choice, voter),
            Command::Mark(mark) => self.mark(mark),
            Command::Drain { engine, now, lease, limit } => {
                Answer::Effects(self.out.lend(engine, now, lease, limit))
            }
            Command::Drained { engine, last } => match self.out.forget(engine, last) {
                true => Answer::Done,
                false => Answer::Refused(None),
            },
        }
    }

    pub fn counts(&self) -> Counts {
        Counts {
            records: self.records.len() - self.records.tombstones(),
            tombstones: self.records.tombstones(),
            bytes: self.bytes(),
            effects: self.out.len(),
        }
    }

    /// The value of a counter.
    pub fn counter(&self, name: &[u8]) -> i64 {
        self.counters.get(name).copied().unwrap_or(0)
    }

    /// Votes for a choice.
    pub fn votes(&self, poll: &[u8], choice: &[u8]) -> u64 {
        self.polls.get(poll).and_then(|poll| poll.choices.get(choice)).copied().unwrap_or(0)
    }

    fn bytes(&self) -> usize {
        self.records.bytes() + self.out.bytes() + self.named_bytes
    }

    fn create(&mut self, create: Create) -> Answer {
        if let Some(there) = self.records.get(create.key) {
            return Answer::Refused(Some(there.into()));
        }
        if self.bytes() >= self.bounds.bytes_max || self.out.len() >= self.bounds.effects_max {
            return Answer::Full;
        }
        self.records.set(create.key, create.record);
        self.wakeups.set(create.key, create.wake);
        self.also(create.key, create.also, true);
        Answer::Done
    }

    fn put(&mut self, put: Put) -> Answer {
        if let Some(refused) = self.refused(put.key, put.expected) {
            return refused;
        }
        self.records.set(put.key, put.record);
        if let Some(wake) = put.wake {
            self.wakeups.no_later_than(put.key, wake);
        }
        self.also(put.key, put.also, true);
        Answer::Done
    }

    fn del(&mut self, now: Millis, del: Del) -> Answer {
        if let Some(refused) = self.refused(del.key, del.expected) {
            return refused;
        }
        match del.tombstone {
            _ if planted::is(Bug::NoTombstone) => self.records.remove(del.key),
            Some(tombstone) => self.records.bury(del.key, tombstone, now + tombstone_ms()),
            None => self.records.remove(del.key),
        }
        self.wakeups.remove(del.key);
        self.also(del.key, del.also, false);
        Answer::Done
    }

    /// The refusal, if the record has another stamp or is a tombstone, which nothing changes.
    fn refused(&self, key: Key, expected: Stamp) -> Option<Answer> {
        let there = self.records.get(key);
        let is_expected = |record: &[u8]| Stamp::of(record) == Some(expected) || planted::is(Bug::NoFence);
        let same = there.is_some_and(|record| is_expected(record) && !Header::is_of_tombstone(record));
        (!same).then(|| Answer::Refused(there.map(Box::from)))
    }

    fn also(&mut self, key: Key, also: Also, there: bool) {
        if let Some((name, added)) = also.counter {
            if !self.counters.contains_key(&name) {
                self.named_bytes += name.len() + NAME_BYTES;
            }
            let counter = self.counters.entry(name).or_default();
            *counter = counter.wrapping_add(added);
        }
        if let Some(name) = also.name {
            let bytes = name.len() + NAME_BYTES;
            if there {
                self.named_bytes += bytes;
                let before = self.names.insert(name, key);
                self.named_bytes -= before.map_or(0, |_| bytes);
            } else if self.names.get(&name) == Some(&key) {
                // The name of a later record stays.
                self.names.remove(&name);
                self.named_bytes -= bytes;
            }
        }
        also.effects.into_iter().for_each(|effect| self.out.add(effect));
    }

    fn count(&mut self, poll: Box<[u8]>, choice: Box<[u8]>, voter: Box<[u8]>) -> Answer {
        if self.polls.get(&poll).is_some_and(|poll| poll.voters.contains_key(&voter)) {
            return Answer::Counted(false);
        }
        if self.bytes() >= self.bounds.bytes_max {
            return Answer::Full;
        }
        self.named_bytes += poll.len() + choice.len() + voter.len() + NAME_BYTES;
        let poll = self.polls.entry(poll).or_default();
        *poll.choices.entry(choice.clone()).or_default() += 1;
        poll.voters.insert(voter, choice);
        Answer::Counted(true)
    }

    fn mark(&mut self, mark: Mark) -> Answer {
        let at = mark.at;
        self.marks.retain(|_, other| other.at.saturating_add(Mark::FORGOTTEN_MS) >= at);
        self.marks.insert(mark.engine, mark);
        Answer::Marks(self.marks.values().cloned().collect())
    }
}

fn tombstone_ms() -> Millis {
    if planted::is(Bug::ShortTombstone) { 1_000 } else { Del::TOMBSTONE_MS }
}
