//! What a worker's way to the state tier looks like, published twice a second for whoever asks for the engine's status.

use std::sync::Arc;

use arc_swap::ArcSwapOption;
use base::Time;
use state_redis::link::Status;

/// One look. `None` before the first.
pub(crate) type Seen = Arc<ArcSwapOption<Look>>;

pub(crate) struct Look {
    pub(crate) status: Status,
    pub(crate) at: Time,
    /// The time of the state tier at that moment, microseconds since 1970.
    pub(crate) micros: u64,
}
