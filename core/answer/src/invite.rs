//! INVITEs, and the CANCELs and ACKs that belong to them.
//!
//! Call-ID and From tag find the call. The transaction's key then tells a copy of the INVITE from an INVITE that came by
//! another way, and tells whether a CANCEL or the ACK to a failure belongs to this INVITE (RFC 3261 §17.2.3, §9.2).

use std::cmp::Ordering;

use base::{Duration, Time};
use sip::{Flow, Message};
use transaction::key::ServerKey;
use transaction::{InviteServer, InviteServerEvent, Output};
use turn::Outbox;

use super::Answerer;
use super::call::{Call, Phase};
use super::request::{answered, to_tag};
use super::session::Said;
use super::text::{Fields, answer, remote_target, required};

/// From this pause on, a caller needs a 100 to stop repeating (RFC 3261 §17.2.1).
const TRYING_AFTER: Duration = Duration::from_millis(200);

impl Answerer {
    pub(super) fn invite(
        &mut self,
        now: Time,
        request: &Message<'_>,
        flow: Flow,
        (key, slot, sequence): (Box<[u8]>, Option<u64>, u32),
        out: &mut Outbox,
    ) {
        let Some(transaction_key) = ServerKey::of(request) else {
            return self.plain(request, flow, 400, out);
        };
        let has_tag = to_tag(request).is_some();
        if let Some((slot, call)) = slot.and_then(|slot| Some((slot, self.book.get(slot)?))) {
            let is_over = matches!(call.phase, Phase::Refused | Phase::Ended { .. });
            match sequence.cmp(&call.sequence) {
                // A later INVITE overtook this one; its answer was sent before.
                Ordering::Less => return,
                Ordering::Equal if transaction_key == call.transaction_key => {
                    return self.copy(now, request, flow, slot, out);
                }
                Ordering::Equal => return self.merged(request, flow, out),
                // The caller tries again after a refusal (RFC 3261 §8.1.3.5).
                Ordering::Greater if is_over && !has_tag => self.book.remove(slot),
                Ordering::Greater if to_tag(request) == Some(&call.own_tag[..]) => {
                    return self.again(now, request, flow, (slot, transaction_key, sequence), out);
                }
                Ordering::Greater => {
                    self.counters.unknown.add(1);
                    return self.plain(request, flow, 481, out);
                }
            }
        }
        if has_tag && !self.behaviour.take_over {
            self.counters.unknown.add(1);
            return self.plain(request, flow, 481, out);
        }
        if let Some(options) = required(request) {
            self.counters.unsupported.add(1);
            let field = vec![("Unsupported", options)];
            let bytes = answer(request, flow.remote, (420, self.tag(request)), &field, "");
            return out.post(&bytes, sip::answer::target(request, flow));
        }
        self.counters.invites.add(1);
        if !self.can_have_session(request, flow, sequence) {
            self.counters.unacceptable.add(1);
            return self.plain(request, flow, 488, out);
        }
        if has_tag {
            self.counters.taken_over.add(1);
        }
        if self.book.is_full() {
            self.counters.full.add(1);
            return self.plain(request, flow, self.behaviour.full_status, out);
        }
        let search = if has_tag { None } else { self.ask_group(now, request, flow).err() };
        let full = search.is_none() && self.book.live() >= self.behaviour.calls_max;
        let failing = search.is_none() && self.chance.permille(self.behaviour.failure_permille);
        if full {
            self.counters.full.add(1);
        }
        let own_tag = match to_tag(request) {
            Some(tag) => tag.into(),
            None => format!("{:016x}", self.tag(request)).into_bytes().into(),
        };
        let status = if failing { self.behaviour.failure_status } else { 200 };
        let kept = self.book.insert(
            now,
            Call {
                key,
                phase: match search {
                    Some(search) => Phase::Sought { search, acknowledged: false },
                    None => Phase::Ringing { rung: false, next: now + self.behaviour.ring_after, status },
                },
                transaction: InviteServer::start(flow.transport.is_reliable()),
                transaction_key,
                cancel: None,
                sequence,
                invite: request.bytes().into(),
                remote_target: None,
                remote: flow.remote,
                target: sip::answer::target(request, flow),
                last: Box::default(),
                own_tag,
                own_sequence: 0,
            },
        );
        let Some(slot) = kept else {
            self.counters.full.add(1);
            return self.plain(request, flow, self.behaviour.full_status, out);
        };
        if search.is_some() {
            // The 100 stops the caller's repetitions until another server is found.
            self.say(now, slot, request, 100, out);
            self.run_decisions(now, out);
        } else if full {
            self.refuse(now, slot, self.behaviour.full_status, out);
        } else if failing && !self.behaviour.fails_after_ringing {
            self.refuse(now, slot, status, out);
        } else {
            if self.behaviour.ring_after >= TRYING_AFTER {
                self.say(now, slot, request, 100, out);
            }
            self.advance(now, slot, out);
        }
    }

    fn can_have_session(&self, request: &Message<'_>, flow: Flow, version: u32) -> bool {
        let own = self.addresses.get(usize::from(flow.listener));
        own.is_none_or(|own| Said::to(request, own.address.ip(), version) != Said::NotAcceptable)
    }

