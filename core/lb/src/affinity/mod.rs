//! How a message of a known call finds its server.

pub mod hash;
pub mod tag;
