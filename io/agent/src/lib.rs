//! The agent beside a SIP server (SPEC A11, A12, B3). It starts the server, watches and restarts it, measures it and its
//! host, sends its heartbeat, and answers load queries: single queries, and those of performance servers. [`run()`] does all
//! of it, for any SIP server, unmodified.
//!
//! One thread, one poll: signals, the end of the server, queries, commands and timers are events for one pure machine
//! ([`supervise`]), and this crate carries out its actions. An agent that is killed leaves its server running; the next
//! agent with the same state file takes the server over.
//!
//! Beside a server of a Redis or Valkey cluster it does the same, and has the replica promoted when the server dies
//! ([`state::failover`]).
//!
//! A program without a server to supervise but with a load to tell, such as a load manager among others (SPEC A8), uses
//! [`collect::Collector`] and [`send::Sender`] alone.

pub mod collect;
pub mod control;
mod death;
mod figures_file;
mod gather;
pub mod get_data;
mod network;
mod notices;
mod proc;
mod pulse;
mod ready;
mod run;
pub mod send;
pub mod settings;
mod shard;
mod signals;
mod state_file;
mod status;
pub mod supervise;
#[cfg(test)]
mod tests;

pub use run::run;
pub use settings::Settings;
pub use status::figures;
