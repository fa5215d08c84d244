//! The performance server (SPEC B3): it polls agents over lasting connections, keeps the newest figures of each server, and
//! serves them to load managers by the same protocol ([`heartbeat::stream`]). [`poller::Poller`] asks, [`board::Board`]
//! keeps, [`serve::Server`] answers. An agent uses [`serve::Server`] alone.
//!
//! All of it is one thread with one poll, in a process of its own or beside the load manager's workers. The workers read
//! scores from a snapshot and never wait for this thread.

pub mod agent_check;
pub mod board;
mod connect;
mod counts;
mod options;
mod place;
pub mod poller;
pub mod serve;
#[cfg(test)]
mod tests;

pub use board::Board;
pub use poller::{Counts, Poller};
pub use serve::Server;
