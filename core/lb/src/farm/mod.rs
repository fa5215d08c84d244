//! All about the servers of the farm: their identity, their condition, and the view of them that the data path gets.

pub mod active_table;
pub mod admitted;
pub mod condition;
pub mod consistent;
pub mod delays;
pub mod departed;
pub mod evidence;
pub mod failing;
pub mod health;
pub mod hearsay;
pub mod pace;
pub mod probes;
mod recent;
pub(crate) mod room;
pub mod score;
pub mod server;
pub mod server_counters;
pub mod server_table;
pub mod snapshot;
