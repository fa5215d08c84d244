//! Callers as a core: calls at an even pace, each from INVITE to the answer to its BYE, with the client transactions of
//! RFC 3261 §17.1. A call that does not complete all of it counts as lost, with the reason.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use base::{Counter, Duration, Time};
use sip::headers::cseq;
use sip::{Message, Method, Name, Parser, Target};
use transaction::{
    InviteClient, InviteClientEvent, InviteClientState, NonInviteClient, NonInviteClientEvent,
    NonInviteClientState, Output, Timers,
};
use turn::Input;
use turn::Outbox;

use super::caller_text::{Ends, ack_of_failure, call_number, dialog, invite, within};
use super::histogram::Histogram;
use turn::Core;

/// Most losses whose reason is shown; further losses are only counted.
const REASONS_MAX: usize = 20;

/// Longest wait for the final answer to an INVITE: longer than the life of any transaction on the way.
const RINGING_MAX: Duration = Duration::from_secs(40);

/// Most calls at once, whatever the pace: a farm that answers no call must not fill the memory.
const CALLS_MAX: usize = 20_000;

#[derive(Clone, Copy, Debug)]
pub(crate) struct Pacing {
    pub(crate) calls_per_second: u32,
    /// Time from the 200 to the BYE.
    pub(crate) talk: Duration,
}

/// The results of the calls. The callers write them, and the screen reads them.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    pub(crate) started: Counter,
    pub(crate) answered: Counter,
    pub(crate) ended: Counter,
    pub(crate) lost: Counter,
    pub(crate) up: Counter,
    pub(crate) messages: Counter,
    pub(crate) repeated: Counter,
    /// Answers that belong to no call of ours.
    pub(crate) stray: Counter,
    /// Time from the INVITE to the first answer other than 100, microseconds.
    pub(crate) first_answer: Histogram,
    /// Reasons of the first losses.
    pub(crate) reasons: Mutex<Vec<String>>,
    /// Once this is set, no more calls begin.
    pub(crate) ending: AtomicBool,
}

impl Tally {
    /// Whether every call has ended.
    pub(crate) fn is_settled(&self) -> bool {
        self.ended.get() + self.lost.get() >= self.started.get()
    }
}

enum Phase {
    /// An INVITE that rings for ever has no timer of its own.
    Inviting {
        client: InviteClient,
        give_up_at: Time,
    },
    Talking {
        until: Time,
    },
    Ending {
        client: NonInviteClient,
    },
}

struct Call {
    started: Time,
    rang: bool,
    phase: Phase,
    /// The message to repeat: INVITE, then ACK (for each copy of the 2xx), then BYE.
    last: String,
    bye: String,
    hop: SocketAddr,
}

impl Call {
    fn next_deadline(&self) -> Option<Time> {
        match &self.phase {
            Phase::Inviting { client, give_up_at } => {
                Some(client.next_deadline().map_or(*give_up_at, |at| at.min(*give_up_at)))
            }
            Phase::Talking { until } => Some(*until),
            Phase::Ending { client } => client.next_deadline(),
        }
    }
}

pub(crate) struct Callers {
    pacing: Pacing,
    ends: Ends,
    calls: HashMap<u64, Call>,
    due: BinaryHeap<Reverse<(Time, u64)>>,
    next_call: Option<Time>,
    number: u64,
    timers: Timers,
    parser: Parser,
    tally: Arc<Tally>,
}

impl Callers {
    pub(crate) fn new(pacing: Pacing, own: SocketAddr, to: SocketAddr, run: u64, start: Time) -> Callers {
        Callers {
            pacing,
            ends: Ends { own, to, run },
            calls: HashMap::new(),
            due: BinaryHeap::new(),
            next_call: Some(start),
            number: 0,
            timers: Timers::default(),
            parser: Parser::new(),
            tally: Arc::default(),
        }
    }

    pub(crate) fn tally(&self) -> Arc<Tally> {
        Arc::clone(&self.tally)
    }

