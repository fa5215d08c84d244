//! What the server does with a request, and with an answer to its BYE.

use std::hash::BuildHasher as _;

use base::{Duration, Time};
use sip::headers::{address, cseq};
use sip::{Flow, Message, Method, Name, Reject};
use transaction::{
    InviteServer, InviteServerEvent, NonInviteClientEvent, NonInviteServer, NonInviteServerEvent, Output,
};
use turn::Outbox;

use super::Answerer;
use super::call::{Call, Phase};
use super::text::{Fields, allow, answer, answer_target, dialog_fields, required, session};

/// Call-ID and From tag of a call that is kept, bytes together. Far more than any honest one has.
const KEY_BYTES_MAX: usize = 1024;

/// A call that nobody ends is hung up after this long, so that it does not hold its room for ever.
const CALL_LIFE: Duration = Duration::from_secs(4 * 3600);

/// From here on a caller needs a 100 to stop repeating (RFC 3261 §17.2.1).
const TRYING_AFTER: Duration = Duration::from_millis(200);

impl Answerer {
    pub(super) fn request(&mut self, now: Time, request: &Message<'_>, flow: Flow, out: &mut Outbox) {
        let method = request.method().unwrap_or(Method::Other);
        if let Err(reject) = sip::validate::request(request)
            && !is_for_proxies(&reject)
        {
            self.counters.rejected.add(1);
            if method != Method::Ack {
                let mut bytes = Vec::new();
                sip::answer::write(request, &reject, flow.remote, 0, &mut bytes);
                out.post(&bytes, answer_target(request, flow));
            }
            return;
        }
        // The checks above found these fields and their grammar good.
        let Some(sequence) = request.first_value(Name::CSeq).and_then(cseq::parse) else { return };
        let Some(key) = key(request, Name::From) else { return self.plain(request, flow, 400, out) };
        let slot = self.book.find(&key);
        let of_another = self.behaviour.take_over && slot.is_none() && to_tag(request).is_some();
        if of_another && self.pass_on(request, flow, out) {
            return self.counters.taken_over.add(1);
        }
        match method {
            Method::Ack => self.ack(now, slot),
            Method::Cancel => self.cancel(now, request, flow, slot, out),
            Method::Invite => self.invite(now, request, flow, (key, slot, sequence.number), out),
            Method::Bye => self.bye(now, request, flow, (slot, sequence.number), out),
            Method::Options => {
                self.counters.options.add(1);
                let fields = vec![allow(), ("Accept", b"application/sdp".to_vec())];
                let bytes = answer(request, flow.remote, (200, self.tag(request)), &fields, "");
                out.post(&bytes, answer_target(request, flow));
            }
            Method::Register => {
                self.counters.registers.add(1);
                let echoed = [("Contact", Name::Contact), ("Expires", Name::Expires)];
                let echo = echoed.into_iter().flat_map(|(written, name)| {
                    request.all(name).map(move |header| (written, request.value(header).to_vec()))
                });
                let bytes = answer(request, flow.remote, (200, self.tag(request)), &echo.collect(), "");
                out.post(&bytes, answer_target(request, flow));
            }
            Method::Update | Method::Info | Method::Message | Method::Notify => {
                self.within(request, flow, method, slot, out);
            }
            Method::Prack | Method::Subscribe | Method::Publish | Method::Refer | Method::Other => {
                self.counters.unsupported.add(1);
                let bytes = answer(request, flow.remote, (405, self.tag(request)), &vec![allow()], "");
                out.post(&bytes, answer_target(request, flow));
            }
        }
    }

    /// A hash of what names the call: a repeated request gets the same tag (RFC 3261 §8.2.6.2).
    pub(super) fn tag(&self, request: &Message<'_>) -> u64 {
        let value = |name| request.first_value(name).unwrap_or_default();
        self.tags.hash_one((value(Name::CallId), value(Name::From)))
    }

    fn plain(&self, request: &Message<'_>, flow: Flow, status: u16, out: &mut Outbox) {
        let bytes = answer(request, flow.remote, (status, self.tag(request)), &Vec::new(), "");
        out.post(&bytes, answer_target(request, flow));
    }

