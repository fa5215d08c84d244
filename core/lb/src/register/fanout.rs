//! One REGISTER at several servers: which servers were asked, which have answered, and when that is enough.
//!
//! Towards each server it is a client transaction of RFC 3261 §17.1.2, towards the telephone a server transaction of
//! §17.2.2. Nothing here reads a message; [`super::verdict`] judges the answers.

mod stored;

use std::net::SocketAddr;
use std::ops::Range;

use base::{Duration, Time};
use sip::Flow;
use transaction::{NonInviteClient, NonInviteClientEvent, Output, Timers};

use super::challenge::Given;
use crate::farm::server::ServerId;

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum State {
    /// Waits until the servers before it are silent.
    Queued,
    Asked(NonInviteClient),
    Heard {
        status: u16,
        response: Box<[u8]>,
    },
    /// The server failed, or said nothing within timer F.
    Silent,
}

/// The part of one server.
#[derive(Clone, Debug)]
pub(super) struct Branch {
    pub(super) server: ServerId,
    /// The transport to the server repeats by itself.
    pub(super) reliable: bool,
    pub(super) given: Given,
    /// Fields of the request that this server does not get.
    pub(super) without: Box<[Range<u32>]>,
    /// See [`super::challenge::Known`].
    pub(super) tried: bool,
    pub(super) state: State,
}

/// How several servers are asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Order {
    /// All at once; one answer is built of theirs.
    Together,
    /// One server, and the next when that is silent or has no room; the first good answer counts.
    InTurn,
}

/// What is to be done at a deadline.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    Wait,
    /// The request of this branch is sent (once more).
    Send(usize),
    /// Enough is known to answer.
    Answer,
    /// Nobody is left to wait for and nobody has answered.
    Unanswered,
    Remove,
}

#[derive(Debug)]
pub(super) struct Fanout {
    /// The request as received.
    pub(super) message: Box<[u8]>,
    pub(super) flow: Flow,
    /// Where answers go, if not on the connection.
    pub(super) back: SocketAddr,
    pub(super) order: Order,
    pub(super) branches: Vec<Branch>,
    /// The key of this telephone's next attempt.
    pub(super) round: u64,
    pub(super) born: Time,
    wait: Duration,
    /// When the next server in turn is asked.
    next_at: Time,
    /// The answer as sent, for copies of the request.
    pub(super) answer: Option<Box<[u8]>>,
    ends: Time,
}

impl Fanout {
    pub(super) fn new(
        now: Time,
        (message, flow, back): (&[u8], Flow, SocketAddr),
        order: Order,
        branches: Vec<Branch>,
        round: u64,
        wait: Duration,
    ) -> Fanout {
        Fanout {
            message: message.into(),
            flow,
            back,
            order,
            branches,
            round,
            born: now,
            wait,
            next_at: Time::NEVER,
            answer: None,
            ends: Time::NEVER,
        }
    }

    pub(super) fn bytes(&self) -> usize {
        let heard = |branch: &Branch| {
            let response = if let State::Heard { response, .. } = &branch.state { response.len() } else { 0 };
            size_of::<Branch>() + branch.without.len() * size_of::<Range<u32>>() + response
        };
        self.message.len()
            + self.answer.as_ref().map_or(0, |answer| answer.len())
            + self.branches.iter().map(heard).sum::<usize>()
    }

    /// Asks the servers whose turn it is now. Returns the branches to send.
    pub(super) fn begin(&mut self, now: Time, timers: &Timers) -> Vec<usize> {
        let queued = |(at, branch): (usize, &Branch)| (branch.state == State::Queued).then_some(at);
        let mut due: Vec<usize> = self.branches.iter().enumerate().filter_map(queued).collect();
        if self.order == Order::InTurn {
            due.truncate(1);
        }
        for &at in &due {
            self.ask(at, now, timers);
        }
        due
    }

    fn ask(&mut self, at: usize, now: Time, timers: &Timers) {
        let branch = &mut self.branches[at];
        branch.state = State::Asked(NonInviteClient::start(now, branch.reliable, timers));
        self.next_at = if self.order == Order::InTurn { now + self.wait } else { Time::NEVER };
    }

