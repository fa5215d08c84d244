//! Protection against recorded heartbeats: the count of a sender only rises.

use base::Duration;

use crate::datagram::Heartbeat;
use crate::ignored::Ignored;

/// What a receiver remembers of one sender: the largest count so far. The server table has one per server.
///
/// The count of a sender is its wall clock in microseconds, or its last count plus one if that is larger. So the count also
/// rises over restarts of the sender, and no recording of an earlier life is believed in a later one. A sender whose clock
/// may be set back must keep its last count over restarts; otherwise it is refused until its clock has caught up. A
/// restarted receiver believes the first count that it sees.
///
/// This needs a key: without one, a forger also chooses the count, and could silence the sender with the largest count.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Replay {
    largest: Option<u64>,
}

impl Replay {
    /// The largest count so far; `None`: the sender has not counted.
    pub fn largest(&self) -> Option<u64> {
        self.largest
    }

    /// How far the count of a heartbeat is behind the largest count. If counts are clocks, this is how far the sender's
    /// clock was set back.
    pub fn behind(&self, heartbeat: &Heartbeat) -> Duration {
        let largest = self.largest.unwrap_or(0);
        Duration::from_micros(largest.saturating_sub(heartbeat.count.unwrap_or(largest)))
    }

    /// Whether `heartbeat` is newer than all before. A sender that has counted once must go on counting.
    pub fn admit(&mut self, heartbeat: &Heartbeat) -> Result<(), Ignored> {
        match (self.largest, heartbeat.count) {
            (Some(largest), Some(count)) if count <= largest => Err(Ignored::Replayed),
            (Some(_), None) => Err(Ignored::Replayed),
            (_, Some(count)) => {
                self.largest = Some(count);
                Ok(())
            }
            (None, None) => Ok(()),
        }
    }
}

/// The count for the next datagram of a sender; `clock_micros` is its wall clock since 1970.
pub fn next_count(last: u64, clock_micros: u64) -> u64 {
    clock_micros.max(last.saturating_add(1))
}
