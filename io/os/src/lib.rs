//! What every part at the edge needs of the system, once: the clock, chance, signals, waiting for descriptors, small socket
//! helpers, log lines, powers of the process, what it tells its service manager. What only one part needs stays in that part.

pub mod chance;
mod clock;
pub mod handing;
pub mod icmp;
pub mod log;
pub mod notify;
pub mod poll;
pub mod privilege;
mod signals;
pub mod udp;
pub mod unix;

pub use chance::chance;
pub use clock::{Clock, since_1970};
pub use signals::Signals;
