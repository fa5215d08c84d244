//! What any role needs of its process: the log, what is printed, signals, and whether ports can be had. It knows no role.

pub(crate) mod log;
pub(crate) mod ports;
#[macro_use]
pub(crate) mod print;
pub(crate) mod signals;
