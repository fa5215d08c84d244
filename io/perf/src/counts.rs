//! What polling counts.

use heartbeat::Ignored;

/// The counts of polling.
#[derive(Clone, Copy, Debug, Default)]
pub struct Counts {
    pub polls: u64,
    pub answers: u64,
    /// Polls without an answer in time.
    pub misses: u64,
    pub notifications: u64,
    /// Connections made. In a healthy farm, there are as many as agents.
    pub connections: u64,
    /// Answers about another server than the expected one.
    pub other_server: u64,
    /// Frames and lines that were not believed, by reason; each ended its connection.
    pub ignored: [u64; Ignored::ALL.len()],
}
