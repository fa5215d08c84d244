//! One table for all workers of a process: shards, each behind a lock, with one common room.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use base::Time;

use super::room::Room;
use super::{Alarms, Bounds, Due, Next, Table};

/// Two workers meet in one of 64 shards about once in 64 messages, for the time of one step of one entry.
const SHARDS: usize = 64;

/// See [`super`]. Each worker asks for due entries with its own [`Alarms`].
#[derive(Debug)]
pub struct SharedTable<V> {
    shards: Box<[Mutex<Table<V>>]>,
    room: Arc<Room>,
}

impl<V: Due> SharedTable<V> {
    pub fn new(bounds: Bounds) -> SharedTable<V> {
        let room = Arc::new(Room::new(bounds));
        let shards = (0..SHARDS).map(|_| Mutex::new(Table::in_room(room.clone()))).collect();
        SharedTable { shards, room }
    }

    pub fn bounds(&self) -> Bounds {
        self.room.bounds
    }

    /// Entries in all shards. For a moment it may count one more per worker: room is taken before it is known whether there is
    /// any.
    pub fn len(&self) -> usize {
        self.room.entries()
    }

    /// One relaxed load: a caller may ask this before every message without waiting.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    pub fn bytes(&self) -> usize {
        self.room.bytes()
    }

    /// Locks the shard of a key. The lock guards the entries of that shard and is held for one step of one entry; no thread
    /// holds two locks at once. The shard uses other bits of the key than those that the map inside uses first.
    pub fn lock(&self, key: u64) -> MutexGuard<'_, Table<V>> {
        Self::guard(&self.shards[(key >> 32) as usize % SHARDS])
    }

    /// Every entry in no order, one shard locked at a time; `visit` must not use this table.
    pub fn visit(&self, mut visit: impl FnMut(u64, &V)) {
        for shard in &self.shards {
            Self::guard(shard).iter().for_each(|(key, value)| visit(key, value));
        }
    }

    /// [`Table::change`] of the entry with this key.
    pub fn change<T>(
        &self,
        now: Time,
        alarms: &mut Alarms,
        key: u64,
        change: impl FnOnce(&mut V) -> Next<T>,
    ) -> Option<T> {
        self.lock(key).change(now, alarms, key, change)
    }

    /// [`Table::change_each`], one shard after the other.
    pub fn change_each(&self, now: Time, alarms: &mut Alarms, mut change: impl FnMut(&mut V) -> Next<()>) {
        for shard in &self.shards {
            Self::guard(shard).change_each(now, alarms, &mut change);
        }
    }

    /// [`Table::next_due`], for the entries that this worker has armed.
    pub fn next_due<T>(
        &self,
        now: Time,
        alarms: &mut Alarms,
        mut step: impl FnMut(u64, &mut V) -> Next<Option<T>>,
    ) -> Option<T> {
        while let Some(alarm) = alarms.pop(now) {
            let done = self.lock(alarm.1).ring(now, alarms, alarm, &mut step);
            if done.is_some() {
                return done;
            }
        }
        None
    }

    /// A panic while a lock was held leaves entries whole: each step changes one entry.
    fn guard(shard: &Mutex<Table<V>>) -> MutexGuard<'_, Table<V>> {
        shard.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
