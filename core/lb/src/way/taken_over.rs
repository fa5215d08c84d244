//! What is changed for a server that takes over from a server which is gone (SPEC A9): the Route entries with which the lost
//! server recorded itself, and the responses of clients to its requests.

use std::net::SocketAddr;

use heartbeat::notice::What;
use sip::headers::address;
use sip::text::{write_decimal, write_host};
use sip::{Edits, Message, Name, Target, Uri};

use crate::connections::own::address_of;
use crate::counters::Counter;
use crate::farm::server::ServerId;
use crate::farm::snapshot::Snapshot;
use crate::outbox::Event;
use crate::selection::known::known;
use crate::signed::hop::Hop;
use crate::signed::stamp::Stamp;
use crate::way::request::Request;
use crate::way::route_set::RouteSet;
use crate::way::turn::Turn;
use crate::way::view::View;

/// Leaves in `edits` the changes for a request to this server. If the next Route names a lost server, it is changed to name
/// this one: a proxy takes out an entry of its own and sends the request on, but not with another's entry (RFC 3261 §16.4,
/// §16.6).
pub(crate) fn edit_routes(
    request: &Request<'_>,
    set: &RouteSet<'_>,
    server: ServerId,
    snapshot: &Snapshot,
    edits: &mut Edits,
) {
    let is_lost = |uri: &Uri<'_>| names_lost(uri, set, server, snapshot);
    if !set.next_route().is_some_and(is_lost) {
        return;
    }
    let Some(taker) = snapshot.by_id(server).map(|server| server.address) else { return };
    let message = request.message;
    // A proxy that changes the transport records itself twice, one entry behind the other.
    for field in message.all(Name::Route).map(|header| message.value(header)) {
        for uri in address::values(field).flatten().filter_map(|value| Uri::parse(value.uri).ok()) {
            let place = message.range_of(host_and_port(&uri));
            match set.keeps(place.start) {
                true if is_lost(&uri) => edits.replace(place, |text| write_place(taker, text)),
                true => return,
                false => {}
            }
        }
    }
}

/// The URI names a server of the farm, in the tables or known by the tag, that is gone and is not `server`.
fn names_lost(uri: &Uri<'_>, set: &RouteSet<'_>, server: ServerId, snapshot: &Snapshot) -> bool {
    let Some(named) = address_of(uri).map(ServerId::of) else { return false };
    let removed = || set.tag.is_some_and(|tag| tag.server == named) && snapshot.by_id(named).is_none();
    named != server && (snapshot.is_gone(named) || removed())
}

impl View {
    /// Where a client's response goes whose server has failed: to the server that takes over its calls, with a record.
    /// `None`: its server is there, or there is no other. A server that was taken out of the table may well live, and gets
    /// the answers to its requests. So does a server that asked after it was said to have failed, or has answered since. Within
    /// a state tier it does not get them if its hop says nothing of that: whoever of the tier gets them hands them on.
    pub(crate) fn taker_of_response(
        &self,
        turn: &mut Turn<'_>,
        hop: &Hop,
        message: &Message<'_>,
        method: &[u8],
    ) -> Option<Target> {
        let asked = self.snapshot.by_id(hop.server);
        let gone_since = match asked {
            Some(asked) => asked.gone_since?,
            None => self.snapshot.departed(hop.server)?.gone_since?,
        };
        let gone_since = Stamp::new(gone_since, self.shared.clock_began_us);
        if !hop.to_client || asked.is_some_and(|asked| self.has_answered(asked)) {
            return None;
        }
        let was = asked.map(|asked| asked.address);
        let taker = match self.snapshot.tier_of(hop.server) {
            Some(_) if !hop.is_timed() || !hop.sent.is_after(gone_since) => {
                self.taker_in_tier(hop.server, hop.call, |_| true)?
            }
            None if gone_since.since(hop.sent).is_some() => {
                known(&self.snapshot, self.shared.settings.hash_kind(), hop.call.0)
                    .filter(|taker| taker.id != hop.server)?
            }
            Some(_) | None => return None,
        };
        let way = self.way_to(taker, hop.listener).ok()?;
        self.shared.calls.moved(turn.now, hop.call, taker);
        self.tell(hop.call, taker.id, What::Moved, turn.out);
        self.count(Counter::TakenOver);
        turn.out.events.push(Event::TakenOver {
            call_id: message.first_value(Name::CallId).unwrap_or_default().into(),
            method: method.into(),
            client: turn.flow.remote,
            from: was,
            to: taker.address,
            why: "server failed before the answer came",
        });
        Some(way.target)
    }
}

fn write_place(place: SocketAddr, text: &mut Vec<u8>) {
    write_host(place.ip(), text);
    text.push(b':');
    write_decimal(u64::from(place.port()), text);
}

/// `host[:port]` as written.
fn host_and_port<'m>(uri: &Uri<'m>) -> &'m [u8] {
    let start = match uri.user {
        Some(user) => user.as_ptr() as usize + user.len() - uri.bytes.as_ptr() as usize,
        None => uri.bytes.iter().position(|byte| *byte == b':').unwrap_or_default(),
    };
    let rest = uri.bytes.get(start + 1..).unwrap_or_default();
    let end = rest.iter().position(|byte| matches!(byte, b';' | b'?')).unwrap_or(rest.len());
    &rest[..end]
}