    fn invite(
        &mut self,
        now: Time,
        request: &Message<'_>,
        flow: Flow,
        (key, slot, sequence): (Box<[u8]>, Option<u32>, u32),
        out: &mut Outbox,
    ) {
        let has_tag = to_tag(request).is_some();
        if let Some(call) = slot.and_then(|slot| self.book.get(slot)) {
            if sequence <= call.sequence {
                // A copy of what we know, or one that was overtaken: the last answer, as long as there is one.
                if sequence == call.sequence
                    && !call.last.is_empty()
                    && !matches!(call.phase, Phase::HangingUp { .. })
                {
                    self.counters.repeated.add(1);
                    out.post(&call.last, answer_target(request, flow));
                }
                return;
            }
            if to_tag(request) != Some(&call.own_tag[..]) {
                self.counters.unknown.add(1);
                return self.plain(request, flow, 481, out);
            }
            return self.again(now, request, flow, (slot, sequence), out);
        }
        if has_tag && !self.behaviour.take_over {
            self.counters.unknown.add(1);
            return self.plain(request, flow, 481, out);
        }
        if let Some(options) = required(request) {
            self.counters.unsupported.add(1);
            let field = vec![("Unsupported", options)];
            let bytes = answer(request, flow.remote, (420, self.tag(request)), &field, "");
            return out.post(&bytes, answer_target(request, flow));
        }
        self.counters.invites.add(1);
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
        let target = answer_target(request, flow);
        let own_tag = match to_tag(request) {
            Some(tag) => tag.into(),
            None => format!("{:016x}", self.tag(request)).into_bytes().into(),
        };
        let slot = self.book.insert(Call {
            key,
            phase: match search {
                Some(search) => Phase::Sought { search, acknowledged: false },
                None => Phase::Ringing { rung: false, next: now + self.behaviour.ring_after },
            },
            transaction: InviteServer::start(flow.transport.is_reliable()),
            sequence,
            invite: request.bytes().into(),
            remote: flow.remote,
            target,
            last: Box::default(),
            own_tag,
            own_sequence: 0,
            stamp: 0,
            scheduled: None,
        });
        if search.is_some() {
            // Until another server is found, the caller is to wait and not to repeat.
            self.say(slot, request, 100, out);
            self.run_decisions(now, out);
        } else if full {
            self.refuse(now, slot, self.behaviour.full_status, out);
        } else if failing {
            self.refuse(now, slot, self.behaviour.failure_status, out);
        } else {
            if self.behaviour.ring_after >= TRYING_AFTER {
                self.say(slot, request, 100, out);
            }
            self.advance(now, slot, out);
        }
    }

    /// A re-INVITE: answered at once (RFC 3261 §14.2).
    fn again(
        &mut self,
        now: Time,
        request: &Message<'_>,
        flow: Flow,
        (slot, sequence): (Option<u32>, u32),
        out: &mut Outbox,
    ) {
        let Some(slot) = slot else { return };
        match self.book.get(slot).map(|call| &call.phase) {
            Some(Phase::Answered { .. } | Phase::Confirmed { .. }) => {
                self.counters.changed.add(1);
                let target = answer_target(request, flow);
                self.book.update(slot, |call| {
                    call.sequence = sequence;
                    call.target = target;
                });
                self.say(slot, request, 200, out);
                self.wait_for_ack(now, slot);
            }
            Some(Phase::Ringing { .. } | Phase::Sought { .. }) => self.plain(request, flow, 500, out),
            _ => {
                self.counters.unknown.add(1);
                self.plain(request, flow, 481, out);
            }
        }
    }

    fn ack(&mut self, now: Time, slot: Option<u32>) {
        let Some(slot) = slot else { return };
        let (timers, counters, behaviour) = (&self.timers, &self.counters, &self.behaviour);
        self.book.update(slot, |call| match call.phase {
            Phase::Answered { .. } => {
                counters.confirmed.add(1);
                call.phase = Phase::Confirmed { next: now + behaviour.hang_up_after.unwrap_or(CALL_LIFE) };
                call.last = Box::default();
            }
            Phase::Refused => {
                call.transaction.handle(now, InviteServerEvent::Ack, timers);
            }
            Phase::Sought { ref mut acknowledged, .. } => *acknowledged = true,
            Phase::Ringing { .. }
            | Phase::Confirmed { .. }
            | Phase::HangingUp { .. }
            | Phase::Ended { .. } => {}
        });
        self.forget_if_done(now, slot);
    }

    /// Whether the INVITE has had no final answer from here yet.
    fn is_unanswered(&self, slot: u32) -> bool {
        let phase = self.book.get(slot).map(|call| &call.phase);
        matches!(phase, Some(Phase::Ringing { .. } | Phase::Sought { .. }))
    }

    fn cancel(&mut self, now: Time, request: &Message<'_>, flow: Flow, slot: Option<u32>, out: &mut Outbox) {
        let Some(slot) = slot else {
            self.counters.unknown.add(1);
            return self.plain(request, flow, 481, out);
        };
        self.plain(request, flow, 200, out);
        if self.is_unanswered(slot) {
            self.counters.cancelled.add(1);
            self.abandon_search(slot);
            self.refuse(now, slot, 487, out);
        }
    }

