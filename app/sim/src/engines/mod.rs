//! Engines on a state tier: the product's engines and its partitions of records, callers and callees around them, and faults
//! between any two effects of an engine's turn.
//!
//! A [`World`] is drawn from a seed, like a farm of load managers. Its network gives each message for the farm's address to one
//! of the engines. Afterwards [`World::wrong`] tells what callers, callees or the store have to complain of.

mod asking;
mod case;
mod checks;
mod draw;
mod event;
mod faults;
mod holder;
mod lasting;
mod member;
pub mod planted;
mod portion;
mod queries;
mod runs;
#[cfg(test)]
mod seeds;
mod shard;
mod tap;
mod world;

pub use case::{Case, Fault, Kind, What, farm_address};
pub use member::Blow;
pub use portion::Portion;
pub use runs::{Summary, run};
pub use world::World;
