//! The table behind [`super::Held`]: requests by slot, in shards, with one lock each.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};
use std::sync::{Mutex, MutexGuard};

use super::Class;
use super::entry::Entry;

/// Two workers meet in one shard of 64 about once in 64 messages of held requests, for the time of one look-up.
const SHARDS: usize = 64;

/// A CANCEL has the branch, hence the key, of its INVITE. This moves it to a slot of its own: any constant does, since
/// keys are keyed hashes.
const CANCEL: u64 = 0xC3A5_C85C_97CB_3127;

pub(super) type Shard = HashMap<u64, Entry, BuildHasherDefault<AsIs>>;

/// What one entry occupies beside its bytes: key, value and control byte, at the table's usual load of 7/8.
pub(super) const ENTRY_BYTES: usize = (size_of::<(u64, Entry)>() + 1) * 8 / 7;

/// The key is a keyed hash already.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct AsIs(u64);

impl Hasher for AsIs {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, _: &[u8]) {
        unreachable!("keys are u64")
    }

    fn write_u64(&mut self, key: u64) {
        self.0 = key;
    }
}

pub(super) fn slot(key: u64, class: Class) -> u64 {
    match class {
        Class::Invite | Class::Other => key,
        Class::Cancel => key ^ CANCEL,
    }
}

#[derive(Debug)]
pub(super) struct Shards(Box<[Mutex<Shard>]>);

impl Shards {
    pub(super) fn new() -> Shards {
        Shards((0..SHARDS).map(|_| Mutex::default()).collect())
    }

    /// The shard of a slot, locked. The lock guards the entries of that shard and is held for one step of one of them;
    /// no two are ever held at once. The bits used here are not those that the table inside uses.
    pub(super) fn lock(&self, slot: u64) -> MutexGuard<'_, Shard> {
        Self::guard(&self.0[(slot >> 32) as usize % SHARDS])
    }

    pub(super) fn each(&self) -> impl Iterator<Item = MutexGuard<'_, Shard>> {
        self.0.iter().map(Self::guard)
    }

    /// A panic while a lock was held leaves entries whole: each step changes one entry.
    fn guard(shard: &Mutex<Shard>) -> MutexGuard<'_, Shard> {
        shard.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}
