//! What is known of the servers of the farm: who they are, how they are, and what of it the data path sees.

pub mod active_table;
pub mod consistent;
pub mod delays;
pub mod evidence;
pub mod health;
mod recent;
pub mod server_table;
pub mod snapshot;
