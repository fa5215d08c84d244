//! An engine's start: its workers, its number and secret, and the way to its state.

mod core;
mod events;
mod keeper;
pub(crate) mod memory;
mod part;
mod seen;
pub(crate) mod serve;
mod store;
