//! Faults on record (the F of FCAPS; SPEC A9). One JSON object per line, written by a thread of its own through a bounded
//! queue, so that the data path never waits for a disk.

mod fault;
mod log;

pub use fault::Fault;
pub use log::{FaultLog, Output};
