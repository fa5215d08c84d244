//! A message comes: whose call it is.

use base::Time;
use heartbeat::death::DEATH_ID;
use sip::headers::address;
use sip::{Flow, Message, Method, Name, Reject};
use state::Key;
use turn::Outgoing;

use super::call::Owned;
use super::{Engine, Letter, Outbox};
use crate::hint;
use crate::letter;
use crate::names::{NO_LEG, OwnVia, Tag, key_of_request};
use crate::probe;
use crate::step::{self, Effect};
use crate::text::Routes;

/// Where a message belongs.
enum Place<'m> {
    Call(Key),
    /// A request outside dialogs that makes no call.
    Outside(Routes<'m>),
    /// A request within a dialog that a proxy has no record of.
    Within(Routes<'m>),
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
            let Some((hops, flow, message)) = letter::open(&self.settings.secret, bytes) else {
                return self.counters.malformed.add(1);
            };
            return self.handed(now, message, flow, hops, out);
        }
        if hint::is_meant(bytes) {
            return self.hint(bytes, out);
        }
        if probe::is_meant(bytes) {
            return self.probed(now, bytes, flow, out);
        }
        if bytes.starts_with(&DEATH_ID.to_be_bytes()) {
            return self.noticed(now, bytes, out);
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
        let mut parser = std::mem::take(&mut self.parser);
        match parser.parse(bytes) {
            Ok(message) => self.parsed(now, &message, flow, out),
            Err(sip::Malformed::Empty) => {}
            Err(_) => self.counters.malformed.add(1),
        }
        self.parser = parser;
    }

    fn parsed(&mut self, now: Time, message: &Message<'_>, flow: Flow, out: &mut Outbox) {
        let Some(method) = message.method() else { return self.response(now, message, flow, out) };
        match self.place_of_request(message, method, flow, out) {
            Place::Call(key) => self.of_call(now, key, message, flow, out),
            Place::Outside(routes) => self.outside(message, method, flow, &routes, out),
            Place::Within(routes) => self.within(message, method, flow, &routes, out),
            Place::Nowhere => {}
        }
    }

    /// A response finds its call, or its way, by our Via.
    fn response(&mut self, now: Time, message: &Message<'_>, flow: Flow, out: &mut Outbox) {
        let read = sip::validate::response(message).ok();
        let own = read.as_ref().and_then(|read| OwnVia::read(&read.via));
        let (Some(read), Some(own)) = (read, own) else { return self.counters.unmatched.add(1) };
        let (key, leg) = (own.branch.key, own.branch.leg);
        let back = self.way_back(message, own, &read.via);
        if back.is_none() && leg == NO_LEG {
            return self.counters.unmatched.add(1);
        }
        // The worker that has the call knows the caller's connection.
        let is_here = leg == NO_LEG || self.settings.worker_of(key) == self.settings.worker;
        let is_over = back.filter(|_| is_here).is_some_and(|back| self.pass_back(message, &back, out));
        if !is_over {
            self.of_call(now, key, message, flow, out);
        }
    }

    fn of_call(&mut self, now: Time, key: Key, message: &Message<'_>, flow: Flow, out: &mut Outbox) {
        let worker = self.settings.worker_of(key);
        let bytes = || Box::from(&message.bytes()[..message.end() as usize]);
        if worker != self.settings.worker {
            self.counters.letters.add(1);
            let hops = self.hops;
            return out.letters.push((worker, Letter::Message { bytes: bytes(), flow, hops }));
        }
        let hops = self.hops;
        let owned = || Owned::Message { bytes: bytes(), flow, hops };
        if message.method().is_none() && self.hand_back(message, out) {
            return self.look_whether_written(now, key, message, owned());
        }
        let event = match message.method() {
            Some(method) => step::Event::Request { request: message, flow, method },
            None => step::Event::Response { response: message },
        };
        self.event(now, key, &event, &owned, out);
    }

    fn place_of_request<'m>(
        &mut self,
        request: &Message<'m>,
        method: Method,
        flow: Flow,
        out: &mut Outbox,
    ) -> Place<'m> {
        if let Err(reject) = sip::validate::request(request) {
            self.counters.rejected.add(1);
            if method != Method::Ack {
                self.answer(request, flow, &reject, out);
            }
            return Place::Nowhere;
        }
        // A user agent server reads no Routes.
        let is_for_us = matches!(method, Method::Invite | Method::Ack | Method::Cancel | Method::Bye);
        let read = match is_for_us && !self.is_proxy() {
            true => Some(Routes::default()),
            false => Routes::read(&self.settings, request),
        };
        let Some(routes) = read else {
            self.counters.rejected.add(1);
            if method != Method::Ack {
                self.answer(request, flow, &Reject::bad_request("Bad Route"), out);
            }
            return Place::Nowhere;
        };
        let tag = |name| request.first_value(name).and_then(|value| address::tag(value).ok()).flatten();
        let Some(to_tag) = tag(Name::To) else {
            return match method {
                Method::Invite | Method::Cancel | Method::Ack => {
                    if method == Method::Invite && self.refuses(request, flow, &routes, out) {
                        return Place::Nowhere;
                    }
                    key_of_request(&self.settings.secret, request).map_or(Place::Nowhere, Place::Call)
                }
                _ => Place::Outside(routes),
            };
        };
        if self.is_proxy() {
            return self.place_within(request, method, to_tag, flow, routes, out);
        }
        let call_id = request.first_value(Name::CallId).unwrap_or_default();
        match Tag::read(&self.settings.secret, to_tag, call_id) {
            Some(tag) => Place::Call(tag.key),
            // To a refusal without a record. A call that another copy of the INVITE has made has no caller any longer.
            None if method == Method::Ack && to_tag == self.stray_tag(request) => {
                let key = key_of_request(&self.settings.secret, request);
                let runs_here = |key: &Key| self.calls.wake(*key).is_some_and(|call| call.runs_here());
                key.filter(runs_here).map_or(Place::Nowhere, Place::Call)
            }
            None => {
                self.counters.strangers.add(1);
                if method != Method::Ack {
                    self.answer(request, flow, &Reject::no_such_transaction(), out);
                }
                Place::Nowhere
            }
        }
    }

    /// Where a request within a dialog of a proxy's call goes: on, if our Route proves that it is of one.
    fn place_within<'m>(
        &mut self,
        request: &Message<'m>,
        method: Method,
        to_tag: &[u8],
        flow: Flow,
        routes: Routes<'m>,
        out: &mut Outbox,
    ) -> Place<'m> {
        if routes.proven && !routes.forged {
            return Place::Within(routes);
        }
        let is_ours = method == Method::Ack && to_tag == self.stray_tag(request);
        match method {
            // To a failure, with the Routes of its INVITE (RFC 3261 §17.1.1.3). One that we made without a call needs none.
            Method::Ack | Method::Cancel if !is_ours && !routes.forged => {
                key_of_request(&self.settings.secret, request).map_or(Place::Nowhere, Place::Call)
            }
            Method::Ack => Place::Nowhere,
            _ => {
                self.counters.strangers.add(1);
                self.answer(request, flow, &Reject::no_such_transaction(), out);
                Place::Nowhere
            }
        }
    }

    /// Whether an INVITE that would begin a call is refused for what it asks of us.
    fn refuses(&mut self, request: &Message<'_>, flow: Flow, routes: &Routes<'_>, out: &mut Outbox) -> bool {
        if !self.is_proxy() {
            return self.refuses_extensions(request, flow, out);
        }
        // Who names the next hop himself would have us send anywhere.
        let is_refused = routes.next.is_some() || routes.forged;
        if is_refused {
            self.counters.rejected.add(1);
            self.answer(request, flow, &Reject::forbidden("Route Not Allowed"), out);
        }
        is_refused
    }

    /// An extension that the caller requires, and that we do not have (RFC 3261 §8.2.2.3).
    fn refuses_extensions(&mut self, request: &Message<'_>, flow: Flow, out: &mut Outbox) -> bool {
        let Some(required) = request.first_value(Name::Require) else { return false };
        self.counters.rejected.add(1);
        let reject = Reject::bad_extension();
        let named = String::from_utf8_lossy(required);
        let fields = [("Unsupported", &*named)];
        let response = crate::text::Response { fields: &fields, ..crate::text::Response::own(&reject, b"") };
        post(step::response_effect(request, flow, &response), out);
        true
    }

    /// An answer of our own, without a call.
    pub(super) fn answer(&self, request: &Message<'_>, flow: Flow, reject: &Reject, out: &mut Outbox) {
        post(step::answer_effect(request, flow, reject, &self.stray_tag(request)), out);
    }

    fn stray_tag(&self, request: &Message<'_>) -> Vec<u8> {
        crate::text::stray_tag(&self.settings.secret, request)
    }

    /// The answer to an OPTIONS for ourselves.
    pub(super) fn lives(&self, request: &Message<'_>, flow: Flow, out: &mut Outbox) {
        let fields = [("Allow", crate::text::ALLOW), ("Accept", "application/sdp")];
        let (ok, tag) = (Reject::ok(), self.stray_tag(request));
        let response = crate::text::Response { fields: &fields, ..crate::text::Response::own(&ok, &tag) };
        post(step::response_effect(request, flow, &response), out);
    }
}

/// A message that belongs to no call leaves.
pub(super) fn post(effect: Effect, out: &mut Outbox) {
    if let Effect::Send { bytes, target } = effect {
        out.post(&bytes, target);
    }
}
