//! Times that both demos keep.

use std::time::Duration;

/// From the answer of a call to its BYE.
pub(crate) const TALK: Duration = Duration::from_secs(3);
/// For calls that are up when the time is over: every transaction ends within this time.
pub(crate) const SETTLE: Duration = Duration::from_secs(45);
/// Time between two pictures.
pub(crate) const PICTURE: Duration = Duration::from_millis(250);
