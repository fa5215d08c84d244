//! What a group leaves for the edge.

use std::net::SocketAddr;

use heartbeat::Transport;

/// The end of a call that was offered here, or an answer to a client of another member.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decision {
    /// Answer the call here.
    Take { number: u64 },
    /// Redirect the client to this URI. `told`: the other member has already sent the first such answer.
    Redirect { number: u64, contact: Vec<u8>, told: bool },
    /// Refuse the call; the client may try again after this many seconds.
    Refuse { number: u64, retry_after_seconds: u32 },
    /// Send to a client of another member, once: `answer`, a Contact of `contact`, and the end of the header.
    Tell { client: SocketAddr, transport: Transport, answer: Vec<u8>, contact: Vec<u8> },
}

#[derive(Clone, Debug, Default)]
pub struct Outbox {
    /// To the address of a member; never anywhere else.
    pub datagrams: Vec<(SocketAddr, Vec<u8>)>,
    pub decisions: Vec<Decision>,
}
