//! A held request is taken away from its server, and goes to another or to none.

use base::Time;
use transaction::{InviteClient, InviteClientState, NonInviteClient, NonInviteClientState};

use super::{Cancel, Class, Entry, Limits, Phase, Step, Why};
use crate::farm::server::ServerId;

impl Entry {
    /// A server failed. `None`: this request is not concerned.
    pub(in crate::hold) fn server_failed(
        &mut self,
        now: Time,
        (server, why): (ServerId, Why),
        limits: &Limits,
    ) -> Option<Step> {
        if self.server != Some(server) || self.to_client.is_some() {
            return None;
        }
        let concerned = match self.phase {
            Phase::Invite(machine) => {
                let pending =
                    matches!(machine.state(), InviteClientState::Calling | InviteClientState::Proceeding);
                pending && self.failover
            }
            // The CANCEL is for this server alone, and its client still waits for that server's answer.
            Phase::Other(_) if self.class == Class::Cancel && self.cancel == Cancel::No => false,
            Phase::Other(machine) => {
                matches!(machine.state(), NonInviteClientState::Trying | NonInviteClientState::Proceeding)
            }
            // A waiting CANCEL follows its INVITE; the others have no server or have ended.
            Phase::HeldBack { .. } | Phase::Seeking { .. } | Phase::Answered { .. } => false,
            Phase::Passed(_) | Phase::Over { .. } => false,
        };
        concerned.then(|| self.give_up(now, why, limits))
    }

    /// Takes the request away from its server. Another server gets it; if the caller has given up or enough servers were
    /// tried, we answer it. The answer is the one that a proxy makes of the last sign (RFC 3261 §16.9): 408 of silence; of a
    /// failure a 503, which is passed on as 500 (RFC 3261 §16.7 step 6).
    pub(in crate::hold) fn give_up(&mut self, now: Time, why: Why, limits: &Limits) -> Step {
        if let Some(server) = self.server.take() {
            self.tried.add(server);
        }
        (self.resend_at, self.losses) = (Time::NEVER, 0);
        let timers = &limits.timers;
        // Within a state tier the CANCEL follows its INVITE to the next server; else nobody would tell the callee.
        let goes_on = why == Why::FailedInTier && self.cancel == Cancel::Answered && !self.tried.is_full();
        if self.class == Class::Invite && self.cancel != Cancel::No && !goes_on {
            return self.answer(now, 487, timers);
        }
        let status = match why {
            Why::Silent => 408,
            Why::Failed | Why::FailedInTier | Why::Full | Why::Refused => 500,
        };
        match self.class {
            Class::Invite if !self.failover => Step::Unanswered,
            Class::Other if self.tried.is_full() => Step::Unanswered,
            Class::Invite if self.tried.is_full() || self.alone && why == Why::Silent => {
                self.answer(now, status, timers)
            }
            Class::Invite | Class::Other => {
                self.phase = Phase::Seeking { why, told: false };
                Step::Wait
            }
            Class::Cancel if why == Why::FailedInTier && !self.message.is_empty() => {
                self.phase = Phase::HeldBack { ready: false };
                self.patience = now + timers.f();
                Step::Wait
            }
            // Another server would not know the INVITE of this CANCEL. If we answered the CANCEL, a late answer goes
            // nowhere.
            Class::Cancel => {
                self.over(now, None, timers);
                Step::Wait
            }
        }
    }

    /// The router has chosen another server and is sending the request there.
    pub(in crate::hold) fn moved(
        &mut self,
        now: Time,
        server: ServerId,
        server_reliable: bool,
        limits: &Limits,
    ) {
        (self.server, self.moved_at) = (Some(server), now);
        self.server_reliable = server_reliable;
        // From here on the copies are ours, whoever sent them before: the sender has heard another server and repeats no
        // more.
        (self.phase, self.patience) = match self.class {
            Class::Invite => (
                Phase::Invite(InviteClient::start(now, server_reliable, &limits.timers)),
                now + limits.silence,
            ),
            Class::Other | Class::Cancel => (
                Phase::Other(NonInviteClient::start(now, server_reliable, &limits.timers)),
                self.born + limits.timers.f(),
            ),
        };
    }

    /// No server is left to try: back to the silent server for the rest of timer B, or an answer of ours.
    pub(in crate::hold) fn no_server(&mut self, now: Time, limits: &Limits) -> Step {
        let timers = &limits.timers;
        match self.phase {
            Phase::Seeking { why: Why::FailedInTier, .. } => self.wait_for_last(now, timers),
            _ if self.class != Class::Invite => Step::Unanswered,
            _ if self.cancel != Cancel::No => self.answer(now, 487, timers),
            Phase::Seeking { why: Why::Silent, .. } => {
                self.server = self.tried.take_last();
                self.alone = true;
                self.phase = Phase::Invite(InviteClient::start(now, self.server_reliable, timers));
                self.patience = self.born + timers.b();
                Step::Wait
            }
            _ => self.answer(now, 503, timers),
        }
    }
}
