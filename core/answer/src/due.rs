//! What the server does by itself: ring, answer, repeat, hang up, forget.

use base::Time;
use sip::{Message, Parser};
use transaction::{InviteServerEvent, NonInviteClient, NonInviteClientState, Output, Success};
use turn::Outbox;

use super::Answerer;
use super::call::Phase;
use super::text::{Fields, answer, bye, dialog_fields, session};

impl Answerer {
    /// Does what is due, call by call.
    pub(super) fn run_due(&mut self, now: Time, out: &mut Outbox) {
        while let Some(slot) = self.book.pop_due(now) {
            self.advance(now, slot, out);
        }
    }

    /// Does all that is due of one call, and puts it where it is due next.
    pub(super) fn advance(&mut self, now: Time, slot: u32, out: &mut Outbox) {
        // Ring, answer, and at most one repetition: a phase is left or its time moves on with every step.
        while let Some(call) = self.book.get(slot)
            && call.next_deadline().is_some_and(|at| at <= now)
        {
            match &call.phase {
                Phase::Ringing { rung, .. } => self.ring_or_answer(now, slot, !*rung, out),
                Phase::Answered { .. } => self.repeat_success(now, slot, out),
                Phase::Confirmed { .. } => self.hang_up(now, slot, out),
                Phase::Refused => self.repeat_failure(now, slot, out),
                Phase::HangingUp { .. } => self.repeat_bye(now, slot, out),
                Phase::Ended { .. } => self.book.remove(slot),
                Phase::Sought { .. } => return,
            }
        }
        self.book.update(slot, |_| ());
        self.forget_if_done(now, slot);
    }

    fn ring_or_answer(&mut self, now: Time, slot: u32, ring: bool, out: &mut Outbox) {
        let Some(invite) = self.book.get(slot).map(|call| call.invite.clone()) else { return };
        let mut parser = Parser::new();
        // It was read before; the copy is the same.
        let Ok(request) = parser.parse(&invite) else { return self.book.remove(slot) };
        if ring {
            self.say(slot, &request, 180, out);
            let done = match self.behaviour.work {
                work if work.is_zero() => now,
                work => self.processor.give(now, work),
            };
            let next = done + self.behaviour.answer_after;
            self.book.update(slot, |call| call.phase = Phase::Ringing { rung: true, next });
        } else {
            self.say(slot, &request, 200, out);
            self.counters.answered.add(1);
            let timers = &self.timers;
            self.book.update(slot, |call| call.transaction.handle(now, InviteServerEvent::Success, timers));
            self.wait_for_ack(now, slot);
        }
    }

    pub(super) fn wait_for_ack(&mut self, now: Time, slot: u32) {
        let success = Success::start(now, &self.timers);
        self.book.update(slot, |call| call.phase = Phase::Answered { success });
    }

    /// Sends an answer to the INVITE and keeps it for repetition.
    pub(super) fn say(&mut self, slot: u32, request: &Message<'_>, status: u16, out: &mut Outbox) {
        let Some((remote, target)) = self.book.get(slot).map(|call| (call.remote, call.target)) else {
            return;
        };
        let listener = match target {
            sip::Target::Datagram { listener, .. }
            | sip::Target::Connection { listener, .. }
            | sip::Target::Stream { listener, .. } => usize::from(listener),
        };
        let own = self.addresses.get(listener).copied();
        let body = match (status, own) {
            (200, Some(own)) => session(own.address),
            _ => String::new(),
        };
        let fields = match (status, own) {
            (180 | 200, Some(own)) => dialog_fields(request, own),
            _ => Fields::new(),
        };
        let bytes = answer(request, remote, (status, self.tag(request)), &fields, &body);
        out.post(&bytes, target);
        self.book.update(slot, |call| call.last = bytes.into());
    }

    pub(super) fn refuse(&mut self, now: Time, slot: u32, status: u16, out: &mut Outbox) {
        let Some(invite) = self.book.get(slot).map(|call| call.invite.clone()) else { return };
        let mut parser = Parser::new();
        let Ok(request) = parser.parse(&invite) else { return self.book.remove(slot) };
        if status != 487 {
            self.counters.refused.add(1);
        }
        self.say(slot, &request, status, out);
        let timers = &self.timers;
        self.book.update(slot, |call| {
            call.phase = Phase::Refused;
            call.invite = Box::default();
            call.transaction.handle(now, InviteServerEvent::Failure, timers);
        });
    }

    fn repeat_success(&mut self, now: Time, slot: u32, out: &mut Outbox) {
        let (timers, counters) = (&self.timers, &self.counters);
        let mut unconfirmed = false;
        self.book.update(slot, |call| {
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

    fn repeat_failure(&mut self, now: Time, slot: u32, out: &mut Outbox) {
        let (timers, counters) = (&self.timers, &self.counters);
        self.book.update(slot, |call| {
            let Some(event) = call.transaction.due(now) else { return call.end(None) };
            match call.transaction.handle(now, event, timers) {
                Output::Repeat => {
                    counters.repeated.add(1);
                    out.post(&call.last, call.target);
                }
                Output::Timeout => {
                    counters.unconfirmed.add(1);
                    call.end(None);
                }
                _ => call.end(None),
            }
        });
    }

    fn hang_up(&mut self, now: Time, slot: u32, out: &mut Outbox) {
        let branch = self.chance.next_u64();
        let Some(call) = self.book.get(slot) else { return };
        let mut parser = Parser::new();
        let written = parser.parse(&call.invite).ok().and_then(|invite| {
            bye(&invite, call.target, &self.addresses, (&call.own_tag, call.own_sequence + 1, branch))
        });
        // A caller without a usable Contact cannot be told; the call is over all the same.
        let Some((bytes, target)) = written else {
            self.counters.unsent.add(1);
            return self.book.remove(slot);
        };
        self.counters.hung_up.add(1);
        out.post(&bytes, target);
        let reliable = !matches!(target, sip::Target::Datagram { .. });
        let bye = NonInviteClient::start(now, reliable, &self.timers);
        self.book.update(slot, |call| {
            call.own_sequence += 1;
            call.target = target;
            call.last = bytes.into();
            call.invite = Box::default();
            call.phase = Phase::HangingUp { bye };
        });
    }

    fn repeat_bye(&mut self, now: Time, slot: u32, out: &mut Outbox) {
        let timers = &self.timers;
        self.book.update(slot, |call| {
            let Phase::HangingUp { bye } = &mut call.phase else { return };
            let Some(event) = bye.due(now) else { return call.end(None) };
            match bye.handle(now, event, timers) {
                Output::Repeat => out.post(&call.last, call.target),
                _ if bye.state() == NonInviteClientState::Terminated => call.end(None),
                _ => {}
            }
        });
    }

    /// Removes a call whose end has no more to wait for.
    pub(super) fn forget_if_done(&mut self, now: Time, slot: u32) {
        let done = self.book.get(slot).is_some_and(|call| match &call.phase {
            Phase::Ended { bye } => bye.and_then(|bye| bye.next_deadline()).is_none_or(|until| until <= now),
            Phase::HangingUp { bye } => bye.state() == NonInviteClientState::Terminated,
            Phase::Refused => call.transaction.next_deadline().is_none(),
            _ => false,
        });
        if done {
            self.book.remove(slot);
        }
    }
}
