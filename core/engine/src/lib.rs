//! The engine (SPEC E): calls whose record outlives the engine that handles them.
//!
//! What an engine sends is a function of the farm's secret, the call's record and the event. So two engines that have one record
//! and one event send the same bytes, and whoever takes a call over repeats where the other has stopped. What may not be lost lies in the record;
//! the rest is in memory, and costs a repetition.

pub mod application;
mod hint;
mod letter;
pub mod names;
mod probe;
mod process;
pub mod record;
mod secret;
mod settings;
mod soft;
mod step;
#[cfg(test)]
mod tests;
mod text;

pub use process::{Answer, Counters, Engine, Event, Letter};
pub use record::{Mode, Phase};
pub use secret::FarmSecret;
pub use settings::{Address, Bounds, Settings};