    fn bye(
        &mut self,
        now: Time,
        request: &Message<'_>,
        flow: Flow,
        (slot, sequence): (Option<u32>, u32),
        out: &mut Outbox,
    ) {
        let known = slot.filter(|slot| {
            self.book.get(*slot).is_some_and(|call| to_tag(request) == Some(&call.own_tag[..]))
        });
        let Some(slot) = known else {
            if self.behaviour.take_over && to_tag(request).is_some() {
                self.counters.taken_over.add(1);
                return self.plain(request, flow, 200, out);
            }
            self.counters.unknown.add(1);
            return self.plain(request, flow, 481, out);
        };
        self.plain(request, flow, 200, out);
        if self.is_unanswered(slot) {
            self.abandon_search(slot);
            // RFC 3261 §15.1.2: an INVITE that is still open ends with 487.
            self.counters.ended.add(1);
            return self.refuse(now, slot, 487, out);
        }
        let (timers, counters, reliable) = (&self.timers, &self.counters, flow.transport.is_reliable());
        self.book.update(slot, |call| {
            let repeated = match &mut call.phase {
                Phase::Ended { bye: Some(bye) } => {
                    bye.handle(now, NonInviteServerEvent::Request, timers);
                    true
                }
                Phase::Ended { bye: None } | Phase::Refused => true,
                _ => call.has_hung_up(),
            };
            if repeated {
                return counters.repeated.add(1);
            }
            counters.ended.add(1);
            call.sequence = sequence;
            let mut bye = NonInviteServer::start(now, reliable, timers);
            bye.handle(now, NonInviteServerEvent::Final, timers);
            call.end(Some(bye));
        });
        self.forget_if_done(now, slot);
    }

    /// A request within a call, or a message on its own.
    fn within(
        &mut self,
        request: &Message<'_>,
        flow: Flow,
        method: Method,
        slot: Option<u32>,
        out: &mut Outbox,
    ) {
        match (to_tag(request), slot) {
            (Some(_), None) if !self.behaviour.take_over => {
                self.counters.unknown.add(1);
                return self.plain(request, flow, 481, out);
            }
            (Some(_), None) => self.counters.taken_over.add(1),
            (Some(_), Some(_)) | (None, _) if method == Method::Update => self.counters.changed.add(1),
            (Some(_), Some(_)) | (None, _) => self.counters.others.add(1),
        }
        let own = self.addresses.get(usize::from(flow.listener)).copied();
        let body = match own {
            Some(own) if method == Method::Update && !request.body().is_empty() => session(own.address),
            _ => String::new(),
        };
        let fields = match (method, own) {
            (Method::Update, Some(own)) => dialog_fields(request, own),
            _ => Fields::new(),
        };
        let bytes = answer(request, flow.remote, (200, self.tag(request)), &fields, &body);
        out.post(&bytes, answer_target(request, flow));
    }

    /// An answer to our BYE; any other is passed on where that is wanted.
    pub(super) fn response(
        &mut self,
        now: Time,
        response: &Message<'_>,
        status: u16,
        flow: Flow,
        out: &mut Outbox,
    ) {
        if sip::validate::response(response).is_err() {
            return self.counters.rejected.add(1);
        }
        let Some(slot) = key(response, Name::To).and_then(|key| self.book.find(&key)) else {
            if self.behaviour.take_over {
                self.pass_back(response, flow, out);
            }
            return;
        };
        let event =
            if status < 200 { NonInviteClientEvent::Provisional } else { NonInviteClientEvent::Final };
        let timers = &self.timers;
        self.book.update(slot, |call| {
            if let Phase::HangingUp { bye } = &mut call.phase
                && bye.handle(now, event, timers) == Output::Pass
                && status >= 200
            {
                call.release();
            }
        });
        self.forget_if_done(now, slot);
    }
}

/// Refusals that only an element in the middle makes: we are the end, and hops and proxies are of no concern.
fn is_for_proxies(reject: &Reject) -> bool {
    *reject == Reject::too_many_hops() || *reject == Reject::bad_extension()
}

/// What names a call: Call-ID and the tag of the caller. `None` when it is too long to be kept.
fn key(message: &Message<'_>, caller: Name) -> Option<Box<[u8]>> {
    let call_id = message.first_value(Name::CallId)?;
    let tag = address::parse(message.first_value(caller)?).ok()?.tag().unwrap_or_default();
    (call_id.len() + tag.len() < KEY_BYTES_MAX).then(|| [call_id, b"\0", tag].concat().into())
}

fn to_tag<'a>(request: &Message<'a>) -> Option<&'a [u8]> {
    address::parse(request.first_value(Name::To)?).ok()?.tag()
}
