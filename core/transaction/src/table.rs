//! A table of entries that wait for a message or a deadline: transactions, calls, registrations in progress. The table is
//! bounded in entries and bytes, finds an entry by its key, and hands each entry with a due deadline to its owner's step.
//!
//! [`Table`] has one owner. [`SharedTable`] consists of many tables, each behind a lock, for all workers of a process.
//!
//! ```text
//! new entry ─▶ insert ──────▶ kept, or NotKept
//! message   ─▶ change ──────▶ the result of the change, which keeps or removes the entry
//! change of all entries ─▶ change_each
//! deadline of Alarms ─▶ next_due, until it returns None ─▶ the result of an entry's step
//! ```
//!
//! The table accounts for every change of an entry and sets its alarm; no owner can forget either. A key is a number, so that
//! alarms are small. It may be a keyed hash of the entry's name: strangers must not be able to choose names with equal keys,
//! and an owner that keeps the name may compare it too. Or it is a count, if an entry has several names and an index leads from
//! each name to the number.

mod alarms;
mod room;
mod shared;

use std::collections::HashMap;
use std::collections::hash_map;
use std::hash::{BuildHasherDefault, Hasher};
use std::sync::Arc;

use base::Time;

pub use alarms::Alarms;
pub use room::Bounds;
use room::Room;
pub use shared::SharedTable;

/// An entry of a table.
pub trait Due {
    /// Time of the entry's next step; [`Time::NEVER`] if the entry waits only for messages.
    fn deadline(&self) -> Time;

    /// Bytes that the entry uses beside its own size.
    fn bytes(&self) -> usize;
}

/// The reason why an entry was not taken in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NotKept {
    /// One of the [`Bounds`] is reached.
    Full,
    /// There is an entry with this key.
    Present,
}

/// Whether the entry stays after a change, with the change's result.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next<T> {
    Keep(T),
    Remove(T),
}

impl<T> Next<T> {
    pub fn map<U>(self, change: impl FnOnce(T) -> U) -> Next<U> {
        match self {
            Next::Keep(said) => Next::Keep(change(said)),
            Next::Remove(said) => Next::Remove(change(said)),
        }
    }
}

/// See the head of this module.
#[derive(Debug)]
pub struct Table<V> {
    entries: HashMap<u64, Entry<V>, BuildHasherDefault<Spread>>,
    room: Arc<Room>,
}

#[derive(Debug)]
struct Entry<V> {
    value: V,
    /// Time of the alarm that counts. If two queues have an alarm at that time, either of them may handle it.
    armed: Time,
    /// Number of times that an alarm was set, up to a bound.
    armings: u8,
}

impl<V: Due> Table<V> {
    /// Memory that one entry takes beside its bytes: key, value and control byte, at the map's usual load of 7/8.
    const ENTRY_BYTES: usize = (size_of::<(u64, Entry<V>)>() + 1) * 8 / 7;

    pub fn new(bounds: Bounds) -> Table<V> {
        Table::in_room(Arc::new(Room::new(bounds)))
    }

    fn in_room(room: Arc<Room>) -> Table<V> {
        Table { entries: HashMap::default(), room }
    }

