//! The clock of the process: all workers read the same one, so that their times can be compared.

use std::time::Instant;

use base::Time;

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
