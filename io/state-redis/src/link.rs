//! An engine's connections to the state tier.
//!
//! [`Start`] waits: at the start of an engine it loads the functions, draws the engine's number and fetches the farm's secret.
//! [`Store`] never waits: each worker has one, and polls one descriptor for it. Which node is asked, and what is asked again, is
//! decided by [`state::links`]; here are sockets, and the words of Redis and Valkey.

mod address;
mod call;
mod check;
mod greeting;
mod heard;
mod list;
mod say;
mod settings;
mod socket;
mod sockets;
mod start;
mod store;
mod talk;
#[cfg(test)]
mod tests;

pub use address::{Address, NoAddress};
pub use check::{Checked, check};
pub use list::Records;
pub use say::{reach, say};
pub use settings::Settings;
pub use start::{SECRET_BYTES, Start};
pub use store::{Status, Store};
pub use talk::Talk;
