//! The way of an engine's worker to the state tier: which node is asked over which connection, when a write counts as kept, and
//! what is asked again. Sockets lie below it ([`Wires`]).
//!
//! A partition is asked for at the node that claims it with the highest epoch. The commits of a turn leave for a node in one piece,
//! with one `WAIT` behind them. A commit is answered when all replicas of the node's view ([`crate::view`]) have it, and no other
//! replica stands for them (`batch`). Otherwise the node is asked for its view, and the commit is sent again, never the `WAIT`
//! alone: a `WAIT` speaks of what its own connection has written, and is content where that is nothing.
//!
//! Two things are taken for granted. A replica is not promoted if it or its primary fails within a second after it came into the
//! view: until then an engine may not have seen it there. And a primary that was replaced, or is cut off, cannot take a replica out
//! of its view by itself.
//!
//! Whenever a connection to a node came or went, its view is forgotten, and nothing is committed there until it was asked for
//! anew: the node may have been replaced meanwhile, and may have replicas that it did not have before.

mod batch;
mod connection;
mod hearing;
mod kept;
mod link;
mod node;
mod outcome;
mod status;
#[cfg(test)]
mod tests;
mod topology;
mod turn;

use std::collections::{BTreeMap, VecDeque};

use base::{Duration, Time};

pub use kept::Bounds;
use kept::{Asks, Id, Kept};
pub use link::{Fault, Link, Progress, Role, Said, Wires, Words};
use node::Node;
pub use status::{Counters, NodeStatus, Status};

use crate::ask::{Ask, Reply, Unanswered};
use crate::command::Answer;
use crate::skew::Clock;

/// How long a node waits for its replicas: some times as long as a healthy replica needs.
pub const WAIT_MS: u32 = 100;
/// What a node could not do is asked anew after this time.
const LATER: Duration = Duration::from_millis(20);

/// See the head of this module.
#[derive(Debug)]
pub struct Links {
    nodes: BTreeMap<u32, Node>,
    /// The number of the next node.
    next_node: u32,
    /// The node that is asked for a partition.
    owners: Box<[Option<u32>; 256]>,
    asks: Asks,
    /// How many partitions nobody has, as far as is known.
    unowned: usize,
    /// Questions for these partitions.
    homeless: VecDeque<Id>,
    /// Questions that a node could not answer, and when they are asked anew.
    later: VecDeque<(Time, Id)>,
    replies: Vec<Reply>,
    clock: Clock,
    /// When patience is looked at next.
    patience_at: Time,
    counters: Counters,
    deadline: Time,
}

impl Links {
    /// `addresses`: nodes of the state tier. The others are learned from them.
    pub fn new(bounds: Bounds, addresses: impl IntoIterator<Item = Box<str>>) -> Links {
        let mut links = Links {
            nodes: BTreeMap::new(),
            next_node: 0,
            owners: Box::new([None; 256]),
            unowned: 256,
            asks: Asks::new(bounds),
            homeless: VecDeque::new(),
            later: VecDeque::new(),
            replies: Vec::new(),
            clock: Clock::default(),
            patience_at: Time::ZERO,
            counters: Counters::default(),
            deadline: Time::ZERO,
        };
        addresses.into_iter().for_each(|address| links.add_node(&address, true));
        links
    }

    /// Takes a question. [`Links::turn`] sends it.
    pub fn ask(&mut self, now: Time, ask: Ask) {
        self.counters.asked += 1;
        let token = ask.token;
        match self.asks.keep(Kept::new(now, ask)) {
            Some(id) => self.route(id),
            None => {
                self.counters.busy += 1;
                self.replies.push(Reply { token, answer: Err(Unanswered::Busy) });
            }
        }
    }

    /// Appends the replies that have come.
    pub fn replies(&mut self, replies: &mut Vec<Reply>) {
        replies.append(&mut self.replies);
    }

    pub fn has_replies(&self) -> bool {
        !self.replies.is_empty()
    }

    /// When [`Links::turn`] must be called again at the latest.
    pub fn next_deadline(&self) -> Time {
        self.deadline
    }

    /// The clock of the state tier.
    pub fn clock(&self) -> &Clock {
        &self.clock
    }

    /// The number of the node that is asked for a partition.
    pub fn owner(&self, partition: u8) -> Option<u32> {
        self.owners[usize::from(partition)]
    }

    /// The nodes that are asked for partitions and can be reached, each with the first of its partitions.
    pub fn primaries(&self) -> impl Iterator<Item = (u32, u8)> + '_ {
        let reached = self.nodes.iter().filter(|(_, node)| node.owned > 0 && node.may_own());
        reached.filter_map(|(number, _)| {
            (0..=u8::MAX).find(|one| self.owner(*one) == Some(*number)).map(|first| (*number, first))
        })
    }

    /// Puts a question where it waits for its node.
    fn route(&mut self, id: Id) {
        let Some(kept) = self.asks.get(id) else { return };
        let owner = self.owners[usize::from(kept.ask.partition)];
        match owner.and_then(|number| self.nodes.get_mut(&number)) {
            Some(node) if kept.ask.replicated => node.commits.push_back(id),
            Some(node) => node.others.push_back(id),
            None => self.homeless.push_back(id),
        }
    }

    fn reply(&mut self, id: Id, answer: Result<Answer, Unanswered>) {
        if let Some(kept) = self.asks.take(id) {
            self.reply_to(&kept, answer);
        }
    }

    fn reply_to(&mut self, kept: &Kept, answer: Result<Answer, Unanswered>) {
        match answer {
            Ok(_) => self.counters.answered += 1,
            Err(Unanswered::OutOfReach) => self.counters.out_of_reach += 1,
            Err(Unanswered::Busy | Unanswered::Failed) => self.counters.failed += 1,
        }
        self.replies.push(Reply { token: kept.ask.token, answer });
    }
}
