//! Faults on record (the F of FCAPS; SPEC A9). One JSON object per line, written by a thread of its own through a bounded
//! queue, so that the data path never waits for a disk.

mod fault;
mod log;

pub use fault::Fault;
pub use log::{FaultLog, Output};

/// `2026-11-20T10:56:25.123Z` (RFC 3339 §5.6), always in UTC.
pub fn rfc3339(time: std::time::SystemTime) -> String {
    base::rfc3339(time.duration_since(std::time::UNIX_EPOCH).unwrap_or_default())
}