    fn begin(&mut self, now: Time, out: &mut Outbox) {
        let number = self.number;
        self.number += 1;
        let text = invite(self.ends, number);
        post(&text, self.ends.to, &self.tally, out);
        self.tally.started.add(1);
        let client = InviteClient::start(now, false, &self.timers);
        let call = Call {
            started: now,
            rang: false,
            phase: Phase::Inviting { client, give_up_at: now + RINGING_MAX },
            last: text,
            bye: String::new(),
            hop: self.ends.to,
        };
        self.keep(number, call);
    }

    fn keep(&mut self, number: u64, call: Call) {
        if let Some(at) = call.next_deadline() {
            self.due.push(Reverse((at, number)));
        }
        self.calls.insert(number, call);
    }

    fn lose(&self, number: u64, why: &str) {
        self.tally.lost.add(1);
        let mut reasons = self.tally.reasons.lock().unwrap_or_else(PoisonError::into_inner);
        if reasons.len() < REASONS_MAX {
            reasons.push(format!("call {number}: {why}"));
        }
    }

    fn response(&mut self, now: Time, response: &Message<'_>, status: u16, out: &mut Outbox) {
        self.tally.messages.add(1);
        let number = response.first_value(Name::CallId).and_then(|id| call_number(id, self.ends));
        let method = response.first_value(Name::CSeq).and_then(cseq::parse).map(|sequence| sequence.method);
        let (Some(number), Some(method)) = (number, method) else { return self.tally.stray.add(1) };
        // A copy of an answer for a call that is over.
        let Some(mut call) = self.calls.remove(&number) else { return };
        if status > 100 && !call.rang {
            call.rang = true;
            self.tally.first_answer.add(now.since(call.started).as_micros() as u64);
        }
        let kept = match (&mut call.phase, method) {
            (Phase::Inviting { client, .. }, Method::Invite) => {
                let event = match status {
                    100..200 => InviteClientEvent::Provisional,
                    200..300 => InviteClientEvent::Success,
                    _ => InviteClientEvent::Failure,
                };
                let output = client.handle(now, event, &self.timers);
                self.invite_answered(now, number, call, (response, status, output), out)
            }
            (Phase::Talking { .. }, Method::Invite) => {
                // A copy of the 2xx: its ACK was lost (RFC 3261 §13.2.2.4).
                if (200..300).contains(&status) {
                    self.tally.repeated.add(1);
                    post(&call.last, call.hop, &self.tally, out);
                }
                Some(call)
            }
            (Phase::Ending { client }, Method::Bye) => {
                let event = if status < 200 {
                    NonInviteClientEvent::Provisional
                } else {
                    NonInviteClientEvent::Final
                };
                client.handle(now, event, &self.timers);
                match status {
                    100..200 => Some(call),
                    200..300 => {
                        self.tally.ended.add(1);
                        None
                    }
                    _ => {
                        self.lose(number, &format!("its BYE was answered {status}"));
                        None
                    }
                }
            }
            (Phase::Inviting { .. } | Phase::Talking { .. } | Phase::Ending { .. }, _) => Some(call),
        };
        if let Some(call) = kept {
            self.keep(number, call);
        }
    }

