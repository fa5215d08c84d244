//! One connection, as the machine sees it: whether it is up, and what was written to it and has no answer yet.

use std::collections::VecDeque;

use base::{Duration, Time};

use super::batch::Batch;
use super::kept::Id;
use super::link::again;

/// A connection that is not up after this time is given up.
const OPENING_MAX: Duration = Duration::from_secs(1);
/// A connection on which an answer is missing for so long is given up. Nothing asks a node to wait longer than
/// [`super::WAIT_MS`].
const SILENCE_MAX: Duration = Duration::from_secs(1);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// May be opened from this moment on.
    Closed(Time),
    Opening(Time),
    Up,
}

/// What was written and has no answer yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sent {
    Command(Id),
    /// For so many replicas.
    Wait(u32),
    Progress,
    /// How often the node's connections had changed at that time.
    Look(u64),
    Time(Time),
}

impl Sent {
    fn command(self) -> Option<Id> {
        match self {
            Sent::Command(id) => Some(id),
            Sent::Wait(_) | Sent::Progress | Sent::Look(_) | Sent::Time(_) => None,
        }
    }
}

#[derive(Debug)]
pub(super) struct Connection {
    state: State,
    /// Attempts in a row that failed.
    failures: u32,
    /// When something was heard, or written to a connection that owed nothing.
    heard: Time,
    sent: VecDeque<Sent>,
    /// A writer's commits, until it is known that they are kept.
    pub(super) batch: Batch,
    /// It is made anew.
    pub(super) is_useless: bool,
}

impl Default for Connection {
    fn default() -> Connection {
        Connection {
            state: State::Closed(Time::ZERO),
            failures: 0,
            heard: Time::ZERO,
            sent: VecDeque::new(),
            batch: Batch::default(),
            is_useless: false,
        }
    }
}

impl Connection {
    pub(super) fn is_up(&self) -> bool {
        self.state == State::Up
    }

    pub(super) fn is_closed(&self) -> bool {
        matches!(self.state, State::Closed(_))
    }

    pub(super) fn may_open(&self, now: Time) -> bool {
        matches!(self.state, State::Closed(from) if from <= now)
    }

    pub(super) fn opening(&mut self, now: Time) {
        self.state = State::Opening(now);
    }

    pub(super) fn up(&mut self, now: Time) {
        self.state = State::Up;
        self.failures = 0;
        self.heard = now;
    }

    /// The connection is gone. What it owed.
    pub(super) fn closed(&mut self, now: Time) -> Vec<Id> {
        self.state = State::Closed(again(now, self.failures));
        self.failures += 1;
        self.is_useless = false;
        let commands: Vec<Id> = self.sent.drain(..).filter_map(Sent::command).collect();
        // All commands of a writer are in its batch; the answers to some may have come.
        if self.batch.ids.is_empty() { commands } else { std::mem::take(&mut self.batch).ids }
    }

    pub(super) fn wrote(&mut self, now: Time, sent: Sent) {
        if self.sent.is_empty() {
            self.heard = now;
        }
        self.sent.push_back(sent);
    }

    pub(super) fn expected(&self) -> Option<Sent> {
        self.sent.front().copied()
    }

    pub(super) fn heard(&mut self, now: Time) -> Option<Sent> {
        self.heard = now;
        self.sent.pop_front()
    }

    pub(super) fn owes(&self) -> usize {
        self.sent.len()
    }

    /// When it is given up unless something is heard, or when it may be opened again.
    pub(super) fn deadline(&self) -> Time {
        match self.state {
            State::Closed(from) => from,
            State::Opening(since) => since + OPENING_MAX,
            State::Up if self.sent.is_empty() => Time::NEVER,
            State::Up => self.heard + SILENCE_MAX,
        }
    }

    pub(super) fn is_given_up(&self, now: Time) -> bool {
        !self.is_closed() && self.deadline() <= now
    }
}
