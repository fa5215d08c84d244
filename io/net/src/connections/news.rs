//! What connections tell the worker: messages that came, and what happened besides.

use std::net::SocketAddr;
use std::ops::Range;

use sip::{ConnectionId, Flow, Target};

/// The input from a stream.
#[derive(Clone, Copy, Debug)]
pub enum Received<'a> {
    Message {
        bytes: &'a [u8],
        flow: Flow,
    },
    /// The end of the message cannot be known. An answer may be sent to the connection in this turn; then the connection is
    /// closed.
    Broken {
        bytes: &'a [u8],
        flow: Flow,
    },
}

/// Everything besides messages. The worker takes it, tells the core, and sends the fallbacks.
#[derive(Debug, Default)]
pub struct News {
    /// Messages that could not be sent: their connection was refused or lost, or the peer takes nothing.
    pub failed: Vec<Target>,
    /// Messages that could not be sent because this host or a bound of ours had no room. That says nothing about their
    /// destination.
    pub without_room: Vec<Target>,
    /// Connections that are gone, and their peers.
    pub closed: Vec<(ConnectionId, SocketAddr)>,
    /// Handshakes that we began and that failed: the peer, and the error of TLS. Each is also among the closed connections.
    pub handshakes_failed: Vec<(SocketAddr, String)>,
    /// The last server that left Content-Length out of a message.
    pub without_length: Option<SocketAddr>,
    /// Messages to send by UDP instead; the ranges lie in `fallback_bytes`.
    pub fallbacks: Vec<(Range<u32>, Target)>,
    pub fallback_bytes: Vec<u8>,
}

impl News {
    pub fn is_empty(&self) -> bool {
        self.failed.is_empty()
            && self.without_room.is_empty()
            && self.closed.is_empty()
            && self.fallbacks.is_empty()
            && self.without_length.is_none()
    }
}
