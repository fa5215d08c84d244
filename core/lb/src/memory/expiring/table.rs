//! One shard of [`super::Expiring`]: open addressing over buckets of one cache line each, three entries in a bucket. A bucket
//! counts the entries that found it full and went on. So a look-up stops at the first bucket that no entry passed, and
//! removal leaves no tombstones and moves nothing.

use base::Time;

const LANES: usize = 3;
pub(super) const BUCKET_BYTES: usize = size_of::<Bucket>();
/// Expiry is kept in units of 2^16 µs: 32 bits last for eight years of process life.
const TICK_BITS: u32 = 16;

/// Fill in percent of all lanes: above the first a table grows to the second, below the third it shrinks to the second.
/// With 64 bytes for three lanes that is 30 bytes per entry when fullest and 61 when emptiest, never more than 64.
const FILL_MAX: usize = 70;
const FILL_AFTER: usize = 47;
const FILL_MIN: usize = 35;

/// What is remembered of one key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Id of the server, or what the caller keeps in its place.
    pub server: u32,
    /// The caller's own bits.
    pub flags: u32,
    /// First moment at which the entry is treated as absent; kept in steps of 65.5 ms, rounded up.
    pub until: Time,
}

#[derive(Clone, Copy)]
#[repr(C, align(64))]
struct Bucket {
    key: [u64; LANES],
    server: [u32; LANES],
    flags: [u32; LANES],
    /// Zero: the lane is free.
    expiry: [u32; LANES],
    /// Number of entries whose search begins at or before this bucket and that lie beyond it.
    passed: u32,
}

const EMPTY: Bucket =
    Bucket { key: [0; LANES], server: [0; LANES], flags: [0; LANES], expiry: [0; LANES], passed: 0 };

/// Place of an entry; valid until the table is next changed.
#[derive(Clone, Copy)]
pub(super) struct Slot {
    bucket: usize,
    lane: usize,
}

pub(super) struct Swept {
    pub(super) ended: usize,
    pub(super) looked_at: usize,
    pub(super) round_done: bool,
}

#[derive(Default)]
pub(super) struct Table {
    buckets: Vec<Bucket>,
    entries: usize,
    sweep_at: usize,
}

fn tick(until: Time) -> u32 {
    let ticks = until.as_micros().div_ceil(1 << TICK_BITS);
    u32::try_from(ticks).unwrap_or(u32::MAX).max(1)
}

impl Table {
    pub(super) fn buckets(&self) -> usize {
        self.buckets.len()
    }

    fn home(&self, key: u64) -> usize {
        (((key >> 32) * self.buckets.len() as u64) >> 32) as usize
    }

    fn after(&self, bucket: usize) -> usize {
        if bucket + 1 == self.buckets.len() { 0 } else { bucket + 1 }
    }

    /// The place of `key`, expired or not.
    pub(super) fn find(&self, key: u64) -> Option<Slot> {
        let mut at = self.home(key);
        for _ in 0..self.buckets.len() {
            let bucket = &self.buckets[at];
            for lane in 0..LANES {
                if bucket.key[lane] == key && bucket.expiry[lane] != 0 {
                    return Some(Slot { bucket: at, lane });
                }
            }
            if bucket.passed == 0 {
                return None;
            }
            at = self.after(at);
        }
        None
    }

    /// An expired entry, of any key, where the search for `key` begins: its place can be taken without a sweep.
    pub(super) fn expired_at_home(&self, key: u64, now: Time) -> Option<Slot> {
        let at = self.home(key);
        let expiry = self.buckets.get(at)?.expiry;
        let lane = expiry.iter().position(|&expiry| expiry != 0 && expired(expiry, now))?;
        Some(Slot { bucket: at, lane })
    }

