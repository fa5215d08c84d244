//! The heartbeat of a server (SPEC A3, A4, A12): one datagram, the load figures in it, and when silence means death.
//!
//! A receiver calls [`Heartbeat::decode`], then [`Replay::admit`] of the sender, then keeps the time of arrival and asks
//! [`Decay`] whether the heartbeat still counts. A sender calls [`Heartbeat::encode`]. A [`Query`] asks for the same
//! datagram at any time, and [`stream`] carries both over TCP between agents, performance servers and load managers (SPEC
//! B3).

pub mod authenticator;
pub mod datagram;
pub mod death;
pub mod decay;
pub mod form;
#[cfg(test)]
mod golden;
mod ignored;
pub mod load;
pub mod measure;
pub mod notice;
pub mod query;
mod replay;
pub mod stream;
mod tail;

pub use datagram::{Heartbeat, ServerState, Transport};
pub use decay::Decay;
pub use ignored::Ignored;
pub use load::Load;
pub use query::Query;
pub use replay::{Replay, next_count};
