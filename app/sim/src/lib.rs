//! The real cores on a virtual clock and a network in memory.
//!
//! A [`farm::Farm`] has load managers, servers, callers and a lossy network between them, all drawn from one seed. It runs the
//! product's own routers, tells them the time, and carries their messages. Afterwards the [`checkers`] look for violations in
//! all records. [`engines`] does the same for engines and their state tier. A failure names its seed; `STROWGER_SEED` runs only
//! that seed, with a trace.

pub mod addresses;
pub mod callers;
pub mod checkers;
pub mod clock;
mod dialog;
pub mod engines;
pub mod excuse;
pub mod farm;
pub mod fate;
pub mod fault;
pub mod kinds;
pub mod link;
pub mod losses;
pub mod manager;
pub mod node;
pub mod phones;
pub mod plan;
pub mod runs;
pub mod scenario;
pub mod servers;
pub mod sockets;
pub mod stranger;
pub mod text;
pub mod unlike;
pub mod unlike_page;
pub mod witness;

#[cfg(test)]
mod seeds;
#[cfg(test)]
mod stories;
