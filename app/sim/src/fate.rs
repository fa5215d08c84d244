//! What a server of a scenario does with calls, and what happens to the server.

use base::Duration;

/// How a server treats calls.
#[derive(Clone, Copy, Debug)]
pub struct Manners {
    /// Of a thousand calls, so many are refused with 486.
    pub refuses_permille: u32,
    /// Of a thousand answered calls, so many are hung up by the server.
    pub hangs_up_permille: u32,
    /// From the INVITE to the answer at most; it rings half that time at least.
    pub rings: Duration,
}

/// What happens to a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// Takes part in the farm.
    Alive,
    /// Its process stands still: what it receives waits until it goes on.
    Hung,
    /// Its process is gone: nothing is received, and the sender may be told.
    Dead,
    /// Not started yet.
    Absent,
    /// Takes part, and says that it wants no more new calls.
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
