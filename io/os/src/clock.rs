//! The clock of the process: all workers read the same one, so that their times can be compared.

use std::time::{Instant, SystemTime, UNIX_EPOCH};

use base::{Duration, Time};

/// Monotonic; starts one hour in, so that a time before the start can be written down.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    start: Instant,
}

impl Clock {
    /// Made once per process and copied to every thread.
    pub fn start() -> Clock {
        Clock { start: Instant::now() }
    }

    #[inline]
    pub fn now(&self) -> Time {
        Time::from_secs(3600) + self.start.elapsed()
    }
}

/// What the wall clock says, since the beginning of 1970. It may be set, back too: for log lines, and for numbers that rise
/// over restarts; never for how long something took.
pub fn since_1970() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
}
