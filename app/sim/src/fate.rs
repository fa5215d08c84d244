//! How a server of a scenario treats calls, and what happens to the server.

use base::Duration;

/// How a server treats calls.
#[derive(Clone, Copy, Debug)]
pub struct Manners {
    /// Calls of a thousand that the server refuses with 486.
    pub refuses_permille: u32,
    /// Answered calls of a thousand that the server hangs up.
    pub hangs_up_permille: u32,
    /// Longest time from the INVITE to the answer; the server rings at least half of it.
    pub rings: Duration,
}

/// The state of a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// The server takes part in the farm.
    Alive,
    /// The server's process stands still: messages wait until it goes on.
    Hung,
    /// The server's process is gone: it receives nothing, and the sender may be told.
    Dead,
    /// The server has not been started yet.
    Absent,
    /// The server takes part, and says that it wants no more new calls.
    Drained,
}

impl Fate {
    pub(crate) fn is_well(self) -> bool {
        match self {
            Fate::Alive | Fate::Drained => true,
            Fate::Hung | Fate::Dead | Fate::Absent => false,
        }
    }
}