    /// Entries in the shared room: for a shard, those of the whole table.
    pub fn len(&self) -> usize {
        self.room.entries()
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Bytes in the shared room: the sizes that entries report, and the entries themselves.
    pub fn bytes(&self) -> usize {
        self.room.bytes()
    }

    pub fn contains(&self, key: u64) -> bool {
        self.entries.contains_key(&key)
    }

    pub fn get(&self, key: u64) -> Option<&V> {
        self.entries.get(&key).map(|entry| &entry.value)
    }

    /// All entries, in no order.
    pub fn iter(&self) -> impl Iterator<Item = (u64, &V)> {
        self.entries.iter().map(|(key, entry)| (*key, &entry.value))
    }

    pub fn insert(&mut self, now: Time, alarms: &mut Alarms, key: u64, value: V) -> Result<(), NotKept> {
        let hash_map::Entry::Vacant(place) = self.entries.entry(key) else { return Err(NotKept::Present) };
        if alarms.is_full() || !self.room.take(value.bytes() + Self::ENTRY_BYTES) {
            return Err(NotKept::Full);
        }
        place.insert(Entry { value, armed: Time::NEVER, armings: 0 }).arm(now, alarms, key);
        Ok(())
    }

    /// `None`: there is no entry with this key.
    pub fn change<T>(
        &mut self,
        now: Time,
        alarms: &mut Alarms,
        key: u64,
        change: impl FnOnce(&mut V) -> Next<T>,
    ) -> Option<T> {
        let next = self.entries.get_mut(&key)?.change(&self.room, (now, alarms, key), change);
        Some(match next {
            Next::Keep(said) => said,
            Next::Remove(said) => {
                self.remove(key);
                said
            }
        })
    }

    /// Changes all entries, in no order.
    pub fn change_each(
        &mut self,
        now: Time,
        alarms: &mut Alarms,
        mut change: impl FnMut(&mut V) -> Next<()>,
    ) {
        let room = &self.room;
        self.entries.retain(|key, entry| {
            let next = entry.change(room, (now, &mut *alarms, *key), &mut change);
            if next == Next::Remove(()) {
                room.give(entry.value.bytes() + Self::ENTRY_BYTES);
            }
            next == Next::Keep(())
        });
    }

    pub fn remove(&mut self, key: u64) -> Option<V> {
        let value = self.entries.remove(&key)?.value;
        self.room.give(value.bytes() + Self::ENTRY_BYTES);
        Some(value)
    }

    /// Runs `step` for entries whose deadlines have come, until a step returns something. Call this until it returns `None`, or
    /// until the caller's own bound on a turn: entries that are left keep [`Alarms::next_deadline`] in the past. A step leaves
    /// its entry with a later deadline, or with another step that is due.
    pub fn next_due<T>(
        &mut self,
        now: Time,
        alarms: &mut Alarms,
        mut step: impl FnMut(u64, &mut V) -> Next<Option<T>>,
    ) -> Option<T> {
        while let Some(alarm) = alarms.pop(now) {
            let done = self.ring(now, alarms, alarm, &mut step);
            if done.is_some() {
                return done;
            }
        }
        None
    }

    /// Handles an alarm. It is renewed if its entry's deadline is later, and ignored if another alarm counts.
    fn ring<T>(
        &mut self,
        now: Time,
        alarms: &mut Alarms,
        (at, key): (Time, u64),
        step: impl FnOnce(u64, &mut V) -> Next<Option<T>>,
    ) -> Option<T> {
        let entry = self.entries.get_mut(&key)?;
        if entry.armed != at {
            return None;
        }
        entry.armed = Time::NEVER;
        if entry.value.deadline() > now {
            entry.arm(now, alarms, key);
            return None;
        }
        self.change(now, alarms, key, |value| step(key, value))?
    }
}

impl<V: Due> Entry<V> {
    fn change<T>(
        &mut self,
        room: &Room,
        (now, alarms, key): (Time, &mut Alarms, u64),
        change: impl FnOnce(&mut V) -> Next<T>,
    ) -> Next<T> {
        let before = self.value.bytes();
        let next = change(&mut self.value);
        room.account(before, self.value.bytes());
        if matches!(next, Next::Keep(_)) {
            self.arm(now, alarms, key);
        }
        next
    }

    /// Ensures that an alarm lies no later than the deadline. An alarm before the deadline is renewed when it comes.
    fn arm(&mut self, now: Time, alarms: &mut Alarms, key: u64) {
        let deadline = self.value.deadline();
        if deadline == Time::NEVER {
            return;
        }
        let at = deadline.min(now + alarms::horizon(self.armings));
        if at < self.armed {
            self.armed = at;
            self.armings = self.armings.saturating_add(1);
            alarms.set(at, key);
        }
    }
}

/// A key is already a keyed hash, or a count, of which only the high bits need spreading.
#[derive(Clone, Copy, Debug, Default)]
struct Spread(u64);

impl Hasher for Spread {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, _: &[u8]) {
        unreachable!("keys are u64")
    }

    fn write_u64(&mut self, key: u64) {
        self.0 = key.wrapping_mul(0x9E37_79B9_7F4A_7C15);
    }
}

#[cfg(test)]
mod tests;