    fn invite_answered(
        &mut self,
        now: Time,
        number: u64,
        mut call: Call,
        (response, status, output): (&Message<'_>, u16, Output),
        out: &mut Outbox,
    ) -> Option<Call> {
        match (status, output) {
            (200..300, Output::Pass) => match dialog(response) {
                Ok(dialog) => {
                    self.tally.answered.add(1);
                    call.hop = dialog.hop;
                    call.last = within(self.ends, number, ("ACK", 1), &dialog);
                    call.bye = within(self.ends, number, ("BYE", 2), &dialog);
                    post(&call.last, call.hop, &self.tally, out);
                    call.phase = Phase::Talking { until: now + self.pacing.talk };
                }
                Err(why) => {
                    self.lose(number, why);
                    return None;
                }
            },
            (_, Output::AcknowledgeAndPass) => {
                let ack = ack_of_failure(self.ends, number, response);
                post(&ack, self.ends.to, &self.tally, out);
                self.lose(number, &format!("its INVITE was answered {status}"));
                return None;
            }
            _ => {}
        }
        Some(call)
    }

    /// Takes the due step of one call.
    fn advance(&mut self, now: Time, number: u64, out: &mut Outbox) {
        // An entry in the queue that is older than the call's last change is void.
        if self.calls.get(&number).and_then(Call::next_deadline).is_none_or(|at| at > now) {
            return;
        }
        let Some(mut call) = self.calls.remove(&number) else { return };
        match &mut call.phase {
            Phase::Inviting { client, give_up_at } => {
                let output = client.due(now).map(|event| client.handle(now, event, &self.timers));
                if client.state() == InviteClientState::Terminated || *give_up_at <= now {
                    return self.lose(number, "nobody answered its INVITE");
                }
                if output == Some(Output::Repeat) {
                    self.tally.repeated.add(1);
                    post(&call.last, self.ends.to, &self.tally, out);
                }
            }
            Phase::Talking { .. } => {
                post(&call.bye, call.hop, &self.tally, out);
                call.last = std::mem::take(&mut call.bye);
                call.phase = Phase::Ending { client: NonInviteClient::start(now, false, &self.timers) };
            }
            Phase::Ending { client } => {
                let output = client.due(now).map(|event| client.handle(now, event, &self.timers));
                if client.state() == NonInviteClientState::Terminated {
                    return self.lose(number, "nobody answered its BYE");
                }
                if output == Some(Output::Repeat) {
                    self.tally.repeated.add(1);
                    post(&call.last, call.hop, &self.tally, out);
                }
            }
        }
        self.keep(number, call);
    }

    /// Begins the call that is due, and sets the time of the next call.
    fn pace(&mut self, now: Time, out: &mut Outbox) {
        let Some(due) = self.next_call.filter(|due| *due <= now) else { return };
        if self.tally.ending.load(Ordering::Relaxed) {
            self.next_call = None;
            return;
        }
        if self.calls.len() < CALLS_MAX {
            self.begin(now, out);
        }
        let interval = Duration::from_secs(1) / self.pacing.calls_per_second.max(1);
        // After a pause of the machine the pace continues from now: no burst makes up for the pause.
        let late = now.since(due) > Duration::from_millis(100);
        self.next_call = Some(if late { now + interval } else { due + interval });
    }
}

impl Core for Callers {
    type Ask = turn::None;
    type Answer = turn::None;
    type Letter = turn::None;
    type Event = turn::None;

    fn handle(&mut self, now: Time, input: Input<'_>, out: &mut Outbox) {
        if let Input::Message { bytes, .. } = input {
            let mut parser = std::mem::take(&mut self.parser);
            match parser.parse(bytes) {
                Ok(message) => match message.status() {
                    Some(status) => self.response(now, &message, status, out),
                    None => self.tally.stray.add(1),
                },
                Err(_) => self.tally.stray.add(1),
            }
            self.parser = parser;
        }
        self.tally.up.set(self.calls.len() as u64);
    }

    fn handle_timeout(&mut self, now: Time, out: &mut Outbox) {
        while self.next_call.is_some_and(|due| due <= now) {
            self.pace(now, out);
        }
        while let Some(Reverse((at, number))) = self.due.peek().copied()
            && at <= now
        {
            self.due.pop();
            self.advance(now, number, out);
        }
        self.tally.up.set(self.calls.len() as u64);
    }

    fn next_deadline(&self) -> Option<Time> {
        let due = self.due.peek().map(|Reverse((at, _))| *at);
        [due, self.next_call].into_iter().flatten().min()
    }
}

fn post(text: &str, to: SocketAddr, tally: &Tally, out: &mut Outbox) {
    tally.messages.add(1);
    out.post(text.as_bytes(), Target::Datagram { listener: 0, to });
}
