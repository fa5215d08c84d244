//! What the load manager leaves behind beside messages: notices for other load managers, events to record.

use std::net::SocketAddr;

use heartbeat::notice::Notice;
use sip::Transport;

/// The load manager asks that others be told of its calls, and gets no answer. Notices leave before the messages of the same
/// turn: then a call that reached a server is known to the others, whatever becomes of us.
pub type Outbox = turn::Outbox<Notice, turn::None, Event>;

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
    /// We refused a request, or dropped what came. Not each is told: see `unsaid`.
    Refused {
        source: SocketAddr,
        transport: Transport,
        /// The method, or the status of a response; empty where neither can be read.
        method: Box<[u8]>,
        call_id: Box<[u8]>,
        /// Of our answer; `None`: there was none.
        status: Option<u16>,
        reason: &'static str,
        /// Messages refused since the last such event without one of their own.
        unsaid: u64,
    },
}
