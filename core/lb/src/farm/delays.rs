//! How long servers take to answer, as RFC 6076 measures it: histograms by server, one set for each worker.
//!
//! The time when a request was passed on is in the hop of our own Via ([`crate::signed::hop`]) and comes back with the
//! response. So nothing is kept for a request, however long it takes. Only the worker writes its part, with plain stores;
//! memory for a server is taken with its first answer.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering::Relaxed};

use base::Duration;

use crate::farm::server::Seat;

/// The delays that are measured, always towards a server and back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(usize)]
pub enum Delay {
    /// RFC 6076 §4.3.1: from the INVITE to the first provisional response other than 100, or to the 2xx if there is none.
    Session,
    /// RFC 6076 §4.3.2: from the INVITE to its failure, if nothing came before.
    FailedSession,
    /// RFC 6076 §4.4: from the BYE to its 2xx.
    Disconnect,
    /// From the BYE to its failure.
    FailedDisconnect,
    /// RFC 6076 §4.1: from the REGISTER to its 2xx. After a challenge, the next REGISTER is another request.
    Registration,
}

impl Delay {
    pub const ALL: [Delay; 5] = [
        Delay::Session,
        Delay::FailedSession,
        Delay::Disconnect,
        Delay::FailedDisconnect,
        Delay::Registration,
    ];
}

/// Upper bounds of the buckets, milliseconds; the last bucket takes longer times. From a server in the same rack to timer B.
pub const BOUNDS_MS: [u32; 14] = [1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10_000, 32_000];
const BUCKETS: usize = BOUNDS_MS.len() + 1;

/// The measurements of one server by one worker.
#[derive(Debug)]
struct Cell {
    /// Incarnation of the seat that the figures belong to, as slots are used again.
    owner: AtomicU32,
    counts: [[AtomicU32; BUCKETS]; Delay::ALL.len()],
    sums_us: [AtomicU64; Delay::ALL.len()],
}

/// One histogram, summed over the workers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Histogram {
    /// How many fell into each bucket, in the order of [`BOUNDS_MS`], then those above the last bound.
    pub counts: [u64; BUCKETS],
    pub sum_us: u64,
}

impl Histogram {
    pub fn count(&self) -> u64 {
        self.counts.iter().sum()
    }
}

/// By worker and slot ([`Seat`]).
#[derive(Debug)]
pub struct Delays {
    cells: Box<[OnceLock<Box<Cell>>]>,
    slots: usize,
}

impl Delays {
    pub fn new(workers: usize, slots: usize) -> Delays {
        Delays { cells: (0..workers * slots).map(|_| OnceLock::new()).collect(), slots }
    }

    /// This worker measured a delay.
    pub fn note(&self, worker: u8, seat: Seat, what: Delay, took: Duration) {
        let slot = usize::from(seat.slot);
        if slot >= self.slots {
            return;
        }
        let Some(cell) = self.cells.get(usize::from(worker) * self.slots + slot) else { return };
        let cell = cell.get_or_init(|| Box::new(Cell::new(seat)));
        if cell.owner.load(Relaxed) != seat.incarnation {
            cell.begin_anew(seat);
        }
        let ms = took.as_micros().div_ceil(1000);
        let bucket = BOUNDS_MS.iter().filter(|bound| u128::from(**bound) < ms).count();
        let (count, sum) = (&cell.counts[what as usize][bucket], &cell.sums_us[what as usize]);
        count.store(count.load(Relaxed).wrapping_add(1), Relaxed);
        sum.store(sum.load(Relaxed).wrapping_add(took.as_micros() as u64), Relaxed);
    }

    /// The measurements of all workers for a server, added up; the parts may differ in age by a moment.
    pub fn of(&self, seat: Seat, what: Delay) -> Histogram {
        let mut whole = Histogram::default();
        if usize::from(seat.slot) >= self.slots {
            return whole;
        }
        let of_slot = self.cells.iter().skip(usize::from(seat.slot)).step_by(self.slots);
        for cell in of_slot.filter_map(|cell| cell.get()).map(Box::as_ref) {
            if cell.owner.load(Relaxed) != seat.incarnation {
                continue;
            }
            for (sum, count) in whole.counts.iter_mut().zip(&cell.counts[what as usize]) {
                *sum += u64::from(count.load(Relaxed));
            }
            whole.sum_us += cell.sums_us[what as usize].load(Relaxed);
        }
        whole
    }
}

impl Cell {
    fn new(seat: Seat) -> Cell {
        Cell {
            owner: AtomicU32::new(seat.incarnation),
            counts: Default::default(),
            sums_us: Default::default(),
        }
    }

    fn begin_anew(&self, seat: Seat) {
        self.counts.iter().flatten().for_each(|count| count.store(0, Relaxed));
        self.sums_us.iter().for_each(|sum| sum.store(0, Relaxed));
        self.owner.store(seat.incarnation, Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SEAT: Seat = Seat { slot: 1, incarnation: 4 };

    #[test]
    fn each_falls_into_the_first_bucket_whose_bound_it_does_not_pass() {
        let delays = Delays::new(2, 3);
        let cases = [
            (0, 0),
            (1000, 0),
            (1001, 1),
            (2000, 1),
            (99_999, 6),
            (100_000, 6),
            (100_001, 7),
            (99_000_000, 14),
        ];
        for (us, bucket) in cases {
            let before = delays.of(SEAT, Delay::Session);
            delays.note(1, SEAT, Delay::Session, Duration::from_micros(us));
            let after = delays.of(SEAT, Delay::Session);
            assert_eq!(after.counts[bucket], before.counts[bucket] + 1, "{us} µs");
            assert_eq!(after.sum_us, before.sum_us + us);
        }
        assert_eq!(delays.of(SEAT, Delay::Session).count(), cases.len() as u64);
        assert_eq!(delays.of(SEAT, Delay::Disconnect), Histogram::default());
        assert_eq!(delays.of(Seat { slot: 0, ..SEAT }, Delay::Session), Histogram::default());
    }

    #[test]
    fn workers_add_up_and_a_slot_that_is_used_again_begins_at_zero() {
        let delays = Delays::new(2, 3);
        let took = Duration::from_millis(3);
        for worker in 0..2 {
            delays.note(worker, SEAT, Delay::Disconnect, took);
        }
        assert_eq!(delays.of(SEAT, Delay::Disconnect).counts[2], 2);
        let next = Seat { incarnation: 5, ..SEAT };
        delays.note(0, next, Delay::Disconnect, took);
        assert_eq!(delays.of(next, Delay::Disconnect).count(), 1);
        assert_eq!(delays.of(SEAT, Delay::Disconnect).count(), 1, "what the other worker measured");
        // A worker or a slot that does not exist: nothing is kept, nothing breaks.
        let beyond = Seat { slot: 3, ..SEAT };
        delays.note(2, SEAT, Delay::Session, took);
        delays.note(0, beyond, Delay::Session, took);
        assert_eq!(delays.of(SEAT, Delay::Session), Histogram::default());
        assert_eq!(delays.of(beyond, Delay::Session), Histogram::default());
    }
}
