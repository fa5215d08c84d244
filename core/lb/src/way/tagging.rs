//! Which tag a request gets on its way, and where one is found beside the Route.

use std::net::{IpAddr, SocketAddr};

use sip::headers::address;
use sip::{Flow, Host, Name, Target, Transport, Uri};

use crate::connections::own::{address_of, transport_of};
use crate::selection::known::known;
use crate::settings::Affinity;
use crate::signed::tag::{BehindNat, Direction, PeerConnection, Tag};
use crate::way::plan::Way;
use crate::way::request::Request;
use crate::way::route_set::{Along, RouteSet};
use crate::way::router::Core;

impl Core {
    pub(crate) fn new_tag(&self, request: &Request<'_>, set: &RouteSet<'_>, way: &Way, flow: Flow) -> Tag {
        let peer = self.peer(request, way, flow);
        let mut tag = Tag::new(&self.shared.keys, way.server, way.direction, request.from_tag, peer);
        tag.behind_nat = self.behind_nat(request, set, way, flow);
        tag.placed = self.is_placed(request, way);
        tag.private = way.direction == Direction::ToClient && peer.is_some();
        tag
    }

    /// The call is at another server than its hash says: that one had no room, or the call began at a server.
    fn is_placed(&self, request: &Request<'_>, way: &Way) -> bool {
        self.shared.settings.affinity == Affinity::Hash
            && (way.direction == Direction::ToClient
                || known(&self.snapshot, self.shared.hash_kind(), request.call.0)
                    .is_none_or(|server| server.id != way.server))
    }

    /// Where a client over UDP is that cannot be reached by its contact: one that names an address in Via and Contact that it
    /// does not send from, and asks by `rport` for answers to where it does; or one that the request of a server finds by
    /// its Path entry alone.
    fn behind_nat(
        &self,
        request: &Request<'_>,
        set: &RouteSet<'_>,
        way: &Way,
        flow: Flow,
    ) -> Option<BehindNat> {
        let keys = &self.shared.keys;
        match (way.direction, way.target, flow.remote) {
            (Direction::ToClient, Target::Datagram { listener, to: SocketAddr::V4(to) }, _)
                if matches!(set.along, Along::Flow(_)) && address_of(request.uri) != Some(to.into()) =>
            {
                Some(BehindNat::new(keys, listener, to, None))
            }
            (Direction::ToServer, _, SocketAddr::V4(from))
                if flow.transport == Transport::Udp
                    && request.via.rport.is_some()
                    && matches!(request.via.host, Host::Ip(IpAddr::V4(named)) if named != *from.ip())
                    && is_first_hop(request) =>
            {
                let contact = address::first(request.message.first_value(Name::Contact)?).ok()?;
                let contact = Uri::parse(contact.uri).ok().filter(|uri| uri.host == request.via.host)?;
                let address = address_of(&contact).filter(|_| transport_of(&contact) == Some(Transport::Udp));
                Some(BehindNat::new(keys, flow.listener, from, Some(address?)))
            }
            _ => None,
        }
    }

    /// The connection that reaches the sender within the dialog: only where the sender is the next hop of requests that
    /// come back, which it is as the client itself or as a proxy that stays in the path.
    fn peer(&self, request: &Request<'_>, way: &Way, flow: Flow) -> Option<PeerConnection> {
        if way.direction == Direction::ToClient {
            // The client was reached by a connection of its own, and will be again.
            return match way.target {
                Target::Connection { listener, id, .. } => Some(PeerConnection { listener, id }),
                Target::Datagram { .. } | Target::Stream { .. } => None,
            };
        }
        let id = flow.connection?;
        (is_first_hop(request) || request.message.first(Name::RecordRoute).is_some())
            .then_some(PeerConnection { listener: flow.listener, id })
    }

    /// Where the Route has no tag, that in the extension header field of a server that echoes it.
    pub(crate) fn add_echoed_tag(&self, request: &Request<'_>, set: &mut RouteSet<'_>) {
        if set.tag.is_none()
            && !set.forged
            && self.shared.settings.tag_header
            && let Some(header) = request.message.first(Name::StrowgerTag)
        {
            let field = request.message.value(header);
            set.tag = Tag::read(&self.shared.keys, field, request.call, request.call_id);
        }
    }
}

/// It comes from the client itself: there is one Via.
fn is_first_hop(request: &Request<'_>) -> bool {
    let message = request.message;
    let mut fields = message.all(Name::Via);
    let first = fields.next();
    fields.next().is_none()
        && first.is_some_and(|first| message.range_of(request.via.bytes).end == first.value_end)
}
