//! Addresses and connections, ours and those of others: which connection reaches whom.

pub mod alias;
pub(crate) mod flows;
pub(crate) mod keep_alive;
pub(crate) mod own;
pub(crate) mod refusing;
