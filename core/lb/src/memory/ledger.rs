//! Calls, transactions or work in progress per server, for cjsq, tjsq and tlwl. A count changes only when an entry of the
//! ledger's [`Expiring`] is made, moved or ended, each exactly once. So it cannot drift, stay for ever or go below zero,
//! whatever is retransmitted, lost or late. A count belongs to one incarnation of a server: leftovers of a removed server
//! affect no other server.

mod stored;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use base::{Duration, Time};

use crate::farm::server::Seat;
use crate::memory::expiring::{Entry, Expiring, Remembered};
use crate::settings::{Selection, Settings};

/// Weight of one call or transaction; weights are in hundredths.
pub const ONE: u16 = 100;
/// How long an ended call or transaction is remembered as such, so that a late retransmission does not count again:
/// 64·T1, RFC 3261 §17.1.1.2.
pub const ENDED_TIME: Duration = Duration::from_secs(32);

/// The highest weight of an INVITE: a million of them in progress must fit a count of 32 bits.
const INVITE_PERCENT_MAX: u32 = 1000;

/// What a ledger counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Unit {
    /// Calls in progress: from the INVITE that makes a call to the final response to its BYE, or to its failure.
    Calls,
    /// Transactions in progress, each 1.
    Transactions,
    /// Transactions in progress: an INVITE with this weight in hundredths, any other with 1.
    Work { invite_percent: u16 },
}

/// Outcome of [`Ledger::begin`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Begun {
    /// Counted.
    New,
    /// In progress already, or ended a moment ago: a retransmission.
    Known,
    /// The ledger is full; not counted.
    Full,
}

/// See the head of this module.
#[derive(Debug)]
pub struct Ledger {
    unit: Unit,
    /// Here `Entry::server` is the incarnation, and `flags` are slot (upper half) and weight (lower half; zero: ended).
    entries: Expiring,
    /// By slot: incarnation (upper half) and count in hundredths (lower half) in one word, so that a count is never
    /// changed on behalf of an earlier server of the slot.
    cells: Box<[AtomicU64]>,
}

impl Ledger {
    /// `entries_max`: calls or transactions in progress that are counted. `slots`: as many as the server table has.
    pub fn new(unit: Unit, entries_max: usize, slots: usize) -> Ledger {
        let cells = (0..slots).map(|_| AtomicU64::new(0)).collect();
        Ledger { unit, entries: Expiring::new(entries_max), cells }
    }

    /// The ledger that the selection needs, if it needs one.
    pub fn for_settings(settings: &Settings, slots: usize) -> Option<Ledger> {
        let invite_percent = settings.invite_weight_percent.clamp(1, INVITE_PERCENT_MAX) as u16;
        let (unit, max) = match settings.selection {
            Selection::Cjsq => (Unit::Calls, settings.sessions_max),
            Selection::Tjsq => (Unit::Transactions, settings.new_calls_max),
            Selection::Tlwl => (Unit::Work { invite_percent }, settings.new_calls_max),
            Selection::Hash | Selection::RoundRobin | Selection::LeastLoaded | Selection::Score => {
                return None;
            }
        };
        Some(Ledger::new(unit, max, slots))
    }

    /// The ledger that counts calls, if they are counted: the selection's own ledger, if that counts calls.
    pub fn census_for(
        settings: &Settings,
        slots: usize,
        ledger: Option<&Arc<Ledger>>,
    ) -> Option<Arc<Ledger>> {
        match ledger.filter(|ledger| ledger.unit() == Unit::Calls) {
            Some(ledger) => Some(ledger.clone()),
            None if settings.count_calls => {
                Some(Arc::new(Ledger::new(Unit::Calls, settings.sessions_max, slots)))
            }
            None => None,
        }
    }

    pub fn unit(&self) -> Unit {
        self.unit
    }

    /// Weight of a transaction in this ledger's unit.
    pub fn weight(&self, is_invite: bool) -> u16 {
        match self.unit {
            Unit::Work { invite_percent } if is_invite => invite_percent,
            Unit::Calls | Unit::Transactions | Unit::Work { .. } => ONE,
        }
    }

    /// A request was forwarded to the server at `seat`. Counts once per key; a retransmission does not count again. The count
    /// ends at `until` unless it is ended, extended or moved before.
    pub fn begin(&self, now: Time, key: u64, seat: Seat, is_invite: bool, until: Time) -> Begun {
        let weight = self.weight(is_invite);
        let made = self.entries.get_or_insert_with(now, key, until, || {
            self.add(seat, weight);
            Some((seat.incarnation, flags(seat.slot, weight)))
        });
        match made {
            Remembered::New { ended, .. } => {
                if let Some(entry) = ended {
                    self.subtract(entry);
                }
                Begun::New
            }
            Remembered::Known(_) => Begun::Known,
            Remembered::Full | Remembered::Declined => Begun::Full,
        }
    }

