//! What connections tell the worker: messages that came, and what happened besides.

use std::net::SocketAddr;
use std::ops::Range;

use sip::{ConnectionId, Flow, Target};

/// What a stream brought.
#[derive(Clone, Copy, Debug)]
pub enum Received<'a> {
    Message {
        bytes: &'a [u8],
        flow: Flow,
    },
    /// The end of the message cannot be known. An answer may be sent to the connection in this turn; then it is closed.
    Broken {
        bytes: &'a [u8],
        flow: Flow,
    },
}

/// What happened besides messages; the worker takes it, tells the core, and sends the fallbacks.
#[derive(Debug, Default)]
pub struct News {
    /// Messages that could not be sent: their connection was refused or lost, or the peer takes nothing.
    pub failed: Vec<Target>,
    /// Messages that could not be sent because this host or a bound of ours had no room. That says nothing of who should get them.
    pub without_room: Vec<Target>,
    /// Connections that are gone, and who was at their other end.
    pub closed: Vec<(ConnectionId, SocketAddr)>,
    /// Handshakes that we began and that failed: with whom, and what TLS says of it. Each is among the closed, too.
    pub handshakes_failed: Vec<(SocketAddr, String)>,
    /// A server that left Content-Length out of a message; the last of them.
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
