//! Records and tombstones, by their keys.

use std::collections::{BTreeSet, HashMap};
use std::hash::{BuildHasherDefault, Hasher};

use crate::command::Millis;
use crate::header::Header;
use crate::key::Key;

/// Bytes that a record takes beside its own: key, place, wake-up, and what the maps need for each.
const RECORD_BYTES: usize = 128;

/// A key is a keyed hash already.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct OfKey(u64);

pub(super) type Spread = BuildHasherDefault<OfKey>;

impl Hasher for OfKey {
    fn write(&mut self, bytes: &[u8]) {
        // The last eight bytes: the first one is the same in the whole partition.
        let last = bytes.last_chunk().copied().unwrap_or_default();
        self.0 = u64::from_ne_bytes(last);
    }

    fn write_usize(&mut self, _: usize) {}

    fn finish(&self) -> u64 {
        self.0
    }
}

#[derive(Debug, Default)]
pub(super) struct Records {
    records: HashMap<Key, Box<[u8]>, Spread>,
    /// When tombstones end.
    buried: BTreeSet<(Millis, Key)>,
    bytes: usize,
}

impl Records {
    pub(super) fn get(&self, key: Key) -> Option<&[u8]> {
        self.records.get(&key).map(|record| &record[..])
    }

    pub(super) fn owner(&self, key: Key) -> Option<u32> {
        self.get(key).and_then(Header::owner_of)
    }

    pub(super) fn set(&mut self, key: Key, record: Box<[u8]>) {
        self.bytes += record.len() + RECORD_BYTES;
        if let Some(before) = self.records.insert(key, record) {
            self.bytes -= before.len() + RECORD_BYTES;
        }
    }

    pub(super) fn remove(&mut self, key: Key) {
        if let Some(before) = self.records.remove(&key) {
            self.bytes -= before.len() + RECORD_BYTES;
        }
    }

    /// Nothing changes a tombstone: it lies there until its time ends.
    pub(super) fn bury(&mut self, key: Key, mut tombstone: Box<[u8]>, until: Millis) {
        Header::mark_as_tombstone(&mut tombstone);
        self.set(key, tombstone);
        self.buried.insert((until, key));
    }

    pub(super) fn bury_no_longer(&mut self, now: Millis) {
        while let Some(&(until, key)) = self.buried.first()
            && until <= now
        {
            self.buried.pop_first();
            self.remove(key);
        }
    }

    pub(super) fn len(&self) -> usize {
        self.records.len()
    }

    pub(super) fn tombstones(&self) -> usize {
        self.buried.len()
    }

    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }
}
