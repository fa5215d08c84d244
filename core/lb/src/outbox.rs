//! What the load manager leaves behind beside messages: notices for other load managers, events to record.

use std::net::SocketAddr;

use heartbeat::notice::Notice;
pub use turn::{Claim, Outgoing};

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
}
