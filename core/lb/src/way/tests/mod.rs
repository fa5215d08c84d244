//! Whole messages through the router, one subject a file. `farm` is the load manager without sockets that all of them use.

mod alias;
mod callees;
mod change;
mod delays;
mod failing;
pub(crate) mod farm;
mod flow;
mod followers;
mod full;
mod lost_calls;
mod lost_connections;
mod maddr;
mod memory_full;
mod named;
pub(crate) mod nat;
mod notify;
mod outbound;
mod refused;
mod returning;
mod sips;
mod strangers;
mod strict;
mod trial;
mod unusual_responses;
mod unusual_vias;
mod whole_calls;
mod work;
