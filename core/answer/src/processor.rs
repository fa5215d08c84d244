//! A simulated processor for the answering server, so that a farm of unlike servers can be tried on one host. It does one
//! call's work after the other, at a set speed. It is only a clock: while it "works", the real processor is idle. A real
//! process may be named as its neighbour: the neighbour's use of the real processor is subtracted here.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering::Relaxed};

use base::{Duration, Time};

/// A neighbour leaves at least a twentieth; otherwise a call's work would take for ever.
const TAKEN_PERMILLE_MAX: u32 = 950;

/// The load of the processor, shared by the worker and the thread that measures.
#[derive(Debug, Default)]
pub struct Load {
    /// Share of the processor's time that the neighbour takes.
    taken_permille: AtomicU32,
    /// All work given so far, in time on this processor, and the time when it will be done; microseconds.
    given_us: AtomicU64,
    done_at_us: AtomicU64,
}

impl Load {
    pub fn set_taken_permille(&self, permille: u32) {
        self.taken_permille.store(permille.min(TAKEN_PERMILLE_MAX), Relaxed);
    }

    /// Time that the processor has worked until `now`, microseconds.
    fn worked_us(&self, now: Time) -> u64 {
        let left = self.done_at_us.load(Relaxed).saturating_sub(now.as_micros());
        self.given_us.load(Relaxed).saturating_sub(left)
    }
}

/// The processor as its worker drives it.
#[derive(Debug, Default)]
pub(super) struct Processor {
    load: Arc<Load>,
    done_at: Time,
}

impl Processor {
    /// The load, to be measured.
    pub(super) fn load(&self) -> Arc<Load> {
        Arc::clone(&self.load)
    }

    /// Adds work that takes `work` without a neighbour; returns the time when it is done.
    pub(super) fn give(&mut self, now: Time, work: Duration) -> Time {
        let left = u128::from(1000 - self.load.taken_permille.load(Relaxed));
        let takes = Duration::from_micros((work.as_micros() * 1000 / left) as u64);
        self.done_at = self.done_at.max(now) + takes;
        self.load.given_us.fetch_add(takes.as_micros() as u64, Relaxed);
        self.load.done_at_us.store(self.done_at.as_micros(), Relaxed);
        self.done_at
    }
}

/// Turns the load into CPU use between two readings.
#[derive(Debug)]
pub struct Meter {
    load: Arc<Load>,
    before: (Time, u64),
}

impl Meter {
    pub fn new(load: Arc<Load>, now: Time) -> Meter {
        let before = (now, load.worked_us(now));
        Meter { load, before }
    }

    /// CPU use since the last reading, permille: the neighbour's share, plus our use of the rest.
    pub fn cpu_permille(&mut self, now: Time) -> u32 {
        let worked = self.load.worked_us(now);
        let (at, before) = std::mem::replace(&mut self.before, (now, worked));
        let elapsed = now.since(at).as_micros().max(1);
        let own = u128::from(worked.saturating_sub(before)) * 1000 / elapsed;
        let taken = self.load.taken_permille.load(Relaxed);
        taken + own.min(1000) as u32 * (1000 - taken) / 1000
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WORK: Duration = Duration::from_millis(100);

    fn at(ms: u64) -> Time {
        Time::from_millis(10_000 + ms)
    }

    #[test]
    fn one_call_after_the_other_and_idle_time_is_not_saved() {
        let mut processor = Processor::default();
        assert_eq!([at(0), at(0), at(50)].map(|now| processor.give(now, WORK)), [at(100), at(200), at(300)]);
        assert_eq!(processor.give(at(1000), WORK), at(1100));
    }

    #[test]
    fn a_neighbour_makes_work_longer_and_is_seen_in_the_figures() {
        let mut processor = Processor::default();
        let mut meter = Meter::new(processor.load(), at(0));
        assert_eq!(meter.cpu_permille(at(1000)), 0);
        processor.give(at(1000), WORK);
        assert_eq!(meter.cpu_permille(at(1050)), 1000, "in the midst of it");
        assert_eq!(meter.cpu_permille(at(1550)), 100, "50 of 500 ms");
        processor.load().set_taken_permille(600);
        assert_eq!(meter.cpu_permille(at(2000)), 600);
        assert_eq!(processor.give(at(2000), WORK), at(2250));
        assert_eq!(meter.cpu_permille(at(2500)), 800);
        processor.load().set_taken_permille(1000);
        assert_eq!(processor.give(at(3000), WORK), at(5000), "a twentieth is left");
    }
}
