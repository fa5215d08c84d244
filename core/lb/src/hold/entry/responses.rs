//! Responses to a held request, and the ACK to an answer of our own.

use base::Time;
use transaction::{
    InviteClientEvent, InviteClientState, NonInviteClientEvent, NonInviteClientState, Output, Timers,
};

use super::{After, Cancel, Entry, Phase, Step, TIMER_C};
use crate::farm::server::ServerId;
use crate::hold::{Limits, Speaker, Tried, Verdict, Why};

impl Entry {
    /// A response to the INVITE.
    pub(in crate::hold) fn invite_response(
        &mut self,
        now: Time,
        status: u16,
        speaker: &Speaker<'_>,
        timers: &Timers,
    ) -> (Verdict, After) {
        let event = match status {
            100..200 => InviteClientEvent::Provisional,
            200..300 => InviteClientEvent::Success,
            _ => InviteClientEvent::Failure,
        };
        if self.server != Some(speaker.server) {
            match event {
                _ if !self.is_spoken_for_by(speaker) => {
                    return self.response_of_given_up(now, event, timers);
                }
                // A client has one answer for all servers that ask it the same.
                _ if self.to_client.is_some() => {}
                InviteClientEvent::Provisional if !self.is_handed_to(now, speaker.server, timers) => {
                    return self.provisional_of_another(now);
                }
                // The call is with the server that answered: ACK and CANCEL go there.
                _ => self.server = Some(speaker.server),
            }
        }
        self.is_heard();
        match self.phase {
            Phase::Invite(mut machine) => {
                let output = machine.handle(now, event, timers);
                self.phase = Phase::Invite(machine);
                match (event, output) {
                    (InviteClientEvent::Provisional, Output::Pass) => (Verdict::Pass, self.provisional(now)),
                    (InviteClientEvent::Success, _) => (Verdict::Pass, self.ended(now, timers)),
                    // The first ACK comes from the client, and passes through us to this server.
                    (_, Output::AcknowledgeAndPass) => (Verdict::Pass, self.ended(now, timers)),
                    (_, Output::Acknowledge) => (self.copy_of_failure(), After::Keep),
                    _ => (Verdict::Drop, After::Keep),
                }
            }
            Phase::Passed(_) | Phase::Over { .. } => match event {
                InviteClientEvent::Success => (Verdict::Pass, After::Keep),
                InviteClientEvent::Failure => (self.copy_of_failure(), After::Keep),
                _ => (Verdict::Drop, After::Keep),
            },
            // Another server of the tier has answered, before a server was found.
            Phase::Seeking { .. } => {
                self.over(now, None, timers);
                (Verdict::Pass, After::Keep)
            }
            // Not reached: no server is the present one in these phases.
            Phase::Other(_) | Phase::HeldBack { .. } | Phase::Answered { .. } => (Verdict::Pass, After::Keep),
        }
    }

    /// The server has no room, or fails the request. This does not apply to a request within a dialog, which is for that
    /// server alone, nor when enough servers were tried: then the caller gets the refusal.
    pub(in crate::hold) fn refused(
        &mut self,
        now: Time,
        server: ServerId,
        why: Why,
        another: impl FnOnce(&Tried) -> bool,
        limits: &Limits,
    ) -> Option<Verdict> {
        let may_move = self.failover && !self.in_dialog && self.cancel == Cancel::No && !self.tried.is_last();
        if self.server != Some(server) || !self.is_pending() || !may_move || !another(&self.tried) {
            return None;
        }
        self.give_up(now, why, limits);
        Some(Verdict::Acknowledge(self.line.clone(), None))
    }

    /// A server that the request was taken away from is alive after all. If it rings, it is cancelled; if it refuses, it
    /// is acknowledged; the caller gets neither response. The caller does get a 2xx: it made a dialog, which only the
    /// caller can end.
    fn response_of_given_up(
        &mut self,
        now: Time,
        event: InviteClientEvent,
        timers: &Timers,
    ) -> (Verdict, After) {
        match event {
            InviteClientEvent::Provisional => {
                (Verdict::Cancel { line: self.line.clone(), in_dialog: self.in_dialog }, After::Keep)
            }
            // The caller has its answer; the server that has the request now is given up like those before.
            InviteClientEvent::Success => (Verdict::Pass, self.give_up_all(now, timers)),
            _ => (Verdict::Acknowledge(self.line.clone(), None), After::Keep),
        }
    }

