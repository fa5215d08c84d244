//! One held request: its phase, and how each event changes it. [`super::Held`] has the table, its locks and its bounds.

mod failover;
mod lost;
mod passed;
mod responses;
mod stored;
mod tier;

use base::{Duration, Time};
use sip::{Flow, Target};
use transaction::hop_by_hop::RequestLine;
use transaction::table::Due;
use transaction::{
    InviteClient, InviteClientState, InviteServer, InviteServerEvent, NonInviteClient, Output, Timers,
};

pub(super) use lost::Loss;

use super::tried::Tried;
use super::{Asker, Class, Kept, Limits, What, Why};
use crate::farm::server::ServerId;

/// How long an INVITE may ring: more than three minutes (RFC 3261 §16.6 step 11). Each 101 to 199 starts it anew.
pub(super) const TIMER_C: Duration = Duration::from_secs(181);

/// Whether the caller has given up, and who answers the CANCEL.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Cancel {
    No,
    /// We answer the CANCEL and send it on; the server's answer is absorbed.
    Answered,
    /// The server answers the CANCEL.
    Forwarded,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    /// An INVITE at a server.
    Invite(InviteClient),
    /// Any other request at a server.
    Other(NonInviteClient),
    /// A CANCEL that waits for the server of its INVITE to show life (RFC 3261 §9.1).
    HeldBack { ready: bool },
    /// Taken away from a server; the next server is being chosen.
    Seeking { why: Why, told: bool },
    /// An INVITE that we answer ourselves.
    Answered { machine: InviteServer, status: u16, sent: bool },
    /// A failure has passed to a client over UDP from a server that does not repeat it. The failure is the message, and is
    /// repeated until the ACK.
    Passed(InviteServer),
    /// Ended; late messages of servers that were given up are still absorbed. `answered`: the status, if the answer was ours.
    Over { answered: Option<u16> },
}

/// What is to be done at a deadline.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// Another deadline, nothing to do.
    Wait,
    Act(What),
    /// A copy on a timer; counted apart.
    Repeat(ServerId),
    /// A copy on a new connection; counted apart.
    Resend(ServerId),
    /// Forgotten without an answer from any server.
    Unanswered,
    /// Forgotten: the INVITE rang too long (timer C). It is not cancelled: the call goes on, unheld.
    LetGo,
    /// Forgotten.
    Remove,
}

/// How a response changes the entry, beside the verdict on the response itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum After {
    Keep,
    Remove,
    /// The server shows life: the CANCEL that waits for this may be sent.
    SendCancel,
    /// Another server has answered: this server, which rings, is to be cancelled. The CANCEL is made of `invite`.
    Silence {
        server: ServerId,
        invite: Box<[u8]>,
    },
}

/// When the request was last sent, and over which worker's connection.
#[derive(Clone, Copy, Debug)]
struct Sent {
    at: Time,
    worker: u8,
    /// A connection was lost before, so there may be two answers.
    twice: bool,
}

/// A request that goes from a server to a client.
#[derive(Debug)]
pub(super) struct ToClient {
    pub(super) target: Target,
    /// The server that asked last, if another asked first.
    pub(super) asker: Option<Asker>,
}

#[derive(Debug)]
pub(super) struct Entry {
    /// The message as received; empty once it will not be sent again.
    pub(super) message: Box<[u8]>,
    pub(super) line: RequestLine,
    pub(super) flow: Flow,
    pub(super) phase: Phase,
    pub(super) born: Time,
    /// The deadlines that are not of a transaction: silence, timer C, or the end of a remnant.
    patience: Time,
    /// The server that has the request now; `None` while no server has it.
    pub(super) server: Option<ServerId>,
    tried: Tried,
    /// Since when that server has it.
    moved_at: Time,
    pub(super) class: Class,
    pub(super) cancel: Cancel,
    pub(super) server_reliable: bool,
    /// For a request of a server.
    pub(super) to_client: Option<Box<ToClient>>,
    sent: Sent,
    /// When the request is to be sent again because its connection was lost. `losses`: how many connections were lost.
    resend_at: Time,
    losses: u8,
    failover: bool,
    pub(super) in_dialog: bool,
    /// A provisional answer has gone to the client, so the client waits for a final one as long as it takes.
    heard: bool,
    /// No other server is left to try: silence is waited out.
    alone: bool,
}

impl Entry {
    pub(super) fn new(now: Time, kept: &Kept<'_>, limits: &Limits) -> Option<Entry> {
        // Only for an INVITE: its ACK and CANCEL are made of this.
        let line = match kept.class {
            Class::Invite => RequestLine::of(kept.message, kept.route_fields)?,
            Class::Cancel | Class::Other => RequestLine::default(),
        };
        let repeat = kept.flow.transport.is_reliable() && !kept.server_reliable;
        // No server can take over a request that another server sends.
        let failover = kept.failover && kept.to_client.is_none();
        let timers = &limits.timers;
        let (phase, patience) = match kept.class {
            Class::Invite if failover => {
                (Phase::Invite(InviteClient::start(now, !repeat, timers)), now + limits.silence)
            }
            Class::Invite => (Phase::Invite(InviteClient::start(now, !repeat, timers)), Time::NEVER),
            Class::Other | Class::Cancel => {
                (Phase::Other(NonInviteClient::start(now, !repeat, timers)), now + timers.f())
            }
        };
        Some(Entry {
            message: kept.message.into(),
            line,
            flow: kept.flow,
            phase,
            born: now,
            patience,
            server: Some(kept.server),
            tried: Tried::default(),
            moved_at: now,
            class: kept.class,
            cancel: Cancel::No,
            server_reliable: kept.server_reliable,
            to_client: kept.to_client.map(|target| Box::new(ToClient { target, asker: None })),
            sent: Sent { at: now, worker: 0, twice: false },
            resend_at: Time::NEVER,
            losses: 0,
            failover,
            in_dialog: kept.in_dialog,
            heard: false,
            alone: false,
        })
    }

