//! The state tier (SPEC E1, E2): records of calls, and what may be done with them, wherever they lie.
//!
//! A record belongs to one call and lies in one of 256 [`Partition`]s. A [`Command`] concerns one partition and takes effect whole
//! or not at all. Nobody locks a record: a put names the [`Stamp`] of the record that it was made from, and is refused if another
//! put came between.
//!
//! Times of the state tier are [`Millis`] since 1970, by a clock on which all engines of a farm agree.

mod ask;
mod command;
pub mod configuration;
pub mod failover;
mod header;
mod key;
pub mod links;
mod partition;
pub mod planted;
pub mod skew;
pub mod view;
pub mod wakeup;

pub use ask::{Ask, Reply, Unanswered};
pub use command::{Also, Answer, Command, Create, Del, Due, Effect, List, Mark, Millis, OwnedBy, Put};
pub use header::{FORMAT, Fence, Header, HeaderError, Stamp, TOMBSTONE};
pub use key::{Key, read_base32, write_base32};
pub use partition::{Bounds, Counts, Partition};
