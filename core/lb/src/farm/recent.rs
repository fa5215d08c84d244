//! How often something happened lately: turns counters that only grow, read now and then, into the count of the last five to
//! ten seconds. Two spans, the running one and the one before, so that nothing is kept per event.

use base::{Duration, Time};

/// Long enough for some calls on a quiet farm, short enough that a server which recovered is believed soon.
const SPAN: Duration = Duration::from_secs(5);

/// See the head of this module.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Recent {
    began: Time,
    /// The counter as it was last read.
    total: u64,
    running: u64,
    before: u64,
}

impl Recent {
    pub(crate) fn new(now: Time, total: u64) -> Recent {
        Recent { began: now, total, running: 0, before: 0 }
    }

    /// The counter stands at `total` now.
    pub(crate) fn note(&mut self, now: Time, total: u64) {
        let passed = now.since(self.began);
        if passed >= SPAN {
            self.before = if passed < SPAN * 2 { self.running } else { 0 };
            (self.running, self.began) = (0, now);
        }
        self.running += total.saturating_sub(self.total);
        self.total = total;
    }

    pub(crate) fn count(&self) -> u32 {
        u32::try_from(self.running + self.before).unwrap_or(u32::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_older_than_two_spans_is_forgotten() {
        let mut recent = Recent::new(Time::ZERO, 100);
        recent.note(Time::from_secs(1), 110);
        assert_eq!(recent.count(), 10);
        recent.note(Time::from_secs(6), 111);
        assert_eq!(recent.count(), 11);
        recent.note(Time::from_secs(12), 111);
        assert_eq!(recent.count(), 1);
        recent.note(Time::from_secs(40), 113);
        assert_eq!(recent.count(), 2, "silence in between");
    }
}