    /// The CANCEL of a held INVITE, which we answer.
    pub(super) fn held_back(now: Time, kept: &Kept<'_>, limits: &Limits) -> Option<Entry> {
        let entry = Entry::new(now, kept, limits)?;
        Some(Entry { phase: Phase::HeldBack { ready: false }, cancel: Cancel::Answered, ..entry })
    }

    /// An INVITE without its final answer.
    pub(super) fn is_pending(&self) -> bool {
        use InviteClientState::{Calling, Proceeding};
        match self.phase {
            Phase::Invite(machine) => matches!(machine.state(), Calling | Proceeding),
            Phase::Seeking { .. } => self.class == Class::Invite,
            Phase::Other(_) | Phase::HeldBack { .. } | Phase::Answered { .. } => false,
            Phase::Passed(_) | Phase::Over { .. } => false,
        }
    }

    /// The deadline has come.
    pub(super) fn step(&mut self, now: Time, limits: &Limits) -> Step {
        let timers = &limits.timers;
        if let Some(server) = self.due_again(now) {
            return Step::Resend(server);
        }
        match self.phase {
            Phase::Invite(mut machine) => match machine.due(now) {
                Some(event) => {
                    let output = machine.handle(now, event, timers);
                    self.phase = Phase::Invite(machine);
                    match output {
                        Output::Repeat => self.server.map_or(Step::Wait, Step::Repeat),
                        Output::Timeout => self.give_up(now, Why::Silent, limits),
                        // Timer D or M: as long as any server may be heard.
                        _ => Step::Remove,
                    }
                }
                None if self.patience > now => Step::Wait,
                None if machine.state() == InviteClientState::Proceeding => Step::LetGo,
                None => self.give_up(now, Why::Silent, limits),
            },
            Phase::Other(mut machine) => match machine.due(now) {
                Some(event) => {
                    let output = machine.handle(now, event, timers);
                    self.phase = Phase::Other(machine);
                    match output {
                        Output::Repeat => self.server.map_or(Step::Wait, Step::Repeat),
                        Output::Timeout => Step::Unanswered,
                        _ => Step::Remove,
                    }
                }
                None if self.patience > now => Step::Wait,
                None => Step::Unanswered,
            },
            Phase::HeldBack { ready: false } => Step::Remove,
            Phase::HeldBack { ready: true } => {
                self.phase = Phase::Other(NonInviteClient::start(now, self.server_reliable, timers));
                self.patience = now + timers.f();
                self.server.map_or(Step::Remove, |server| Step::Act(What::Send { server }))
            }
            Phase::Seeking { told: true, .. } => Step::Remove,
            Phase::Seeking { why, told: false } if self.cancel == Cancel::No || why == Why::FailedInTier => {
                self.phase = Phase::Seeking { why, told: true };
                self.patience = now + timers.b();
                Step::Act(What::Reroute { tried: self.tried, why })
            }
            Phase::Seeking { .. } => self.answer(now, 487, timers),
            Phase::Answered { machine, status, sent: false } => {
                self.phase = Phase::Answered { machine, status, sent: true };
                Step::Act(What::Answer { status })
            }
            Phase::Answered { mut machine, status, sent: true } => {
                let output = machine.due(now).map(|event| machine.handle(now, event, timers));
                self.phase = Phase::Answered { machine, status, sent: true };
                match output {
                    None => Step::Wait,
                    Some(Output::Repeat) => Step::Act(What::Answer { status }),
                    Some(_) => Step::Remove,
                }
            }
            Phase::Passed(machine) => self.repeat_failure(now, machine, timers),
            Phase::Over { .. } => Step::Remove,
        }
    }

    /// Answers the INVITE ourselves, unless its client waits no more: a client that has heard nothing ends with its timer B.
    pub(super) fn answer(&mut self, now: Time, status: u16, timers: &Timers) -> Step {
        if !self.heard && now.since(self.born) >= timers.b() {
            return Step::Unanswered;
        }
        let mut machine = InviteServer::start(self.flow.transport.is_reliable());
        machine.handle(now, InviteServerEvent::Failure, timers);
        self.server = None;
        self.phase = Phase::Answered { machine, status, sent: false };
        Step::Wait
    }

    /// Our answer is being sent. Over a stream it goes once, so the request is needed no more.
    pub(super) fn answered(&mut self) {
        if self.flow.transport.is_reliable() {
            self.message = Box::default();
        }
    }
}

impl Due for Entry {
    fn deadline(&self) -> Time {
        let or_never = |deadline: Option<Time>| deadline.unwrap_or(Time::NEVER);
        match self.phase {
            Phase::Invite(machine) => {
                or_never(machine.next_deadline()).min(self.patience).min(self.resend_at)
            }
            Phase::Other(machine) => or_never(machine.next_deadline()).min(self.patience).min(self.resend_at),
            Phase::HeldBack { ready: true }
            | Phase::Seeking { told: false, .. }
            | Phase::Answered { sent: false, .. } => Time::ZERO,
            Phase::Answered { machine, .. } | Phase::Passed(machine) => or_never(machine.next_deadline()),
            Phase::HeldBack { ready: false } | Phase::Seeking { told: true, .. } | Phase::Over { .. } => {
                self.patience
            }
        }
    }

    fn bytes(&self) -> usize {
        let asker = self.to_client.as_ref().and_then(|to_client| to_client.asker.as_ref());
        self.message.len() + self.line.bytes() + asker.map_or(0, |asker| asker.via.len())
    }
}
