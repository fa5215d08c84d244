//! Time and chance: the two things that a pure core is given and never takes.
//!
//! Cores read no clock and own no randomness. The edge reads both once per turn and hands them in, so a run is its
//! inputs and can be replayed.

mod chance;
mod date;
mod key;
mod time;

pub use chance::{Chance, HashKey};
pub use date::{date, rfc3339};
pub use key::Key;
pub use time::{Duration, Time};
