//! A failure that came over a stream and goes to a client over UDP.
//!
//! The server does not repeat the failure: its transport does (RFC 3261 §17.2.1). The client does not repeat the INVITE,
//! since the INVITE rang (§17.1.1.2). So nobody would send a lost datagram again. Once the failure has passed, it is held and
//! repeated until the client's ACK.

use base::Time;
use sip::Flow;
use transaction::hop_by_hop::RequestLine;
use transaction::{InviteServer, InviteServerEvent, Output, Timers};

use super::{Cancel, Class, Entry, Phase, Sent, Step};
use crate::farm::server::ServerId;
use crate::hold::{Tried, What};

impl Entry {
    /// The entry of an INVITE that was not held: only its failure is held.
    pub(in crate::hold) fn of_passed(
        now: Time,
        server: ServerId,
        flow: Flow,
        failure: &[u8],
        timers: &Timers,
    ) -> Entry {
        Entry {
            message: failure.into(),
            line: RequestLine::default(),
            flow,
            phase: Phase::Passed(repeating(now, timers)),
            born: now,
            moved_at: now,
            patience: Time::NEVER,
            server: Some(server),
            tried: Tried::default(),
            class: Class::Invite,
            cancel: Cancel::No,
            server_reliable: true,
            to_client: None,
            sent: Sent { at: now, worker: 0, twice: false },
            resend_at: Time::NEVER,
            losses: 0,
            failover: false,
            in_dialog: false,
            heard: true,
            alone: false,
        }
    }

    /// The failure of this server has passed, and nothing else is kept of its INVITE.
    pub(in crate::hold) fn may_repeat_failure_of(&self, server: ServerId) -> bool {
        self.class == Class::Invite
            && self.phase == (Phase::Over { answered: None })
            && self.server == Some(server)
            && self.message.is_empty()
    }

    pub(in crate::hold) fn repeating_from_now(
        self,
        now: Time,
        flow: Flow,
        failure: &[u8],
        timers: &Timers,
    ) -> Entry {
        let phase = Phase::Passed(repeating(now, timers));
        Entry { flow, message: failure.into(), phase, patience: Time::NEVER, ..self }
    }

    /// Timer G or H.
    pub(super) fn repeat_failure(&mut self, now: Time, mut machine: InviteServer, timers: &Timers) -> Step {
        let output = machine.due(now).map(|event| machine.handle(now, event, timers));
        self.phase = Phase::Passed(machine);
        match output {
            None => Step::Wait,
            Some(Output::Repeat) => Step::Act(What::Passed),
            Some(_) => Step::Remove,
        }
    }
}

fn repeating(now: Time, timers: &Timers) -> InviteServer {
    let mut machine = InviteServer::start(false);
    machine.handle(now, InviteServerEvent::Failure, timers);
    machine
}
