//! Data that travels in messages instead of in a table, and the keys that protect it: tags, hops, flow tokens, branches.

pub mod branch;
pub(crate) mod flow_token;
pub mod hop;
pub mod keyring;
pub mod stamp;
pub mod tag;
pub mod token;
