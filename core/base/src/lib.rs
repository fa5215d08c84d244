//! Time and chance: a pure core gets both as arguments, and never takes them itself.
//!
//! Cores read no clock and have no randomness of their own. The edge reads both once per turn and gives them to the core, so
//! a run depends only on its inputs and can be replayed. [`Counter`] counts what a thread did, for others to read. [`fields`] are
//! values as bytes, for another build.

mod chance;
mod counter;
mod date;
pub mod fields;
mod key;
mod network;
mod time;

pub use chance::{Chance, HashKey};
pub use counter::Counter;
pub use date::{date, rfc3339};
pub use key::Key;
pub use network::Network;
pub use time::{Duration, Time};
