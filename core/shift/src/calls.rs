//! Calls on their way to a member: those of this member's own clients that a member with less work is sought for, and those of other
//! members, with what was decided of each.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};

use base::{Duration, Time};
use heartbeat::Transport;

use crate::datagram::{Body, CallName, Offer};

/// A new call whose client asked this member.
#[derive(Clone, Debug)]
pub struct Call {
    /// Where answers to the client go.
    pub client: std::net::SocketAddr,
    pub transport: Transport,
    /// User part of the URI that is called.
    pub user: Vec<u8>,
    /// For [`crate::Identity::Straight`]: the redirecting answer up to its Contact; empty: the chain.
    pub answer: Vec<u8>,
    /// Max-Forwards of the request, RFC 3261 §20.22: how many members may be asked one after the other.
    pub max_forwards: u8,
}

pub(crate) struct Searches {
    pub(crate) last_number: u64,
    pub(crate) all: BTreeMap<u64, Search>,
    pub(crate) due: BTreeSet<(Time, u64)>,
}

/// A call of this member's own client.
pub(crate) struct Search {
    pub(crate) call: Call,
    /// Members that did not answer.
    pub(crate) silent: Vec<usize>,
    pub(crate) ends: Time,
    pub(crate) phase: Phase,
}

pub(crate) enum Phase {
    /// Waits until the poll ends.
    Waiting,
    Offered {
        to: usize,
        sends: usize,
        next: Time,
    },
}

impl Searches {
    pub(crate) fn new(seed: u64) -> Searches {
        Searches { last_number: seed, all: BTreeMap::new(), due: BTreeSet::new() }
    }

    pub(crate) fn next_deadline(&self) -> Option<Time> {
        self.due.first().map(|(at, _)| *at)
    }

    /// Those that wait for the end of a poll.
    pub(crate) fn waiting(&self) -> Vec<u64> {
        let waits = |search: &Search| matches!(search.phase, Phase::Waiting);
        self.all.iter().filter(|(_, search)| waits(search)).map(|(number, _)| *number).collect()
    }

    pub(crate) fn end(&mut self, number: u64) -> Option<Search> {
        let search = self.all.remove(&number)?;
        if let Some(at) = search.due() {
            self.due.remove(&(at, number));
        }
        Some(search)
    }
}

impl Search {
    pub(crate) fn due(&self) -> Option<Time> {
        match self.phase {
            Phase::Waiting => None,
            Phase::Offered { next, .. } => Some(next.min(self.ends)),
        }
    }
}

/// Longer than any origin repeats an offer.
const REMEMBERED_FOR: Duration = Duration::from_secs(4);

/// Calls of others decided within [`REMEMBERED_FOR`]; some 500 bytes each, without the answers of straight calls.
const DECIDED_MAX: usize = 50_000;

#[derive(Default)]
pub(crate) struct Passing {
    /// Those that wait for the end of a poll.
    pub(crate) waiting: Vec<Offer>,
    pub(crate) decided: HashMap<CallName, Decided>,
    pub(crate) decided_order: VecDeque<(Time, CallName)>,
}

/// What became of a call of another member.
pub(crate) enum Decided {
    /// The answer, and its receiver.
    Answered {
        to: usize,
        body: Body,
    },
    Passed {
        to: usize,
        offer: Box<Offer>,
    },
}

impl Passing {
    pub(crate) fn take_waiting(&mut self) -> Vec<Offer> {
        std::mem::take(&mut self.waiting)
    }

    pub(crate) fn remember(&mut self, now: Time, call: CallName, decided: Decided) {
        while let Some((until, _)) = self.decided_order.front()
            && (*until <= now || self.decided.len() >= DECIDED_MAX)
        {
            if let Some((_, old)) = self.decided_order.pop_front() {
                self.decided.remove(&old);
            }
        }
        if self.decided.insert(call.clone(), decided).is_none() {
            self.decided_order.push_back((now + REMEMBERED_FOR, call));
        }
    }
}