    fn give_up_all(&mut self, now: Time, timers: &Timers) -> After {
        let ringing = match self.phase {
            Phase::Invite(machine) => machine.state() == InviteClientState::Proceeding,
            Phase::Seeking { .. } => false,
            Phase::Other(_) | Phase::HeldBack { .. } | Phase::Answered { .. } => return After::Keep,
            Phase::Passed(_) | Phase::Over { .. } => return After::Keep,
        };
        let server = self.server.take();
        server.into_iter().for_each(|server| self.tried.add(server));
        let invite = std::mem::take(&mut self.message);
        self.over(now, None, timers);
        match server {
            Some(server) if ringing => After::Silence { server, invite },
            _ => After::Keep,
        }
    }

    /// A copy of a failure that has passed. A client over a stream has received the failure and its transaction is gone,
    /// so the ACK is ours; a client over UDP may have missed the failure, and acknowledges by itself.
    fn copy_of_failure(&self) -> Verdict {
        if self.flow.transport.is_reliable() {
            Verdict::Acknowledge(self.line.clone(), self.to_client.as_ref().map(|to| to.target))
        } else {
            Verdict::Pass
        }
    }

    fn provisional(&mut self, now: Time) -> After {
        self.heard = true;
        // A 100 need not start timer C anew, but that does no harm.
        self.patience = now + TIMER_C;
        if !self.failover {
            // The INVITE is neither repeated nor moved any more; what is left of the entry acknowledges a failure.
            self.message = Box::default();
        }
        if self.cancel == Cancel::Answered { After::SendCancel } else { After::Keep }
    }

    /// The final answer has passed.
    fn ended(&mut self, now: Time, timers: &Timers) -> After {
        self.message = Box::default();
        match self.end(now, timers) {
            Step::Remove => After::Remove,
            _ => After::Keep,
        }
    }

    /// The entry stays only if a message may still come for it. After a 2xx, each further 2xx passes by its Via alone. After
    /// a failure over a reliable transport nothing follows if the INVITE was sent once, and a client over a stream sends no
    /// copies. A client over UDP does: a copy that was taken for a new INVITE would wait for an answer that does not come
    /// twice (RFC 6026 §7.1). Servers that were given up may still be heard, too.
    fn end(&mut self, now: Time, timers: &Timers) -> Step {
        self.patience = Time::NEVER;
        match self.phase {
            Phase::Invite(machine) if machine.state() == InviteClientState::Completed => Step::Wait,
            _ if self.tried.is_empty() && !self.sent.twice && self.flow.transport.is_reliable() => {
                Step::Remove
            }
            _ => {
                self.over(now, None, timers);
                Step::Wait
            }
        }
    }

    pub(super) fn over(&mut self, now: Time, answered: Option<u16>, timers: &Timers) {
        self.message = Box::default();
        self.phase = Phase::Over { answered };
        self.patience = now + timers.m();
    }

    /// The client has acknowledged an answer of ours, or a failure that we repeat.
    pub(in crate::hold) fn acknowledged(&mut self, now: Time, timers: &Timers) {
        match self.phase {
            Phase::Answered { status, .. } => self.over(now, Some(status), timers),
            Phase::Passed(_) => self.over(now, None, timers),
            Phase::Invite(_) | Phase::Other(_) | Phase::HeldBack { .. } => {}
            Phase::Seeking { .. } | Phase::Over { .. } => {}
        }
    }

    /// A response to a request other than INVITE; the first final answer counts, whichever server it is from. If several
    /// servers had the request, the others may answer much later: the remnant absorbs these answers.
    pub(in crate::hold) fn other_response(
        &mut self,
        now: Time,
        status: u16,
        timers: &Timers,
    ) -> (Verdict, After) {
        let event =
            if status < 200 { NonInviteClientEvent::Provisional } else { NonInviteClientEvent::Final };
        let (output, ended) = match self.phase {
            Phase::Other(mut machine) => {
                let output = machine.handle(now, event, timers);
                self.phase = Phase::Other(machine);
                (output, machine.state() == NonInviteClientState::Terminated)
            }
            Phase::Seeking { .. } => (Output::Pass, false),
            Phase::Passed(_) | Phase::Over { .. } => (Output::Ignored, false),
            Phase::Invite(_) | Phase::HeldBack { .. } | Phase::Answered { .. } => (Output::Pass, true),
        };
        let verdict = if output == Output::Pass { Verdict::Pass } else { Verdict::Drop };
        if event == NonInviteClientEvent::Final && output == Output::Pass {
            self.message = Box::default();
            self.patience = Time::NEVER;
            if !self.tried.is_empty() || self.sent.twice {
                self.over(now, None, timers);
                return (verdict, After::Keep);
            }
        }
        (verdict, if ended { After::Remove } else { After::Keep })
    }
}
