//! Registrations (SPEC B4): which server gets a REGISTER, and what its sender is answered.
//!
//! A call is known by its Call-ID, a registration by its address of record: a refresh after an hour, the next telephone
//! of the same user and the same telephone after a restart must all reach the place where that user's bindings lie. Where
//! that is every server, or one that may fail, the REGISTER is held in [`Registrations`]: a client transaction for each
//! server, one answer towards the telephone. `docs/register.md` has the picture.

mod building;
mod challenge;
mod fanout;
mod merge;
pub(crate) mod path;
mod route;
pub mod settings;
mod table;
mod verdict;

#[cfg(test)]
mod tests;

use std::net::SocketAddr;
use std::ops::Range;

use sip::Flow;

pub use table::Registrations;

use crate::farm::server::ServerId;
use challenge::Round;

/// What a REGISTER is, by its branch.
#[derive(Clone, Debug, PartialEq, Eq)]
enum RegisterRepeat {
    No,
    /// Of one that waits for its servers: dropped, as ours go to the servers on timers of their own.
    InProgress,
    /// Of one that was answered: answered so again.
    Answered {
        answer: Box<[u8]>,
        flow: Flow,
        back: SocketAddr,
    },
}

/// Something to be done about a registration in progress.
#[derive(Clone, Debug, PartialEq, Eq)]
struct ToDo {
    /// The branch of the received request.
    key: u64,
    flow: Flow,
    /// When it came.
    since: base::Time,
    what: What,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum What {
    /// The request goes to this server, less these fields.
    Send { server: ServerId, without: Box<[Range<u32>]> },
    /// The answer goes to the telephone.
    Answer { back: SocketAddr, accepted: bool, partial: bool, round: Option<(u64, Round)> },
    /// No server answered; `early`: the telephone still waits, as all of them have failed.
    Unanswered { early: bool },
}
