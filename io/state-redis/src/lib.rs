//! The state tier behind RESP, the protocol of Redis and Valkey (SPEC E1, E2).
//!
//! [`resp`] reads and writes the protocol, [`wire`] the commands of [`state::Command`] in it. The same words are understood by a
//! Redis server that has our [`functions`], and by the [`server`] of this crate.

#[cfg(test)]
mod contract;
pub mod functions;
pub mod link;
pub mod resp;
pub mod server;
#[cfg(test)]
mod testing;
pub mod wire;
