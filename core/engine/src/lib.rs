//! The engine (SPEC E): calls whose record outlives the engine that handles them.
//!
//! What an engine sends is a function of the farm's secret, the call's record and the event. So two engines that have one record
//! and one event send the same bytes, and whoever takes a call over repeats where the other has stopped. This crate has the
//! functions that give the names of a call, and the form of its record; no role of the binary uses it so far.

pub mod names;
pub mod record;
mod secret;

pub use secret::FarmSecret;