    /// A copy of the last INVITE gets the last answer, as long as the transaction repeats it. The answers go where the copy
    /// came from: the connection of the INVITE may be gone.
    fn copy(&mut self, now: Time, request: &Message<'_>, flow: Flow, slot: u64, out: &mut Outbox) {
        let (timers, target) = (&self.timers, sip::answer::target(request, flow));
        let repeats = self.book.update(now, slot, |call| {
            let is_answered = matches!(call.phase, Phase::Answered { .. });
            let output = call.transaction.handle(now, InviteServerEvent::Invite, timers);
            let is_open = matches!(call.phase, Phase::Ringing { .. } | Phase::Sought { .. } | Phase::Refused);
            if is_open || is_answered {
                (call.target, call.remote) = (target, flow.remote);
            }
            // Only the timer repeats the 2xx (RFC 6026 §7.1).
            (is_open && output == Output::Repeat && !call.last.is_empty()).then(|| call.last.clone())
        });
        if let Some(last) = repeats.flatten() {
            self.counters.repeated.add(1);
            out.post(&last, target);
        }
    }

    /// The same request came by another way, with another branch (RFC 3261 §8.2.2.2). The answer's tag differs from the call's
    /// tag, so that the ACK to this answer does not confirm the call.
    fn merged(&self, request: &Message<'_>, flow: Flow, out: &mut Outbox) {
        self.counters.merged.add(1);
        let bytes = answer(request, flow.remote, (482, !self.tag(request)), &Fields::new(), "");
        out.post(&bytes, sip::answer::target(request, flow));
    }

    /// Answers a re-INVITE at once (RFC 3261 §14.2).
    fn again(
        &mut self,
        now: Time,
        request: &Message<'_>,
        flow: Flow,
        (slot, transaction_key, sequence): (u64, ServerKey, u32),
        out: &mut Outbox,
    ) {
        match self.book.get(slot).map(|call| &call.phase) {
            // The session goes on as it was (RFC 3261 §14.2).
            Some(Phase::Answered { .. } | Phase::Confirmed { .. })
                if !self.can_have_session(request, flow, sequence) =>
            {
                self.counters.unacceptable.add(1);
                self.plain(request, flow, 488, out);
            }
            Some(Phase::Answered { .. } | Phase::Confirmed { .. }) => {
                self.counters.changed.add(1);
                let (timers, target) = (&self.timers, sip::answer::target(request, flow));
                self.book.update(now, slot, |call| {
                    call.sequence = sequence;
                    call.target = target;
                    call.remote = flow.remote;
                    call.transaction = InviteServer::start(flow.transport.is_reliable());
                    call.transaction.handle(now, InviteServerEvent::Success, timers);
                    call.transaction_key = transaction_key;
                    call.remote_target = remote_target(request).or(call.remote_target.take());
                });
                self.say(now, slot, request, 200, out);
                self.wait_for_ack(now, slot);
            }
            Some(Phase::Ringing { .. } | Phase::Sought { .. }) => self.plain(request, flow, 500, out),
            _ => {
                self.counters.unknown.add(1);
                self.plain(request, flow, 481, out);
            }
        }
    }

    /// Dialog and CSeq find the ACK to a 2xx (RFC 3261 §13.3.1.4); the INVITE's transaction finds the ACK to a failure.
    pub(super) fn ack(&mut self, now: Time, ack: &Message<'_>, (slot, sequence): (Option<u64>, u32)) {
        let Some(slot) = slot else { return };
        let Some(key) = ServerKey::of(ack) else { return };
        let (timers, counters, behaviour) = (&self.timers, &self.counters, &self.behaviour);
        let hangs_up = behaviour.hang_up_after.filter(|_| self.chance.permille(behaviour.hang_up_permille));
        self.book.update(now, slot, |call| {
            let of_dialog = to_tag(ack) == Some(&call.own_tag[..]) && sequence == call.sequence;
            let of_failure = key == call.transaction_key && key.acknowledges(ack, &call.own_tag);
            match call.phase {
                Phase::Answered { .. } if of_dialog => {
                    counters.confirmed.add(1);
                    let after = hangs_up.unwrap_or(behaviour.abandon_after);
                    call.phase = Phase::Confirmed { next: now + after };
                    call.last = Box::default();
                }
                Phase::Refused if of_failure => {
                    call.transaction.handle(now, InviteServerEvent::Ack, timers);
                }
                Phase::Sought { ref mut acknowledged, .. } if of_failure => *acknowledged = true,
                Phase::Answered { .. }
                | Phase::Refused
                | Phase::Sought { .. }
                | Phase::Ringing { .. }
                | Phase::Confirmed { .. }
                | Phase::HangingUp { .. }
                | Phase::Ended { .. } => {}
            }
        });
        self.forget_if_done(now, slot);
    }

    /// Whether the server has sent no final answer to the INVITE yet.
    pub(super) fn is_unanswered(&self, slot: u64) -> bool {
        let phase = self.book.get(slot).map(|call| &call.phase);
        matches!(phase, Some(Phase::Ringing { .. } | Phase::Sought { .. }))
    }

    pub(super) fn cancel(
        &mut self,
        now: Time,
        request: &Message<'_>,
        flow: Flow,
        slot: Option<u64>,
        out: &mut Outbox,
    ) {
        let cancelled = ServerKey::of_cancelled(request);
        let is_its = |slot: &u64| {
            self.book.get(*slot).is_some_and(|call| Some(&call.transaction_key) == cancelled.as_ref())
        };
        let Some(slot) = slot.filter(is_its) else {
            self.counters.unknown.add(1);
            return self.plain(request, flow, 481, out);
        };
        self.plain(request, flow, 200, out);
        if self.is_unanswered(slot) {
            self.counters.cancelled.add(1);
            self.abandon_search(slot);
            self.refuse(now, slot, 487, out);
            let cancel = answered(now, &self.timers);
            self.book.update(now, slot, |call| call.cancel = Some(cancel));
        }
    }
}
