//! What a turn of a core leaves behind: messages to send and events to record. The edge drains it.

use std::net::SocketAddr;
use std::ops::Range;

use heartbeat::notice::Notice;
use sip::{ConnectionId, Target};

/// Effects of one turn, owned by the caller and reused. Messages lie one behind the other in `bytes`.
#[derive(Debug, Default)]
pub struct Outbox {
    pub bytes: Vec<u8>,
    pub sends: Vec<Outgoing>,
    pub events: Vec<Event>,
    /// What other load managers are to be told, before any of the messages leaves: then a call that reached a server is
    /// known to them, whatever becomes of us.
    pub notices: Vec<Notice>,
    /// Peers whose certificates the edge is to look at; it says what it found by [`crate::way::router::Input::Judged`].
    pub claims: Vec<Claim>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outgoing {
    pub bytes: Range<u32>,
    pub to: Target,
    /// For a request above the datagram limit that goes by stream: the same message for UDP, if the stream cannot be
    /// had (RFC 3261 §18.1.1).
    pub fallback: Option<(Range<u32>, Target)>,
    /// What stands for the call: messages of one call to one destination must leave in their order. 0: none is known.
    pub call: u64,
}

/// Something worth a record (FCAPS). Rare by nature: never one per message of a healthy call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// A message of a known call whose server is gone went to another one (SPEC A9).
    TakenOver {
        call_id: Box<[u8]>,
        method: Box<[u8]>,
        /// Who sent it.
        client: SocketAddr,
        /// The server that is gone; `None` when the tables know it no more.
        from: Option<SocketAddr>,
        to: SocketAddr,
        why: &'static str,
    },
}

/// What the edge is to find out: whether the peer of a connection has a certificate with these names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claim {
    pub id: ConnectionId,
    /// Of ours, which the connection came by.
    pub listener: u8,
    /// Where a connection would be opened to; what its certificate must prove then, it must prove now.
    pub address: SocketAddr,
    /// The host name by which the peer calls itself, where that is one.
    pub name: Option<Box<[u8]>>,
}
