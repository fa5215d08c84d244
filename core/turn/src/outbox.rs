//! What a turn of a core leaves: messages to send, questions, letters, events to record. The worker empties it.

use std::net::SocketAddr;
use std::ops::Range;

use sip::{ConnectionId, Target};

use crate::None;

/// Effects of one turn. The worker owns it and uses it again. Messages lie one behind the other in `bytes`.
#[derive(Debug)]
pub struct Outbox<Ask = None, Letter = None, Event = None> {
    pub bytes: Vec<u8>,
    pub sends: Vec<Outgoing>,
    /// Given to others before any message leaves.
    pub asks: Vec<Ask>,
    /// For the cores of other workers, with the number of the worker.
    pub letters: Vec<(u8, Letter)>,
    pub events: Vec<Event>,
    /// Peers whose certificates the worker must check; [`crate::Input::Judged`] brings the result.
    pub claims: Vec<Claim>,
}

impl<Ask, Letter, Event> Default for Outbox<Ask, Letter, Event> {
    fn default() -> Self {
        Outbox {
            bytes: Vec::new(),
            sends: Vec::new(),
            asks: Vec::new(),
            letters: Vec::new(),
            events: Vec::new(),
            claims: Vec::new(),
        }
    }
}

impl<Ask, Letter, Event> Outbox<Ask, Letter, Event> {
    /// Adds a message that is already written. A core on the way of calls writes into `bytes` instead of copying.
    pub fn post(&mut self, message: &[u8], to: Target) {
        let start = self.bytes.len() as u32;
        self.bytes.extend_from_slice(message);
        self.sends.push(Outgoing { bytes: start..self.bytes.len() as u32, to, fallback: None, call: 0 });
    }
}

/// One message on its way out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outgoing {
    pub bytes: Range<u32>,
    pub to: Target,
    /// For a request above the datagram limit that goes by stream: the same message for UDP, if the stream cannot be opened
    /// (RFC 3261 §18.1.1).
    pub fallback: Option<(Range<u32>, Target)>,
    /// A number for the call: messages of one call to one destination must leave in order. 0: the call is unknown.
    pub call: u64,
}

/// What the worker must find out for connection reuse (RFC 5923): whether the peer of a connection has a certificate with
/// these names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claim {
    pub id: ConnectionId,
    /// Our listener of the connection.
    pub listener: u8,
    /// The address to which a connection would be opened: the certificate must prove the same names now as it would then.
    pub address: SocketAddr,
    /// The host name by which the peer calls itself, if it uses a name.
    pub name: Option<Box<[u8]>>,
}
