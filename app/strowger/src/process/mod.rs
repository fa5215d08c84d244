//! What every role needs of its process: the log, printing, signals, passwords in files, and a check of ports. It knows no role.

pub(crate) mod lock;
pub(crate) mod log;
pub(crate) mod ports;
#[macro_use]
pub(crate) mod print;
pub(crate) mod password;
pub(crate) mod signals;
