//! Steps that the server takes on time: ring, answer, repeat, forget.

use base::{Duration, Time};
use sip::{Message, Parser};
use transaction::{InviteServerEvent, NonInviteClientState, Output, Success};
use turn::Outbox;

use super::Answerer;
use super::call::Phase;
use super::session::Said;
use super::text::{Fields, answer, dialog_fields};

impl Answerer {
    /// Takes all due steps, call by call.
    pub(super) fn run_due(&mut self, now: Time, out: &mut Outbox) {
        while let Some(slot) = self.book.next_due(now) {
            self.advance(now, slot, out);
        }
    }

    /// Takes all due steps of one call.
    pub(super) fn advance(&mut self, now: Time, slot: u64, out: &mut Outbox) {
        // Ring, answer, and at most one repetition: every step leaves the phase or moves its time on.
        while let Some(call) = self.book.get(slot)
            && call.next_deadline().is_some_and(|at| at <= now)
        {
            match &call.phase {
                Phase::Ringing { rung: false, status, .. } => self.ring(now, slot, *status, out),
                Phase::Ringing { status: 200, .. } => self.accept(now, slot, out),
                Phase::Ringing { status, .. } => self.refuse(now, slot, *status, out),
                Phase::Answered { .. } => self.repeat_success(now, slot, out),
                Phase::Confirmed { .. } => self.hang_up(now, slot, out),
                Phase::Refused => self.repeat_failure(now, slot, out),
                Phase::HangingUp { .. } => self.repeat_bye(now, slot, out),
                Phase::Ended { .. } => self.book.remove(slot),
                Phase::Sought { .. } => return,
            }
        }
        self.forget_if_done(now, slot);
    }

    fn ring(&mut self, now: Time, slot: u64, status: u16, out: &mut Outbox) {
        self.say_of_invite(now, slot, 180, out);
        let done = match self.behaviour.work {
            work if work.is_zero() => now,
            work => self.processor.give(now, work),
        };
        let spread = self.behaviour.answer_spread.as_micros() as u64;
        let next = done + self.behaviour.answer_after + Duration::from_micros(self.chance.below(spread + 1));
        self.book.update(now, slot, |call| call.phase = Phase::Ringing { rung: true, next, status });
    }

    fn accept(&mut self, now: Time, slot: u64, out: &mut Outbox) {
        self.say_of_invite(now, slot, 200, out);
        self.counters.answered.add(1);
        let timers = &self.timers;
        self.book.update(now, slot, |call| call.transaction.handle(now, InviteServerEvent::Success, timers));
        self.wait_for_ack(now, slot);
    }

    /// Sends an answer to the INVITE that is stored with the call.
    fn say_of_invite(&mut self, now: Time, slot: u64, status: u16, out: &mut Outbox) {
        let Some(invite) = self.book.get(slot).map(|call| call.invite.clone()) else { return };
        // This INVITE was parsed when it came, so parsing it again succeeds.
        let mut parser = Parser::new();
        let Ok(request) = parser.parse(&invite) else { return self.book.remove(slot) };
        self.say(now, slot, &request, status, out);
    }

    pub(super) fn wait_for_ack(&mut self, now: Time, slot: u64) {
        let success = Success::start(now, &self.timers);
        self.book.update(now, slot, |call| call.phase = Phase::Answered { success });
    }

    /// Sends an answer to the INVITE and keeps the answer for repetition.
    pub(super) fn say(&mut self, now: Time, slot: u64, request: &Message<'_>, status: u16, out: &mut Outbox) {
        let Some(call) = self.book.get(slot) else { return };
        let (remote, target, version) = (call.remote, call.target, call.sequence);
        let listener = match target {
            sip::Target::Datagram { listener, .. }
            | sip::Target::Connection { listener, .. }
            | sip::Target::Stream { listener, .. } => usize::from(listener),
        };
        let own = self.addresses.get(listener).copied();
        let body = match (status, own) {
            (200, Some(own)) => Said::to(request, own.address.ip(), version).text().unwrap_or_default(),
            _ => String::new(),
        };
        let fields = match (status, own) {
            (180 | 200, Some(own)) => dialog_fields(request, own),
            _ => Fields::new(),
        };
        let bytes = answer(request, remote, (status, self.tag(request)), &fields, &body);
        out.post(&bytes, target);
        self.book.update(now, slot, |call| call.last = bytes.into());
    }

    pub(super) fn refuse(&mut self, now: Time, slot: u64, status: u16, out: &mut Outbox) {
        if status != 487 {
            self.counters.refused.add(1);
        }
        self.say_of_invite(now, slot, status, out);
        let timers = &self.timers;
        self.book.update(now, slot, |call| {
            call.phase = Phase::Refused;
            call.invite = Box::default();
            call.transaction.handle(now, InviteServerEvent::Failure, timers);
        });
    }

    fn repeat_success(&mut self, now: Time, slot: u64, out: &mut Outbox) {
        let (timers, counters) = (&self.timers, &self.counters);
        let mut unconfirmed = false;
        self.book.update(now, slot, |call| {
            let Phase::Answered { success } = &mut call.phase else { return };
            let Some(event) = success.due(now) else { return };
            match success.handle(now, event, timers) {
                Output::Repeat => {
                    counters.repeated.add(1);
                    out.post(&call.last, call.target);
                }
                output => unconfirmed = output == Output::Timeout,
            }
        });
        if unconfirmed {
            self.counters.unconfirmed.add(1);
            self.hang_up(now, slot, out);
        }
    }

    fn repeat_failure(&mut self, now: Time, slot: u64, out: &mut Outbox) {
        let (timers, counters) = (&self.timers, &self.counters);
        self.book.update(now, slot, |call| {
            let output = match call.transaction.due(now) {
                Some(event) => call.transaction.handle(now, event, timers),
                None => Output::Nothing,
            };
            if output == Output::Repeat {
                counters.repeated.add(1);
                return out.post(&call.last, call.target);
            }
            counters.unconfirmed.add(u64::from(output == Output::Timeout));
            call.end(call.cancel);
        });
    }

    /// Removes a call that has ended and waits for nothing more.
    pub(super) fn forget_if_done(&mut self, now: Time, slot: u64) {
        self.book.update(now, slot, |call| {
            if matches!(call.phase, Phase::Refused) && call.transaction.next_deadline().is_none() {
                call.end(call.cancel);
            }
        });
        let done = self.book.get(slot).is_some_and(|call| match &call.phase {
            Phase::Ended { last } => {
                last.and_then(|last| last.next_deadline()).is_none_or(|until| until <= now)
            }
            Phase::HangingUp { bye, .. } => bye.state() == NonInviteClientState::Terminated,
            _ => false,
        });
        if done {
            self.book.remove(slot);
        }
    }
}
