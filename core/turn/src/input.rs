//! What a worker tells a core.

use std::net::SocketAddr;

use sip::{ConnectionId, Flow, Target};

use crate::{Claim, None};

/// One event.
#[derive(Clone, Copy, Debug)]
pub enum Input<'a, Answer = None, Letter = None> {
    /// One datagram, or one message cut out of a stream.
    Message { bytes: &'a [u8], flow: Flow },
    /// The framing of a stream is lost, and the worker closes the connection. `bytes` are the received bytes.
    BrokenFrame { bytes: &'a [u8], flow: Flow },
    /// A send to this target failed: this host refused it, or the connection was refused or lost.
    SendFailed { to: Target },
    /// A message could not leave by its stream, and its fallback has left for this destination.
    FellBack { bytes: &'a [u8], to: SocketAddr },
    /// A message to this target could not be sent because this host, or a bound of ours, had no room: descriptors, memory,
    /// ports. That says nothing about the target.
    NoRoom { to: Target },
    /// An ICMP message says that a datagram to this target did not arrive, and quotes the front of it. Anybody can send such
    /// a message; only the quoted bytes can show that the datagram was ours.
    Returned { to: Target, quoted: &'a [u8] },
    /// A connection is gone; `peer` was its other end.
    Closed { id: ConnectionId, peer: SocketAddr },
    /// What the worker found about a peer that wants requests on its own connection.
    Judged { claim: &'a Claim, proven: bool },
    /// The answer to a question.
    Answer(&'a Answer),
    /// A letter from the core of another worker of this process.
    Letter(&'a Letter),
}
