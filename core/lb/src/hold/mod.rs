//! Held set-ups (SPEC A9, T3): the transactions of the load manager, except those of REGISTERs at several servers
//! ([`crate::register`]).
//!
//! A client repeats a request over UDP only, and an INVITE only until its first provisional answer. So the load manager keeps
//! requests. A request that came over a stream for a peer on UDP is repeated on the timers of RFC 3261 §17. A request that
//! came over a stream for a server on a stream is sent again when the connection is lost. An INVITE is kept until its final
//! answer, and given to another server if its own dies first. A failure that came over a stream is repeated to a client over
//! UDP until its ACK. [`Held`] keeps all these in a [`transaction::table::SharedTable`] of all workers and says what has to
//! be done; the router rebuilds the message from the received bytes and sends it. `docs/held-set-ups.md` has the state
//! figure.

mod counters;
mod entry;
mod held;
mod tried;

pub use counters::{Counts, HoldCounters};
pub use held::Held;
pub use transaction::table::{Alarms, NotKept};
pub use tried::{ATTEMPTS_MAX, Tried};

use sip::{Flow, Target};
use transaction::Timers;
use transaction::hop_by_hop::RequestLine;

use crate::farm::server::ServerId;

/// Which of the requests with one branch is meant: a CANCEL has the branch of its INVITE (RFC 3261 §9.1). For a response,
/// by the method in its CSeq.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Class {
    Invite,
    Cancel,
    /// Any method except INVITE, CANCEL and ACK.
    Other,
}

/// A request to be held. `message` is as received, so that the router can route it again.
#[derive(Clone, Copy, Debug)]
pub struct Kept<'a> {
    pub class: Class,
    pub message: &'a [u8],
    /// Where the request came from, and so where an answer of our own goes.
    pub flow: Flow,
    /// The server that the request is sent to; with `to_client`, the server that it comes from.
    pub server: ServerId,
    /// The transport to the server repeats by itself. If it does not and the sender's transport does, we repeat the
    /// request.
    pub server_reliable: bool,
    /// A server sends the request, and it goes to this client: it is repeated, and no server's death concerns it.
    pub to_client: Option<Target>,
    /// Give the request to another server when this one dies. Only an INVITE is kept for this alone.
    pub failover: bool,
    /// The request had a To tag: it is within a dialog.
    pub in_dialog: bool,
    /// Route fields as forwarded, whole lines; usually none. An ACK of ours repeats them (RFC 3261 §17.1.1.3).
    pub route_fields: &'a [u8],
}

/// Where a request of a held transaction goes now: a copy of the INVITE, or the ACK to a failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GoesTo {
    /// The transaction is not held: the request is routed as if nothing were held.
    NotHeld,
    At(ServerId),
    /// The request is being given to another server; a copy is dropped.
    Nowhere,
    /// We answered the INVITE with this status: a copy gets the same answer, an ACK is absorbed.
    Answered(u16),
}

/// What becomes of a CANCEL.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cancelled {
    /// Its INVITE is not held: the CANCEL is routed as if nothing were held.
    NotHeld,
    /// Answer the CANCEL with 200 (RFC 3261 §16.10). [`Held::next_due`] sends it on when its server has shown life
    /// (RFC 3261 §9.1), and repeats it; its responses are absorbed.
    Answer,
    /// There was no room to keep the CANCEL: it is forwarded to this server, and the server's answer passes.
    Forward(ServerId),
}

/// What becomes of a response from a server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It goes to the client.
    Pass,
    /// It goes nowhere.
    Drop,
    /// It goes nowhere, and is acknowledged to the server that it came from: a copy of a failure that the client has received
    /// over a stream, or the failure of a server that was given up. See [`transaction::hop_by_hop::acknowledge`]. The target,
    /// if a client sent the response: where its request went.
    Acknowledge(RequestLine, Option<Target>),
    /// It goes nowhere, and its server gets a CANCEL: the server was given up and is alive, and another rings instead.
    /// See [`transaction::hop_by_hop::cancel`].
    Cancel { line: RequestLine, in_dialog: bool },
}

/// Who a response came from.
#[derive(Clone, Copy)]
pub struct Speaker<'a> {
    pub server: ServerId,
    /// Whether the response may be taken for one of that other server: both have one state tier, and the response is of the
    /// call that the tier keeps.
    pub speaks_for: &'a dyn Fn(ServerId) -> bool,
}

impl From<ServerId> for Speaker<'_> {
    /// A server that speaks for itself alone.
    fn from(server: ServerId) -> Self {
        Speaker { server, speaks_for: &|_| false }
    }
}

/// Of the servers of a state tier that ask a client the same, the one that asked last, and how the response reaches it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Asker {
    pub server: ServerId,
    pub back: Target,
    /// The topmost Via of its copy, as it goes on: the Via of the response below ours.
    pub via: Box<[u8]>,
}

/// What is to be done about a held request. [`Held::next_due`] returns the received message with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Action {
    pub key: u64,
    pub class: Class,
    pub flow: Flow,
    /// When the request was first sent.
    pub since: base::Time,
    /// The request goes from a server to a client.
    pub to_client: bool,
    pub what: What,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum What {
    /// Send the request to this server (once more): the same bytes as before, which routing makes of the same message
    /// again.
    Send { server: ServerId },
    /// Choose a server that was not tried yet and pass it to [`Held::moved`]; if there is none, call [`Held::no_server`].
    Reroute { tried: Tried, why: Why },
    /// Answer the request with this status: 487, 408, 500 or 503. The same To tag each time.
    Answer { status: u16 },
    /// The message is a failure that has passed: send it to the client once more.
    Passed,
}

/// Why a server was given up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Why {
    /// The server table says that the server failed, or no connection to it holds.
    Failed,
    /// The server failed, and a state tier keeps its calls: another server of the tier goes on with this one. Its CANCEL goes
    /// along.
    FailedInTier,
    /// The server did not answer the INVITE within [`Limits::silence`].
    Silent,
    /// The server refused the INVITE with 503 and Retry-After.
    Full,
    /// The server refused the INVITE with 500, 503 or 504.
    Refused,
}

/// Bounds and times.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Held requests; requests above this bound pass unheld.
    pub entries_max: usize,
    /// Bytes of held messages and their entries.
    pub bytes_max: usize,
    /// How long a server may leave an INVITE without any answer before another server gets it. Default 16·T1 = 8 s: by
    /// then five copies are unanswered, and four servers can be tried before the client's timer B.
    pub silence: base::Duration,
    pub timers: Timers,
}

impl Limits {
    pub fn new(entries_max: usize, bytes_max: usize) -> Limits {
        let timers = Timers::default();
        Limits { entries_max, bytes_max, silence: timers.b() / u32::from(ATTEMPTS_MAX), timers }
    }
}

#[cfg(test)]
mod properties;
#[cfg(test)]
mod tests;