    /// The final response: the count ends now, and the key is remembered for [`ENDED_TIME`]. True if it was counted.
    pub fn end(&self, now: Time, key: u64) -> bool {
        self.end_unless_after(now, key, Time::NEVER)
    }

    /// The same, unless the count lasts longer than until `after`.
    pub fn end_unless_after(&self, now: Time, key: u64, after: Time) -> bool {
        let mut ended = false;
        self.entries.update(now, key, |entry| {
            if weight_of(*entry) > 0 && entry.until <= after {
                self.subtract(*entry);
                entry.flags = flags(slot_of(*entry), 0);
                entry.until = entry.until.min(now + ENDED_TIME);
                ended = true;
            }
        });
        ended
    }

    /// The set-up failed, but is counted until `until` all the same; no change if the count lasts longer than until `after`.
    pub fn count_until(&self, now: Time, key: u64, until: Time, after: Time) {
        self.entries.update(now, key, |entry| {
            if weight_of(*entry) > 0 && entry.until <= after {
                entry.until = entry.until.min(until);
            }
        });
    }

    /// The call was heard of: it is counted at least until `until`. An ended call is not prolonged.
    pub fn extend(&self, now: Time, key: u64, until: Time) {
        self.entries.update(now, key, |entry| {
            if weight_of(*entry) > 0 {
                entry.until = entry.until.max(until);
            }
        });
    }

    /// The call was taken over: it is counted at another server from now on.
    pub fn move_to(&self, now: Time, key: u64, seat: Seat) {
        self.entries.update(now, key, |entry| {
            let weight = weight_of(*entry);
            if weight > 0 && (entry.server, slot_of(*entry)) != (seat.incarnation, seat.slot) {
                self.subtract(*entry);
                self.add(seat, weight);
                (entry.server, entry.flags) = (seat.incarnation, flags(seat.slot, weight));
            }
        });
    }

    /// The call begins anew at another server after it was ended at the one before: it counts there, once.
    pub fn begin_elsewhere(&self, now: Time, key: u64, seat: Seat, is_invite: bool, until: Time) {
        let weight = self.weight(is_invite);
        self.entries.update(now, key, |entry| {
            if weight_of(*entry) == 0 && (entry.server, slot_of(*entry)) != (seat.incarnation, seat.slot) {
                self.add(seat, weight);
                (entry.server, entry.flags) = (seat.incarnation, flags(seat.slot, weight));
                entry.until = until;
            }
        });
    }

    /// The seat of the server where this is in progress. `None`: nothing is, or it is not counted.
    pub fn seat_of(&self, now: Time, key: u64) -> Option<Seat> {
        let entry = self.entries.get(now, key).filter(|entry| weight_of(*entry) > 0)?;
        Some(Seat { slot: slot_of(entry), incarnation: entry.server })
    }

    /// Ends what has expired; to be called ten times a second or more often.
    pub fn sweep(&self, now: Time) -> usize {
        self.entries.sweep_paced(now, |_, entry| self.subtract(entry))
    }

    /// The amount in progress at the server of this slot, in hundredths. One relaxed load: selection reads all of them.
    #[inline]
    pub fn count(&self, slot: u16) -> u32 {
        self.cells.get(usize::from(slot)).map_or(0, |cell| cell.load(Relaxed) as u32)
    }

    /// A server took the slot (called by the server table): its count begins at zero.
    pub fn attach(&self, seat: Seat) {
        if let Some(cell) = self.cells.get(usize::from(seat.slot)) {
            cell.store(u64::from(seat.incarnation) << 32, Relaxed);
        }
    }

    /// The underlying map, for its memory, number of entries and refusals.
    pub fn entries(&self) -> &Expiring {
        &self.entries
    }

    fn add(&self, seat: Seat, weight: u16) {
        self.change(seat.slot, seat.incarnation, |count| count.saturating_add(u32::from(weight)));
    }

    fn subtract(&self, entry: Entry) {
        let weight = u32::from(weight_of(entry));
        if weight > 0 {
            self.change(slot_of(entry), entry.server, |count| count.saturating_sub(weight));
        }
    }

    fn change(&self, slot: u16, incarnation: u32, change: impl Fn(u32) -> u32) {
        let Some(cell) = self.cells.get(usize::from(slot)) else { return };
        let _ = cell.fetch_update(Relaxed, Relaxed, |word| {
            (word >> 32 == u64::from(incarnation))
                .then(|| word & !u64::from(u32::MAX) | u64::from(change(word as u32)))
        });
    }
}

fn flags(slot: u16, weight: u16) -> u32 {
    u32::from(slot) << 16 | u32::from(weight)
}

fn slot_of(entry: Entry) -> u16 {
    (entry.flags >> 16) as u16
}

fn weight_of(entry: Entry) -> u16 {
    entry.flags as u16
}
