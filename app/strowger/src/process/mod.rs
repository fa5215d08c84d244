//! What any role needs of its process: the log, signals, and whether ports can be had. It knows no role.

pub(crate) mod log;
pub(crate) mod ports;
pub(crate) mod signals;
