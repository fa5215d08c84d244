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
