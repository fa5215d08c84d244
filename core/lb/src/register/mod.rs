//! Registrations (SPEC B4): which server gets a REGISTER, and what answer its sender gets.
//!
//! A call is known by its Call-ID, a registration by its address of record: a refresh after an hour, the next telephone of
//! the same user and the same telephone after a restart must all reach the place where that user's bindings are. If that is
//! every server, or one that may fail, the REGISTER is held in [`Registrations`]: one client transaction for each server, one
//! answer towards the telephone. `docs/register.md` has the picture.

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
pub(crate) mod tests;

use std::net::SocketAddr;
use std::ops::Range;

use sip::Flow;

pub use table::Registrations;

use crate::farm::server::ServerId;
use challenge::Round;

/// Whether a REGISTER is a copy, by its branch.
#[derive(Clone, Debug, PartialEq, Eq)]
enum RegisterRepeat {
    No,
    /// A copy of a REGISTER that waits for its servers: dropped, since ours go to the servers on timers of their own.
    InProgress,
    /// A copy of a REGISTER that was answered: gets the same answer.
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
    /// When the request came.
    since: base::Time,
    what: What,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum What {
    /// The request goes to this server, without these fields.
    Send { server: ServerId, without: Box<[Range<u32>]> },
    /// The answer goes to the telephone.
    Answer { back: SocketAddr, accepted: bool, partial: bool, round: Option<(u64, Round)> },
    /// No server answered. `early`: all servers have failed, so the telephone still waits.
    Unanswered { early: bool },
}
