//! The only type that remembers: a sharded, bounded, expiring map from a keyed 64-bit hash to a server. New calls, the
//! session list and the ledgers of cjsq, tjsq and tlwl each use this type. The map never forgets a living entry to make room
//! for another (nothing from the wire can lose someone else's call). A full map refuses an entry, counts the refusal, and
//! leaves the choice to the caller's hash.

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};

use base::{Duration, Time};

mod table;

pub use table::Entry;
use table::Table;

/// Entries that one shard holds on average when the map is full. Small, so that a shard that grows or is swept holds its
/// lock for some tens of microseconds only.
const ENTRIES_PER_SHARD: usize = 2048;
/// Enough shards that workers seldom meet, also in a small map.
const SHARDS_MIN: usize = 16;
const SHARDS_MAX: usize = 65_536;
/// Buckets looked at while a shard is locked by the sweep.
const SWEEP_STEP: usize = 128;
/// Time in which `sweep_paced` passes the whole map: an ended entry stays in memory for at most this much longer.
pub const SWEEP_PERIOD: Duration = Duration::from_secs(4);

/// Outcome of [`Expiring::get_or_insert_with`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Remembered {
    /// The key was there and has not expired.
    Known(Entry),
    /// An entry was made. `ended`: the expired entry whose place it took, of the same key or a neighbour.
    New { entry: Entry, ended: Option<Entry> },
    /// The map is full: nothing was remembered, and the caller's function was not called.
    Full,
    /// The caller's function gave nothing to remember.
    Declined,
}

impl Remembered {
    /// The entry, known or new.
    pub fn entry(self) -> Option<Entry> {
        match self {
            Remembered::Known(entry) | Remembered::New { entry, .. } => Some(entry),
            Remembered::Full | Remembered::Declined => None,
        }
    }
}

#[repr(align(64))]
struct Shard(Mutex<Table>);

/// See the head of this module. All methods take `&self`; each locks one shard once.
pub struct Expiring {
    shards: Box<[Shard]>,
    entries_max: usize,
    live: AtomicUsize,
    buckets: AtomicUsize,
    refused: AtomicU64,
    sweep_shard: AtomicUsize,
    swept_micros: AtomicU64,
    /// Number of buckets when the sweep began its round.
    round_buckets: AtomicUsize,
}

impl Expiring {
    /// A map of at most `entries_max` entries. Memory is taken as entries come, in small steps.
    pub fn new(entries_max: usize) -> Expiring {
        let shards = (entries_max / ENTRIES_PER_SHARD).next_power_of_two().clamp(SHARDS_MIN, SHARDS_MAX);
        Expiring {
            shards: (0..shards).map(|_| Shard(Mutex::new(Table::default()))).collect(),
            entries_max,
            live: AtomicUsize::new(0),
            buckets: AtomicUsize::new(0),
            refused: AtomicU64::new(0),
            sweep_shard: AtomicUsize::new(0),
            swept_micros: AtomicU64::new(0),
            round_buckets: AtomicUsize::new(0),
        }
    }

    /// The entry of `key`, unless it has expired.
    pub fn get(&self, now: Time, key: u64) -> Option<Entry> {
        self.with(key, |table| table.find(key).map(|slot| table.entry(slot)))
            .filter(|entry| now < entry.until)
    }

    /// The entry of `key`; if there is none, a new one made of what `choose` gives (server, flags), which lives `until`. One
    /// lock covers both: of two workers with the same new call, one chooses and the other learns its choice. `choose` must
    /// not use this map.
    pub fn get_or_insert_with(
        &self,
        now: Time,
        key: u64,
        until: Time,
        choose: impl FnOnce() -> Option<(u32, u32)>,
    ) -> Remembered {
        self.with(key, |table| {
            let mut reusable = table.expired_at_home(key, now);
            if let Some(slot) = table.find(key) {
                let entry = table.entry(slot);
                if now < entry.until {
                    return Remembered::Known(entry);
                }
                reusable = Some(slot);
            }
            if reusable.is_none() && !self.reserve() {
                self.refused.fetch_add(1, Relaxed);
                return Remembered::Full;
            }
            let Some((server, flags)) = choose() else {
                if reusable.is_none() {
                    self.live.fetch_sub(1, Relaxed);
                }
                return Remembered::Declined;
            };
            let ended = reusable.map(|slot| table.remove(slot));
            let entry = Entry { server, flags, until };
            self.resizing(table, Table::make_room);
            Remembered::New { entry: table.insert(key, entry), ended }
        })
    }

    /// Changes the entry of `key` in place, under the lock; returns it as it was and as it is. An expired entry is absent.
    pub fn update(&self, now: Time, key: u64, change: impl FnOnce(&mut Entry)) -> Option<(Entry, Entry)> {
        self.with(key, |table| {
            let slot = table.find(key)?;
            let before = table.entry(slot);
            if now >= before.until {
                return None;
            }
            let mut after = before;
            change(&mut after);
            Some((before, table.set(slot, after)))
        })
    }

