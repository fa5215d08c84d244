//! An engine's start: its workers, its number and secret, and the way to its state.

mod events;
pub(crate) mod memory;
pub(crate) mod serve;
mod store;