    /// The entries that have not expired, with their keys.
    pub(super) fn living(&self, now: Time) -> impl Iterator<Item = (u64, Entry)> + '_ {
        let lanes =
            (0..self.buckets.len()).flat_map(|bucket| (0..LANES).map(move |lane| Slot { bucket, lane }));
        let used = move |slot: &Slot| {
            let expiry = self.buckets[slot.bucket].expiry[slot.lane];
            expiry != 0 && !expired(expiry, now)
        };
        lanes.filter(used).map(|slot| (self.buckets[slot.bucket].key[slot.lane], self.entry(slot)))
    }

    pub(super) fn entry(&self, slot: Slot) -> Entry {
        let bucket = &self.buckets[slot.bucket];
        Entry {
            server: bucket.server[slot.lane],
            flags: bucket.flags[slot.lane],
            until: Time::from_micros(u64::from(bucket.expiry[slot.lane]) << TICK_BITS),
        }
    }

    /// Overwrites the entry of `slot`, same key; returns it as it is kept.
    pub(super) fn set(&mut self, slot: Slot, entry: Entry) -> Entry {
        let bucket = &mut self.buckets[slot.bucket];
        bucket.server[slot.lane] = entry.server;
        bucket.flags[slot.lane] = entry.flags;
        bucket.expiry[slot.lane] = tick(entry.until);
        self.entry(slot)
    }

    /// Adds a key that is not there. The caller has made room.
    pub(super) fn insert(&mut self, key: u64, entry: Entry) -> Entry {
        debug_assert!(self.entries < self.buckets.len() * LANES);
        let mut at = self.home(key);
        loop {
            let bucket = &mut self.buckets[at];
            if let Some(lane) = bucket.expiry.iter().position(|&expiry| expiry == 0) {
                bucket.key[lane] = key;
                self.entries += 1;
                return self.set(Slot { bucket: at, lane }, entry);
            }
            bucket.passed += 1;
            at = self.after(at);
        }
    }

    pub(super) fn remove(&mut self, slot: Slot) -> Entry {
        let entry = self.entry(slot);
        let mut at = self.home(self.buckets[slot.bucket].key[slot.lane]);
        while at != slot.bucket {
            self.buckets[at].passed -= 1;
            at = self.after(at);
        }
        self.buckets[slot.bucket].expiry[slot.lane] = 0;
        self.entries -= 1;
        entry
    }

    /// Grows if one more entry would make the table too full.
    pub(super) fn make_room(&mut self) {
        if (self.entries + 1) * 100 > self.buckets.len() * LANES * FILL_MAX {
            self.resize(self.entries + 1);
        }
    }

    /// Shrinks if the table has become too empty.
    pub(super) fn give_back(&mut self) {
        if self.buckets.len() > 1 && self.entries * 100 < self.buckets.len() * LANES * FILL_MIN {
            self.resize(self.entries);
        }
    }

    fn resize(&mut self, entries: usize) {
        let buckets = (entries * 100).div_ceil(LANES * FILL_AFTER);
        let old = std::mem::replace(&mut self.buckets, vec![EMPTY; buckets]);
        (self.entries, self.sweep_at) = (0, 0);
        for bucket in old {
            for lane in (0..LANES).filter(|&lane| bucket.expiry[lane] != 0) {
                let until = Time::from_micros(u64::from(bucket.expiry[lane]) << TICK_BITS);
                let entry = Entry { server: bucket.server[lane], flags: bucket.flags[lane], until };
                self.insert(bucket.key[lane], entry);
            }
        }
    }

    /// Ends the expired entries in the next `budget` buckets.
    pub(super) fn sweep(&mut self, now: Time, budget: usize, on_end: &mut impl FnMut(u64, Entry)) -> Swept {
        let from = self.sweep_at;
        let to = self.buckets.len().min(from + budget);
        let mut ended = 0;
        for at in from..to {
            for lane in 0..LANES {
                let expiry = self.buckets[at].expiry[lane];
                if expiry != 0 && expired(expiry, now) {
                    let key = self.buckets[at].key[lane];
                    on_end(key, self.remove(Slot { bucket: at, lane }));
                    ended += 1;
                }
            }
        }
        let round_done = to == self.buckets.len();
        self.sweep_at = if round_done { 0 } else { to };
        Swept { ended, looked_at: to - from, round_done }
    }
}

fn expired(expiry: u32, now: Time) -> bool {
    now.as_micros() >> TICK_BITS >= u64::from(expiry)
}