    /// The entry of `key`, which now lives at least `until`: for entries that end after an idle time.
    pub fn touch(&self, now: Time, key: u64, until: Time) -> Option<Entry> {
        self.update(now, key, |entry| entry.until = entry.until.max(until)).map(|(_, after)| after)
    }

    /// Lets the entry of `key` end at `until`, if it would live longer.
    pub fn shorten(&self, now: Time, key: u64, until: Time) -> Option<Entry> {
        self.update(now, key, |entry| entry.until = entry.until.min(until)).map(|(_, after)| after)
    }

    /// Forgets `key`. An expired entry that was not swept yet is returned too: it ends here, once.
    pub fn remove(&self, key: u64) -> Option<Entry> {
        self.with(key, |table| {
            let entry = table.find(key).map(|slot| table.remove(slot))?;
            self.live.fetch_sub(1, Relaxed);
            Some(entry)
        })
    }

    /// Removes expired entries among the next `budget` buckets (of three entries each), going round at most once; returns
    /// how many. `on_end` is called for each of them under the lock of its shard and must not use this map. Gives memory
    /// back.
    pub fn sweep(&self, now: Time, budget: usize, mut on_end: impl FnMut(u64, Entry)) -> usize {
        // One more than there are shards: the round may begin in the middle of a shard.
        let (mut ended, mut left, mut shards_left) = (0, budget, self.shards.len() + 1);
        while left > 0 && shards_left > 0 {
            let at = self.sweep_shard.load(Relaxed) & (self.shards.len() - 1);
            let mut table = self.lock(at);
            let swept = table.sweep(now, left.min(SWEEP_STEP), &mut on_end);
            ended += swept.ended;
            self.live.fetch_sub(swept.ended, Relaxed);
            left -= swept.looked_at.max(1);
            if swept.round_done {
                self.resizing(&mut table, Table::give_back);
                if at == 0 {
                    self.round_buckets.store(self.buckets.load(Relaxed), Relaxed);
                }
                self.sweep_shard.store(at + 1, Relaxed);
                shards_left -= 1;
            }
        }
        ended
    }

    /// [`Expiring::sweep`] with a budget by which calls at any rhythm pass the whole map in [`SWEEP_PERIOD`]. Meant for one
    /// caller, ten times a second or more often.
    pub fn sweep_paced(&self, now: Time, on_end: impl FnMut(u64, Entry)) -> usize {
        let last = Time::from_micros(self.swept_micros.swap(now.as_micros(), Relaxed));
        // A caller that is late, or comes for the first time, does not make up for it in one turn.
        let elapsed = now.since(last).min(SWEEP_PERIOD / 4).as_micros() as usize;
        // A map that shrinks under the sweep keeps the pace with which the round began.
        let all = self.buckets.load(Relaxed).max(self.round_buckets.load(Relaxed)) + self.shards.len();
        self.sweep(now, all * elapsed / SWEEP_PERIOD.as_micros() as usize + 1, on_end)
    }

    /// Visits every entry that has not expired, one shard locked at a time. It passes the whole map, so use it once a second
    /// at most. `visit` must not use this map.
    pub fn visit(&self, now: Time, mut visit: impl FnMut(u64, Entry)) {
        for shard in 0..self.shards.len() {
            self.lock(shard).living(now).for_each(|(key, entry)| visit(key, entry));
        }
    }

    /// Number of entries, including expired ones that were not yet swept.
    pub fn len(&self) -> usize {
        self.live.load(Relaxed)
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    pub fn entries_max(&self) -> usize {
        self.entries_max
    }

    /// All memory of the map.
    pub fn bytes(&self) -> usize {
        self.buckets.load(Relaxed) * table::BUCKET_BYTES + self.shards.len() * size_of::<Shard>()
    }

    /// Entries that were refused because the map was full.
    pub fn refused(&self) -> u64 {
        self.refused.load(Relaxed)
    }

    fn reserve(&self) -> bool {
        self.live.fetch_update(Relaxed, Relaxed, |live| (live < self.entries_max).then_some(live + 1)).is_ok()
    }

    fn resizing(&self, table: &mut Table, resize: impl FnOnce(&mut Table)) {
        let before = table.buckets();
        resize(table);
        self.buckets.fetch_add(table.buckets().wrapping_sub(before), Relaxed);
    }

    fn with<R>(&self, key: u64, work: impl FnOnce(&mut Table) -> R) -> R {
        // The shard comes from the low bits, the bucket within it from the high ones.
        work(&mut self.lock(key as usize & (self.shards.len() - 1)))
    }

    fn lock(&self, shard: usize) -> std::sync::MutexGuard<'_, Table> {
        // A panic elsewhere leaves a table whole: each step below it is complete before anything that can unwind.
        self.shards[shard].0.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

impl std::fmt::Debug for Expiring {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Expiring({} of {}, {} bytes)", self.len(), self.entries_max, self.bytes())
    }
}