    /// A response from this server. False: the response is of no more use.
    pub(super) fn heard(
        &mut self,
        now: Time,
        server: ServerId,
        status: u16,
        response: impl FnOnce() -> Box<[u8]>,
        timers: &Timers,
    ) -> bool {
        let answered = self.answer.is_some();
        let Some(branch) = self.branches.iter_mut().find(|branch| branch.server == server) else {
            return false;
        };
        let State::Asked(machine) = &mut branch.state else { return false };
        let event =
            if status < 200 { NonInviteClientEvent::Provisional } else { NonInviteClientEvent::Final };
        machine.handle(now, event, timers);
        if status < 200 {
            return true;
        }
        if answered {
            // The server has the registration; its answer comes too late.
            branch.state = State::Silent;
            return false;
        }
        branch.state = State::Heard { status, response: response() };
        true
    }

    /// This server is gone. False: this request is not concerned.
    pub(super) fn failed(&mut self, server: ServerId) -> bool {
        let concerned = |branch: &&mut Branch| {
            branch.server == server && matches!(branch.state, State::Asked(_) | State::Queued)
        };
        let Some(branch) = self.branches.iter_mut().find(concerned) else { return false };
        branch.state = State::Silent;
        true
    }

    /// What is to be done now. To be called until it returns [`Step::Wait`].
    pub(super) fn step(&mut self, now: Time, timers: &Timers) -> Step {
        for at in 0..self.branches.len() {
            let State::Asked(machine) = &mut self.branches[at].state else { continue };
            let Some(event) = machine.due(now) else { continue };
            match machine.handle(now, event, timers) {
                Output::Repeat => return Step::Send(at),
                _ => self.branches[at].state = State::Silent,
            }
        }
        if self.answer.is_some() {
            return if self.ends <= now && !self.is_asking() { Step::Remove } else { Step::Wait };
        }
        match self.order {
            Order::Together => self.together(now),
            Order::InTurn => self.in_turn(now, timers),
        }
    }

    fn together(&self, now: Time) -> Step {
        match (self.has_heard(), self.is_asking()) {
            (true, false) => Step::Answer,
            (true, true) if self.born + self.wait <= now => Step::Answer,
            (false, false) => Step::Unanswered,
            (_, true) => Step::Wait,
        }
    }

    /// The next server is asked when those before it are silent, have no room, or broke (RFC 3263 §4.3).
    fn in_turn(&mut self, now: Time, timers: &Timers) -> Step {
        if self.has_good() {
            return Step::Answer;
        }
        match self.next() {
            Some(next) if self.next_at <= now || !self.is_asking() => {
                self.ask(next, now, timers);
                Step::Send(next)
            }
            None if !self.is_asking() => self.together(now),
            _ => Step::Wait,
        }
    }

    /// Of the servers asked in turn, one has given an answer other than 5xx.
    fn has_good(&self) -> bool {
        let good = |branch: &Branch| matches!(branch.state, State::Heard { status, .. } if !(500..600).contains(&status));
        self.order == Order::InTurn && self.branches.iter().any(good)
    }

    fn has_heard(&self) -> bool {
        self.branches.iter().any(|branch| matches!(branch.state, State::Heard { .. }))
    }

    fn next(&self) -> Option<usize> {
        self.branches.iter().position(|branch| branch.state == State::Queued)
    }

    fn is_asking(&self) -> bool {
        self.branches.iter().any(|branch| matches!(branch.state, State::Asked(_)))
    }

    /// The telephone has this answer. Copies of the request get it again for timer J. If the registration holds (`go_on`),
    /// servers that said nothing are still asked, so that the registration reaches them too.
    pub(super) fn answered(&mut self, now: Time, answer: Box<[u8]>, go_on: bool, timers: &Timers) {
        self.answer = Some(answer);
        self.ends = if self.flow.transport.is_reliable() { now } else { now + timers.f() };
        for branch in &mut self.branches {
            let asked = matches!(branch.state, State::Asked(_));
            if !(go_on && asked) {
                branch.state = State::Silent;
            }
        }
        if !self.is_asking() {
            self.message = Box::default();
        }
    }

    pub(super) fn deadline(&self) -> Time {
        let machine = |branch: &Branch| match &branch.state {
            State::Asked(machine) => machine.next_deadline(),
            _ => None,
        };
        let repeats = self.branches.iter().filter_map(machine).min().unwrap_or(Time::NEVER);
        let own = match (&self.answer, self.order) {
            (Some(_), _) if self.is_asking() => Time::NEVER,
            (Some(_), _) => self.ends,
            (None, _) if !self.is_asking() || self.has_good() => Time::ZERO,
            (None, Order::InTurn) if self.next().is_some() => self.next_at,
            (None, Order::Together) if self.has_heard() => self.born + self.wait,
            (None, Order::InTurn | Order::Together) => Time::NEVER,
        };
        repeats.min(own)
    }
}
