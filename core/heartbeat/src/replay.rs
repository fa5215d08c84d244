//! Protection against heartbeats that were recorded and are sent again: the count of a sender only ever rises.

use base::Duration;

use crate::datagram::Heartbeat;
use crate::ignored::Ignored;

/// What a receiver remembers of one sender: the largest count so far. One per server in the server table.
///
/// A sender takes as count the microseconds of its wall clock, or one more than its last count where that is larger. So the
/// count rises over restarts of the sender too, and nothing recorded in an earlier life is believed in a later one. A sender
/// whose clock may be set back keeps its last count over restarts, or is refused until its clock has caught up. A
/// receiver that was itself restarted believes the first count it sees.
///
/// It needs a key: without one, whoever forges a datagram forges its count too, and could silence the sender with the largest.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Replay {
    largest: Option<u64>,
}

impl Replay {
    /// How far the count of a heartbeat is behind the largest: where counts are clocks, how far the sender's clock is behind
    /// what it was.
    pub fn behind(&self, heartbeat: &Heartbeat) -> Duration {
        let largest = self.largest.unwrap_or(0);
        Duration::from_micros(largest.saturating_sub(heartbeat.count.unwrap_or(largest)))
    }

    /// Whether `heartbeat` is newer than all before. A sender that has once counted must go on counting.
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
