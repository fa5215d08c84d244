//! What may happen in a run, besides what follows at once.

use std::rc::Rc;

use state::{Answer, Ask};

use super::holder::Write;
use crate::link::Packet;

/// Who has timers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) enum Who {
    Caller(usize),
    Callee(usize),
    Member(usize),
}

#[derive(Debug)]
pub(super) enum Event {
    Deliver(Packet),
    Wake(Who),
    Fault(usize),
    /// The blow falls, even if the engine has had nothing to do.
    Strike(usize, u32),
    Start(usize),
    Resume(usize, u32),
    /// An engine is told that another is gone.
    Told {
        member: usize,
        gone: usize,
    },
    /// The spreader hears that an engine is dead or lives.
    Spreads {
        member: usize,
    },
    Query {
        server: usize,
        query: u64,
        ask: Box<Ask>,
    },
    Reply {
        query: u64,
        answer: Answer,
    },
    Moved {
        query: u64,
        to: usize,
    },
    Again {
        query: u64,
        attempt: u32,
    },
    Stream {
        to: usize,
        reign: u64,
        at: usize,
        write: Rc<Write>,
    },
    Ack {
        primary: usize,
        reign: u64,
        replica: usize,
        count: usize,
    },
    Promote(usize),
    /// An engine hears of the primary.
    Believes {
        member: usize,
    },
    Empty(usize),
    Copied(usize),
    LeavesView(usize),
    ServerResumes(usize),
}
