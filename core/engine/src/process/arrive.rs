//! A message comes: whose call it is.

use base::Time;
use sip::headers::{address, cseq, via};
use sip::{Flow, Message, Method, Name, Parser, Reject};
use state::Key;
use turn::Outgoing;

use super::calls::Owned;
use super::{Engine, Letter, Outbox};
use crate::letter;
use crate::names::{OwnVia, Tag, key_of_request};
use crate::step::{self, Effect};

/// Where a message belongs.
enum Place {
    Call(Key),
    /// A request outside dialogs that makes none.
    Outside,
    /// Answered already, or dropped.
    Nowhere,
}

impl Engine {
    pub(super) fn message(&mut self, now: Time, bytes: &[u8], flow: Flow, out: &mut Outbox) {
        if sip::stun::is_meant(bytes) {
            let start = out.bytes.len() as u32;
            if sip::stun::answer(bytes, flow.remote, &mut out.bytes) {
                let to = sip::Target::Datagram { listener: flow.listener, to: flow.remote };
                let bytes = start..out.bytes.len() as u32;
                out.sends.push(Outgoing { bytes, to, fallback: None, call: 0 });
            }
            return;
        }
        if letter::is_meant(bytes) {
            let secret = self.settings.secret.clone();
            let Some((hops, flow, message)) = letter::open(&secret, bytes) else {
                return self.counters.malformed.add(1);
            };
            return self.handed(now, message, flow, hops, out);
        }
        self.sip(now, bytes, flow, out);
    }

    /// A message that was handed over so often.
    pub(super) fn handed(&mut self, now: Time, message: &[u8], flow: Flow, hops: u8, out: &mut Outbox) {
        self.hops = hops;
        self.sip(now, message, flow, out);
        self.hops = 0;
    }

    fn sip(&mut self, now: Time, bytes: &[u8], flow: Flow, out: &mut Outbox) {
        // Steps need the engine while the message lies in the parser.
        let mut parser = std::mem::replace(&mut self.parser, Parser::new());
        match parser.parse(bytes) {
            Ok(message) => self.parsed(now, &message, flow, out),
            Err(sip::Malformed::Empty) => {}
            Err(_) => self.counters.malformed.add(1),
        }
        self.parser = parser;
    }

    fn parsed(&mut self, now: Time, message: &Message<'_>, flow: Flow, out: &mut Outbox) {
        let place = match message.method() {
            Some(method) => self.place_of_request(message, method, flow, out),
            None => self.place_of_response(message),
        };
        let key = match place {
            Place::Call(key) => key,
            Place::Outside => return self.outside(message, flow, out),
            Place::Nowhere => return,
        };
        if message.method().is_none() && self.hand_back(message, out) {
            return;
        }
        let worker = self.settings.worker_of(key);
        let bytes = || Box::from(&message.bytes()[..message.end() as usize]);
        if worker != self.settings.worker {
            self.counters.letters.add(1);
            let hops = self.hops;
            return out.letters.push((worker, Letter::Message { bytes: bytes(), flow, hops }));
        }
        let hops = self.hops;
        let event = match message.method() {
            Some(method) => step::Event::Request { request: message, flow, method },
            None => step::Event::Response { response: message },
        };
        self.event(now, key, &event, &|| Owned::Message { bytes: bytes(), flow, hops }, out);
    }

    fn place_of_request(
        &mut self,
        request: &Message<'_>,
        method: Method,
        flow: Flow,
        out: &mut Outbox,
    ) -> Place {
        if let Err(reject) = sip::validate::request(request) {
            self.counters.rejected.add(1);
            if method != Method::Ack {
                self.answer(request, flow, &reject, out);
            }
            return Place::Nowhere;
        }
        let tag = |name| request.first_value(name).and_then(|value| address::tag(value).ok()).flatten();
        let Some(to_tag) = tag(Name::To) else {
            return match method {
                Method::Invite | Method::Cancel | Method::Ack => {
                    if method == Method::Invite && self.refuses_extensions(request, flow, out) {
                        return Place::Nowhere;
                    }
                    key_of_request(&self.settings.secret, request).map_or(Place::Nowhere, Place::Call)
                }
                _ => Place::Outside,
            };
        };
        let call_id = request.first_value(Name::CallId).unwrap_or_default();
        match Tag::read(&self.settings.secret, to_tag, call_id) {
            Some(tag) => Place::Call(tag.key),
            None => {
                self.counters.strangers.add(1);
                if method != Method::Ack {
                    self.answer(request, flow, &Reject::no_such_transaction(), out);
                }
                Place::Nowhere
            }
        }
    }

    /// An extension that the caller requires, and that we do not have (RFC 3261 §8.2.2.3).
    fn refuses_extensions(&mut self, request: &Message<'_>, flow: Flow, out: &mut Outbox) -> bool {
        let Some(required) = request.first_value(Name::Require) else { return false };
        self.counters.rejected.add(1);
        let reject = Reject::bad_extension();
        let named = String::from_utf8_lossy(required);
        let fields = [("Unsupported", &*named)];
        let response = crate::text::Response { fields: &fields, ..crate::text::Response::own(&reject, b"") };
        let mut bytes = Vec::new();
        crate::text::respond(request, flow.remote, &response, &mut bytes);
        out.post(&bytes, sip::answer::target(request, flow));
        true
    }

    fn place_of_response(&mut self, response: &Message<'_>) -> Place {
        let own = sip::validate::response(response).ok().and_then(|_| {
            let via = via::top(response)?.ok()?;
            cseq::parse(response.first_value(Name::CSeq)?)?;
            OwnVia::read(&via)
        });
        match own {
            Some(own) => Place::Call(own.branch.key),
            None => {
                self.counters.unmatched.add(1);
                Place::Nowhere
            }
        }
    }

    /// An answer of our own, without a call.
    pub(super) fn answer(&self, request: &Message<'_>, flow: Flow, reject: &Reject, out: &mut Outbox) {
        if let Effect::Send { bytes, target } =
            step::answer_effect(request, flow, reject, &self.stray_tag(request))
        {
            out.post(&bytes, target);
        }
    }

    /// A To tag for answers without a record: copies of a request get the same (RFC 3261 §8.2.7).
    fn stray_tag(&self, request: &Message<'_>) -> Vec<u8> {
        let value = |name| request.first_value(name).unwrap_or_default();
        let mut tag = Vec::new();
        sip::text::write_hex(self.settings.secret.mark(value(Name::CallId), value(Name::From)), &mut tag);
        tag
    }

    /// A request outside dialogs: whether we live, and what we understand.
    fn outside(&mut self, request: &Message<'_>, flow: Flow, out: &mut Outbox) {
        match request.method() {
            Some(Method::Options) => {
                let fields = [("Allow", crate::text::ALLOW), ("Accept", "application/sdp")];
                let ok = Reject::ok();
                let tag = self.stray_tag(request);
                let response =
                    crate::text::Response { fields: &fields, ..crate::text::Response::own(&ok, &tag) };
                let mut bytes = Vec::new();
                crate::text::respond(request, flow.remote, &response, &mut bytes);
                out.post(&bytes, sip::answer::target(request, flow));
            }
            _ => {
                if let Effect::Send { bytes, target } = step::not_allowed(request, flow) {
                    out.post(&bytes, target);
                }
            }
        }
    }
}
