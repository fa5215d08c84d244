//! `--take-over` after the death of a proxy: this server passes on the messages of the dead proxy's calls, as a stateless proxy
//! (RFC 3261 §16.11), so that they reach the far end (SPEC A9). It keeps nothing of them.
//!
//! The load manager replaces the dead proxy's address in Route entries with ours. A request with such an entry, or with any
//! other Route entry, is passed on. Its responses come back by our own Via, whose branch proves the Via below it. A response
//! whose topmost Via is the dead proxy's goes back to the load manager that it came from, and nowhere else.

use std::hash::BuildHasher as _;
use std::net::SocketAddr;

use sip::headers::via::{self, Via};
use sip::headers::{address, max_forwards};
use sip::text::{write_decimal, write_hex, write_host};
use sip::{Edits, Flow, Host, Message, Name, SIP_PORT, Target, Transport, Uri};
use turn::Outbox;

use super::{Address, Answerer};

/// First part of the branch in a message that was passed on; the authenticator follows.
const BRANCH: &str = "z9hG4bKpassed";

impl Answerer {
    /// Passes a request on. False: the request is for us, or for the server that died.
    pub(super) fn pass_on(&self, request: &Message<'_>, flow: Flow, out: &mut Outbox) -> bool {
        let (Some(Ok(top)), sip::Start::Request { uri: request_uri, .. }) =
            (via::top(request), request.start())
        else {
            return false;
        };
        let mut edits = Edits::new();
        let mut has_route = false;
        let mut next = None;
        for header in request.all(Name::Route) {
            for value in address::values(request.value(header)).flatten() {
                has_route = true;
                let Ok(uri) = Uri::parse(value.uri) else { return false };
                if next.is_none() && place_of(&uri).is_some_and(|place| self.is_own(place)) {
                    continue;
                }
                if next.is_none() {
                    next = Some(uri);
                    let from = request.range_of(value.bytes).start;
                    if from > header.value_start {
                        edits.delete(header.value_start..from);
                    }
                }
            }
            if next.is_none() {
                edits.delete(header.start..header.end);
            } else {
                break;
            }
        }
        let Ok(target) = Uri::parse(request_uri) else { return false };
        // The contact of a server like this one: the call ended at the dead server itself, and there is no far end behind it.
        if !has_route && target.user == Some(b"answer") {
            return false;
        }
        let next = next.unwrap_or(target);
        let Some(to) = place_of(&next).filter(|to| !self.is_own(*to)) else { return false };
        let transport = match next.parameter(b"transport") {
            Some(name) if name.eq_ignore_ascii_case(b"tcp") => Transport::Tcp,
            Some(name) if !name.eq_ignore_ascii_case(b"udp") => return false,
            _ => Transport::Udp,
        };
        let Some((listener, own)) = self.listener_of(transport, to) else { return false };
        let left = match request.first(Name::MaxForwards) {
            Some(header) => match max_forwards::parse(request.value(header)) {
                Some(0) | None => return false,
                Some(left) => {
                    edits.replace(header.value_start..header.value_end, |text| {
                        write_decimal(u64::from(left) - 1, text);
                    });
                    None
                }
            },
            None => Some(max_forwards::DEFAULT),
        };
        let proof = self.proof(&top);
        edits.insert(request.headers_start(), |text| {
            text.extend_from_slice(b"Via: SIP/2.0/");
            text.extend_from_slice(transport.via_token().as_bytes());
            text.push(b' ');
            write_place(own.address, text);
            text.extend_from_slice(b";branch=");
            text.extend_from_slice(BRANCH.as_bytes());
            write_hex(proof, text);
            text.extend_from_slice(b"\r\n");
            if let Some(left) = left {
                text.extend_from_slice(b"Max-Forwards: ");
                write_decimal(u64::from(left), text);
                text.extend_from_slice(b"\r\n");
            }
        });
        top.mark(request, flow.remote, &mut edits);
        self.send(request, &mut edits, target_of(transport, listener, to), out);
        true
    }

    /// Passes a response on, if it answers a request that we passed on, or one that the dead server had passed on.
    pub(super) fn pass_back(&self, response: &Message<'_>, flow: Flow, out: &mut Outbox) {
        let Some(Ok(top)) = via::top(response) else { return };
        let Some(Ok(below)) = via::below(response, &top) else { return };
        let mut ours = BRANCH.as_bytes().to_vec();
        write_hex(self.proof(&below), &mut ours);
        let transport = match below.transport {
            name if name.eq_ignore_ascii_case(b"TCP") => Transport::Tcp,
            name if name.eq_ignore_ascii_case(b"UDP") => Transport::Udp,
            _ => return,
        };
        let Some(to) = way_back(&below) else { return };
        let is_ours = top.branch == Some(&ours[..]);
        if !is_ours && (to.ip() != flow.remote.ip() || below.parameter(b"hop").is_none()) {
            return;
        }
        let Some((listener, _)) = self.listener_of(transport, to) else { return };
        let Some(cut) = via::pop(response, &top) else { return };
        let mut edits = Edits::new();
        edits.delete(cut);
        self.counters.taken_over.add(1);
        self.send(response, &mut edits, target_of(transport, listener, to), out);
    }

    fn send(&self, message: &Message<'_>, edits: &mut Edits, target: Target, out: &mut Outbox) {
        let mut bytes = Vec::with_capacity(message.bytes().len() + 128);
        edits.write_into(message.bytes(), message.end(), &mut bytes);
        out.post(&bytes, target);
    }

    /// The authenticator of a Via that came with a request. Parameters that the transport added later do not change it.
    fn proof(&self, below: &Via<'_>) -> u64 {
        self.tags.hash_one(("passed on", below.sent_by, below.branch))
    }

    fn is_own(&self, place: SocketAddr) -> bool {
        self.addresses.iter().any(|own| own.address == place)
    }

    fn listener_of(&self, transport: Transport, to: SocketAddr) -> Option<(u8, Address)> {
        let fits = |own: &Address| own.transport == transport && own.address.is_ipv4() == to.is_ipv4();
        let index = self.addresses.iter().position(fits)?;
        Some((index as u8, self.addresses[index]))
    }
}

fn target_of(transport: Transport, listener: u8, to: SocketAddr) -> Target {
    if transport == Transport::Udp {
        Target::Datagram { listener, to }
    } else {
        Target::Stream { listener, to }
    }
}

fn place_of(uri: &Uri<'_>) -> Option<SocketAddr> {
    match uri.host {
        Host::Ip(ip) => Some(SocketAddr::new(ip, uri.port.unwrap_or(SIP_PORT))),
        Host::Name(_) => None,
    }
}

/// Where responses with this Via go (RFC 3261 §18.2.2, RFC 3581 §4).
fn way_back(via: &Via<'_>) -> Option<SocketAddr> {
    let host = match via.host {
        Host::Ip(ip) => Some(ip),
        Host::Name(_) => None,
    };
    let port = via.rport.flatten().or(via.port).unwrap_or(SIP_PORT);
    let to = SocketAddr::new(via.received.or(host)?, port);
    let is_host = !to.ip().is_unspecified() && !to.ip().is_multicast() && port != 0;
    is_host.then_some(to)
}

fn write_place(place: SocketAddr, text: &mut Vec<u8>) {
    write_host(place.ip(), text);
    text.push(b':');
    write_decimal(u64::from(place.port()), text);
}
