//! Outputs of the load manager beside messages: notices for other load managers, questions about names, events to record.

use std::net::SocketAddr;

use dns::record::Question;
use heartbeat::notice::Notice;
use sip::Transport;

use crate::past_us::Cause;

pub type Outbox = turn::Outbox<Ask, turn::None, Event>;

/// What the load manager wants of others. No answer comes as an input.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ask {
    /// Other load managers are to be told of a call. Notices leave before the messages of the same turn: so the others know of every
    /// call that reached a server, whatever happens to us.
    Tell(Notice),
    /// A name is to be looked up. The answer comes into [`crate::names::Names`].
    LookUp(Question),
}

/// Something worth a record (FCAPS). Rare: never one event per message of a healthy call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// A message of a known call whose server is gone went to another server (SPEC A9).
    TakenOver {
        call_id: Box<[u8]>,
        method: Box<[u8]>,
        /// The sender of the message.
        client: SocketAddr,
        /// The server that is gone; `None` if the tables know it no more.
        from: Option<SocketAddr>,
        to: SocketAddr,
        why: &'static str,
    },
    /// We refused a request, or dropped a message. Not every one has an event: see `unsaid`.
    Refused {
        source: SocketAddr,
        transport: Transport,
        /// The method, or the status of a response; empty if neither can be read.
        method: Box<[u8]>,
        call_id: Box<[u8]>,
        /// The status of our answer; `None`: there was none.
        status: Option<u16>,
        reason: &'static str,
        /// Messages refused without an event since the last such event.
        unsaid: u64,
    },
    /// Calls go past us. Once for each cause.
    PastUs {
        cause: Cause,
        client: SocketAddr,
        /// `None` if the tables know it no more.
        server: Option<SocketAddr>,
    },
}
