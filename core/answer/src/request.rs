//! Dispatches a request by its method and its call.

use std::hash::BuildHasher as _;

use base::Time;
use sip::headers::{address, cseq};
use sip::{Flow, Message, Method, Name, Reject};
use transaction::{NonInviteServer, NonInviteServerEvent, Timers};
use turn::Outbox;

use super::Answerer;
use super::session::Said;
use super::text::{Fields, allow, answer, dialog_fields, remote_target};

/// Most bytes of a kept call's Call-ID and From tag together. Honest ones are far shorter.
const KEY_BYTES_MAX: usize = 1024;

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
                out.post(&bytes, sip::answer::target(request, flow));
            }
            return;
        }
        // The checks above have proved these fields present and well formed.
        let Some(sequence) = request.first_value(Name::CSeq).and_then(cseq::parse) else { return };
        let Some(key) = key(request, Name::From) else { return self.plain(request, flow, 400, out) };
        let slot = self.book.find(&key);
        let of_another = self.behaviour.take_over && slot.is_none() && to_tag(request).is_some();
        if of_another && self.pass_on(request, flow, out) {
            return self.counters.taken_over.add(1);
        }
        match method {
            Method::Ack => self.ack(now, request, (slot, sequence.number)),
            Method::Cancel => self.cancel(now, request, flow, slot, out),
            Method::Invite => self.invite(now, request, flow, (key, slot, sequence.number), out),
            Method::Bye => self.bye(now, request, flow, (slot, sequence.number), out),
            Method::Options => {
                self.counters.options.add(1);
                let fields = vec![allow(), ("Accept", b"application/sdp".to_vec())];
                let bytes = answer(request, flow.remote, (200, self.tag(request)), &fields, "");
                out.post(&bytes, sip::answer::target(request, flow));
            }
            Method::Register => {
                self.counters.registers.add(1);
                let echoed = [("Contact", Name::Contact), ("Expires", Name::Expires)];
                let echo = echoed.into_iter().flat_map(|(written, name)| {
                    request.all(name).map(move |header| (written, request.value(header).to_vec()))
                });
                let bytes = answer(request, flow.remote, (200, self.tag(request)), &echo.collect(), "");
                out.post(&bytes, sip::answer::target(request, flow));
            }
            Method::Update | Method::Info | Method::Message | Method::Notify => {
                self.within(now, request, flow, (method, sequence.number), slot, out);
            }
            Method::Prack | Method::Subscribe | Method::Publish | Method::Refer | Method::Other => {
                self.counters.unsupported.add(1);
                let bytes = answer(request, flow.remote, (405, self.tag(request)), &vec![allow()], "");
                out.post(&bytes, sip::answer::target(request, flow));
            }
        }
    }

    /// A hash of Call-ID and From: a repeated request gets the same tag (RFC 3261 §8.2.6.2).
    pub(super) fn tag(&self, request: &Message<'_>) -> u64 {
        let value = |name| request.first_value(name).unwrap_or_default();
        self.tags.hash_one((value(Name::CallId), value(Name::From)))
    }

    pub(super) fn plain(&self, request: &Message<'_>, flow: Flow, status: u16, out: &mut Outbox) {
        let bytes = answer(request, flow.remote, (status, self.tag(request)), &Vec::new(), "");
        out.post(&bytes, sip::answer::target(request, flow));
    }

    /// A request within a call, or a message on its own.
    fn within(
        &mut self,
        now: Time,
        request: &Message<'_>,
        flow: Flow,
        (method, sequence): (Method, u32),
        slot: Option<u64>,
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
        if let (Some(slot), Method::Update, Some(target)) = (slot, method, remote_target(request)) {
            self.book.update(now, slot, |call| call.remote_target = Some(target));
        }
        let own = self.addresses.get(usize::from(flow.listener)).copied();
        let body = match own {
            Some(own) if method == Method::Update && !request.body().is_empty() => {
                match Said::to(request, own.address.ip(), sequence).text() {
                    Some(body) => body,
                    None => return self.plain(request, flow, 488, out),
                }
            }
            _ => String::new(),
        };
        let fields = match (method, own) {
            (Method::Update, Some(own)) => dialog_fields(request, own),
            _ => Fields::new(),
        };
        let bytes = answer(request, flow.remote, (200, self.tag(request)), &fields, &body);
        out.post(&bytes, sip::answer::target(request, flow));
    }
}

/// Refusals that only a proxy makes: this server is the end of the way, so hops and proxy extensions do not matter.
fn is_for_proxies(reject: &Reject) -> bool {
    *reject == Reject::too_many_hops() || *reject == Reject::bad_extension()
}

/// The answered transaction of a BYE or CANCEL, kept as long as copies may come (RFC 3261 §17.2.2). Over a stream too: the
/// answer may be lost with its connection, and the caller may ask again over another.
pub(super) fn answered(now: Time, timers: &Timers) -> NonInviteServer {
    let mut transaction = NonInviteServer::start(now, false, timers);
    transaction.handle(now, NonInviteServerEvent::Final, timers);
    transaction
}

/// The name of a call: Call-ID and the caller's tag. `None`: the name is too long to be kept.
pub(super) fn key(message: &Message<'_>, caller: Name) -> Option<Box<[u8]>> {
    let call_id = message.first_value(Name::CallId)?;
    let tag = address::parse(message.first_value(caller)?).ok()?.tag().unwrap_or_default();
    (call_id.len() + tag.len() < KEY_BYTES_MAX).then(|| [call_id, b"\0", tag].concat().into())
}

pub(super) fn to_tag<'a>(request: &Message<'a>) -> Option<&'a [u8]> {
    address::parse(request.first_value(Name::To)?).ok()?.tag()
}
