//! A caller's plan, and the outcome of its call.

use std::net::SocketAddr;

use base::{Duration, Time};
use sip::Transport;

/// The plan of a caller.
#[derive(Clone, Copy, Debug)]
pub struct Plan {
    pub transport: Transport,
    /// The load manager to which the caller sends.
    pub manager: SocketAddr,
    pub starts: Time,
    /// Time from the answer to the BYE.
    pub talks: Duration,
    /// The caller gives up if no answer comes within this time.
    pub patience: Option<Duration>,
}

/// The outcome of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    Pending,
    Answered,
    /// A final status of 300 or more.
    Refused(u16),
    /// No response came until timer B.
    Unheard,
    /// The caller gave up, and its CANCEL led to no final answer either (RFC 3261 §9.1).
    GivenUp,
}
