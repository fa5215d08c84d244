//! What passes without a record, as through a stateless proxy (RFC 3261 §16.11): requests within the dialogs of a proxy's calls,
//! requests outside dialogs, and their answers. Our Via and our Route say all that is needed; so it passes at any engine.

use std::net::SocketAddr;

use sip::headers::via::{self, Via};
use sip::{Flow, Host, Message, Method, Reject, SIP_PORT, Start, Target, Transport};

use super::answered::is_answer;
use super::arrive::post;
use super::call::Known;
use super::{Engine, Outbox};
use crate::names::{NO_LEG, OwnVia, WayBack, key_of_request};
use crate::record::Mode;
use crate::settings::Hop;
use crate::text::{self, Forward, Routes};

/// Where our Via in a response is found, and what stands below it.
pub(super) struct Back<'m> {
    own: OwnVia,
    below: Via<'m>,
}

impl Engine {
    /// A request outside dialogs that makes no call: whether we live is for us, and the rest is for the first target.
    pub(super) fn outside(
        &mut self,
        request: &Message<'_>,
        method: Method,
        flow: Flow,
        routes: &Routes<'_>,
        out: &mut Outbox,
    ) {
        let Start::Request { uri, .. } = request.start() else { return };
        if method == Method::Options && !text::has_user(uri) {
            return self.lives(request, flow, out);
        }
        let makes_dialogs = matches!(
            method,
            Method::Subscribe | Method::Refer | Method::Register | Method::Publish | Method::Prack
        ) || matches!(method, Method::Bye | Method::Update);
        if self.settings.mode == Mode::B2bua && makes_dialogs {
            return post(crate::step::not_allowed(request, flow), out);
        }
        // Who names the next hop himself would have us send anywhere.
        if routes.next.is_some() {
            self.counters.rejected.add(1);
            return self.answer(request, flow, &Reject::forbidden("Route Not Allowed"), out);
        }
        let Some(target) = self.settings.to.first() else { return };
        let target = text::request_uri(target, routes.uri.unwrap_or(uri));
        let begins = matches!(method, Method::Subscribe | Method::Refer | Method::Notify | Method::Other);
        let entry = key_of_request(&self.settings.secret, request);
        let own = self.settings.route.as_slice();
        let hop = self.settings.hop(own, &target);
        let goes = Goes { hop, uri: Some(&target), own, entry: entry.filter(|_| begins && self.is_proxy()) };
        self.send_on(request, flow, routes, &goes, out);
    }

    /// A request within a dialog that began through this farm.
    pub(super) fn within(
        &mut self,
        request: &Message<'_>,
        method: Method,
        flow: Flow,
        routes: &Routes<'_>,
        out: &mut Outbox,
    ) {
        let Start::Request { uri, .. } = request.start() else { return };
        let hop = self.settings.hop_to(routes.next.or(routes.uri).unwrap_or(uri));
        // The dialog of a subscription begins with a NOTIFY, which may overtake the answer (RFC 6665 §4.3).
        let key = key_of_request(&self.settings.secret, request);
        let entry = key.filter(|_| method == Method::Notify);
        self.send_on(request, flow, routes, &Goes { hop, uri: None, own: &[], entry }, out);
    }

    fn send_on(
        &self,
        request: &Message<'_>,
        flow: Flow,
        routes: &Routes<'_>,
        goes: &Goes<'_>,
        out: &mut Outbox,
    ) {
        let settings = &self.settings;
        let is_ack = request.method() == Some(Method::Ack);
        let Some(hop) = goes.hop else {
            let reject = Reject::server_error("Destination Has No Address");
            if !is_ack {
                self.answer(request, flow, &reject, out);
            }
            return;
        };
        let breadth = text::breadth(request);
        if breadth == 0 && !is_ack {
            return self.answer(request, flow, &Reject::with_status(440), out);
        }
        let written = text::branch_without_record(settings, request, &flow).and_then(|branch| {
            let Goes { uri, own, entry, .. } = *goes;
            let forward = Forward {
                settings,
                request,
                flow,
                branch,
                hop,
                uri,
                own: routes,
                routes: own,
                entry,
                breadth,
            };
            forward.write()
        });
        if let Some(written) = written {
            self.counters.passed.add(1);
            out.post(&written.bytes, written.target);
        }
    }

