//! The clock of the process. All workers read the same clock, so their times can be compared.

use std::time::{Instant, SystemTime, UNIX_EPOCH};

use base::{Duration, Time};

/// Monotonic. It starts at one hour, so that a time before the start can be expressed.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    start: Instant,
}

impl Clock {
    /// Made once in a process and copied to every thread.
    pub fn start() -> Clock {
        Clock { start: Instant::now() }
    }

    /// The clock of another process on this machine, which said when it began. `None`: no clock can have begun then.
    pub fn begun_at(us: u64) -> Option<Clock> {
        let age = Duration::from_micros(monotonic_us().checked_sub(us)?);
        Some(Clock { start: Instant::now().checked_sub(age)? })
    }

    /// When it began: microseconds of CLOCK_MONOTONIC, which all processes of a machine share.
    pub fn began_us(&self) -> u64 {
        monotonic_us().saturating_sub(self.start.elapsed().as_micros() as u64)
    }

    #[inline]
    pub fn now(&self) -> Time {
        Time::from_secs(3600) + self.start.elapsed()
    }
}

/// The wall clock, since the beginning of 1970. Somebody may set it, also back: use it for log lines and for numbers that
/// rise over restarts, never to measure how long something took.
pub fn since_1970() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
}

/// CLOCK_MONOTONIC, in microseconds: the clock that the service manager compares with, and the one behind [`Instant`].
pub(crate) fn monotonic_us() -> u64 {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the kernel writes one `timespec`, which lives through the call.
    unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC, &raw mut time) };
    time.tv_sec as u64 * 1_000_000 + time.tv_nsec as u64 / 1000
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_process_goes_on_with_the_same_times() {
        let first = Clock::start();
        let second = Clock::begun_at(first.began_us()).unwrap();
        let (before, there, after) = (first.now(), second.now(), first.now());
        let near = Duration::from_millis(5);
        assert!(there + near >= before && there <= after + near, "{before:?} {there:?} {after:?}");
        assert!(Clock::begun_at(u64::MAX).is_none());
    }
}
