//! What a caller intends, and what became of it.

use std::net::SocketAddr;

use base::{Duration, Time};
use sip::Transport;

/// What a caller intends.
#[derive(Clone, Copy, Debug)]
pub struct Plan {
    pub transport: Transport,
    /// The load manager that it was told of.
    pub manager: SocketAddr,
    pub starts: Time,
    /// From the answer to the BYE.
    pub talks: Duration,
    /// It gives up if there is no answer after this time.
    pub patience: Option<Duration>,
}

/// How a call went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    Pending,
    Answered,
    /// A final status of 300 or more.
    Refused(u16),
    /// Nothing came at all, until timer B.
    Unheard,
    /// It gave up, and nothing came of that either (RFC 3261 §9.1).
    GivenUp,
}