    /// Whether an engine of this farm put our Via above the Via below it; only then a response passes.
    pub(super) fn way_back<'m>(
        &self,
        response: &Message<'m>,
        own: OwnVia,
        top: &Via<'m>,
    ) -> Option<Back<'m>> {
        let below = via::below(response, top)?.ok()?;
        text::is_of_proxy(&self.settings, response, own.branch, &below).then_some(Back { own, below })
    }

    /// Passes on a response to a request without a record, and a 2xx to an INVITE: that waits for nothing, since a proxy
    /// passes each one, whatever it knows of the call (RFC 3261 §16.7, step 5). True: there is nothing else to do.
    pub(super) fn pass_back(&mut self, response: &Message<'_>, back: &Back<'_>, out: &mut Outbox) -> bool {
        let has_record = back.own.branch.leg != NO_LEG;
        if has_record && !is_answer(response) {
            return false;
        }
        if has_record {
            self.calls.wake(back.own.branch.key);
        }
        // Who has handed it to us has passed it already.
        if self.hops == 0
            && let Some(target) = self.target_below(back)
            && let Some(bytes) = text::without_own_via(response)
        {
            out.post(&bytes, target);
        }
        if has_record {
            self.calls.pack(back.own.branch.key);
        }
        !has_record
    }

    /// Where a response goes (RFC 3261 §18.2.2): by the connection that the request came on, if it is ours; else by the Via.
    fn target_below(&self, back: &Back<'_>) -> Option<Target> {
        let Back { own, below } = back;
        let mut way = WayBack::read(own.branch.key);
        if own.branch.leg != NO_LEG {
            if let Some(Known::Up(record)) = self.calls.get(own.branch.key).map(|call| &call.known)
                && record.header.owner == self.settings.engine
                && let Some(flow) = record.legs.first().and_then(|caller| caller.flow)
            {
                way = WayBack::of(&flow);
            } else {
                way = WayBack { listener: self.listener_of(below)?, connection: None };
            }
        } else if own.engine != Some(self.settings.engine) {
            way.connection = None;
        }
        let ip = match (below.received, below.host) {
            (Some(ip), _) | (None, Host::Ip(ip)) => ip,
            (None, Host::Name(name)) => *self.settings.hosts.get(&name.to_ascii_lowercase()[..])?,
        };
        let port = below.rport.flatten().or(below.port.filter(|port| *port != 0)).unwrap_or(SIP_PORT);
        let to = SocketAddr::new(ip, port);
        let transport = self.settings.address(way.listener)?.transport;
        Some(match way {
            WayBack { listener, connection: Some(id) } => {
                Target::Connection { listener, id, to, or_connect: transport == Transport::Tcp }
            }
            WayBack { listener, connection: None } => Hop { to, transport, listener }.target(),
        })
    }

    /// A listener that speaks what a Via says.
    fn listener_of(&self, via: &Via<'_>) -> Option<u8> {
        let speaks =
            |own: &crate::Address| own.transport.via_token().as_bytes().eq_ignore_ascii_case(via.transport);
        self.settings.listeners.iter().position(speaks).map(|listener| listener as u8)
    }

    pub(super) fn is_proxy(&self) -> bool {
        self.settings.mode == Mode::Proxy
    }
}

/// Where a request goes, and with what.
struct Goes<'g> {
    hop: Option<Hop>,
    uri: Option<&'g [u8]>,
    own: &'g [Box<[u8]>],
    entry: Option<state::Key>,
}
