//! Which tag a request gets on its way.

use sip::headers::address;
use sip::{Flow, Host, Name, Target, Transport, Uri};

use crate::connections::own::address_of;
use crate::selection::known::known;
use crate::settings::Affinity;
use crate::signed::tag::{BehindNat, Contact, Direction, PeerConnection, Tag};
use crate::way::draft::Draft;
use crate::way::plan::Way;
use crate::way::request::Request;
use crate::way::route_set::Along;
use crate::way::view::View;

impl View {
    /// The tag for our Record-Route entry. Within a dialog, where a NOTIFY gets an entry, it is the tag that the request came
    /// with: both sides then have the same tag, of the same server and the same connection.
    pub(crate) fn tag_for(&self, draft: &Draft<'_, '_>, way: &Way, flow: Flow) -> Tag {
        match draft.set.tag.filter(|_| !draft.request.first) {
            // The client gets its own copy, and the server gets the other copy.
            Some(tag) => tag.copy_for(way.direction == Direction::ToClient && tag.peer.is_some()),
            None => self.new_tag(draft, way, flow),
        }
    }

    fn new_tag(&self, draft: &Draft<'_, '_>, way: &Way, flow: Flow) -> Tag {
        let request = draft.request;
        let peer = self.peer(request, way, flow);
        let mut tag = Tag::new(&self.shared.keys, way.server, way.direction, request.from_tag, peer);
        tag.behind_nat = self.behind_nat(draft, way, flow);
        tag.placed = self.is_placed(request, way);
        tag.private = way.direction == Direction::ToClient && peer.is_some();
        tag.listens = peer.is_some() && listens(request, way, flow);
        tag
    }

    /// The call is not at the server that its hash names: that server had no room, or the call began at a server.
    fn is_placed(&self, request: &Request<'_>, way: &Way) -> bool {
        self.shared.settings.affinity == Affinity::Hash
            && (way.direction == Direction::ToClient
                || known(&self.snapshot, self.shared.settings.hash_kind(), request.call.0)
                    .is_none_or(|server| server.id != way.server))
    }

    /// The place of a client over UDP that cannot be reached by its contact: its Via and Contact name an address that it does
    /// not send from, and it asks by `rport` for answers to its source; or its Contact is a name, which perhaps nobody else
    /// knows; or a server's request finds it by its Path entry.
    fn behind_nat(&self, draft: &Draft<'_, '_>, way: &Way, flow: Flow) -> Option<BehindNat> {
        let (request, set) = (draft.request, &draft.set);
        let keys = &self.shared.keys;
        match (way.direction, way.target) {
            (Direction::ToClient, Target::Datagram { listener, to })
                if matches!(set.along, Along::Flow(_)) =>
            {
                // If its contact is that place itself, the client may move.
                let contact = address_of(set.uri(request)).filter(|address| *address == to);
                let contact = contact.map_or(Contact::Any, |address| Contact::Is(Some(address)));
                Some(BehindNat::new(keys, listener, to, contact))
            }
            (Direction::ToServer, _) if flow.transport == Transport::Udp && is_first_hop(request) => {
                let contact = contact(request)?;
                let address = match contact.host {
                    Host::Name(_) => self.way_back(Some(request.via), flow),
                    Host::Ip(_) => {
                        let asks = request.via.rport.is_some() && request.via.host == contact.host;
                        let elsewhere = matches!(contact.host, Host::Ip(named) if named != flow.remote.ip());
                        Some(flow.remote).filter(|_| asks && elsewhere)?
                    }
                };
                Some(BehindNat::new(keys, flow.listener, address, Contact::Is(address_of(&contact))))
            }
            _ => None,
        }
    }

    /// The connection that reaches the sender within the dialog. There is one only if the sender is the next hop of requests
    /// that come back: the client itself, or a proxy that stays in the path.
    fn peer(&self, request: &Request<'_>, way: &Way, flow: Flow) -> Option<PeerConnection> {
        if way.direction == Direction::ToClient {
            // The client was reached by its own connection, and will be again.
            return match way.target {
                Target::Connection { listener, id, .. } => Some(PeerConnection { listener, id }),
                Target::Datagram { .. } | Target::Stream { .. } => None,
            };
        }
        let id = flow.connection?;
        let stays = |proxy: Uri<'_>| match proxy.host {
            // For a name, nobody can tell.
            Host::Name(_) => true,
            Host::Ip(ip) => ip == flow.remote.ip().to_canonical() || proxy.host == request.via.host,
        };
        (is_first_hop(request) || first_uri(request, Name::RecordRoute).is_some_and(stays))
            .then_some(PeerConnection { listener: flow.listener, id })
    }
}

/// Whether requests that come back go to an address at which the client, or the proxy before it, has shown to be.
fn listens(request: &Request<'_>, way: &Way, flow: Flow) -> bool {
    if way.direction == Direction::ToClient {
        return matches!(way.target, Target::Connection { or_connect: true, .. });
    }
    let next = first_uri(request, Name::RecordRoute).or_else(|| contact(request));
    next.and_then(|uri| address_of(&uri))
        .is_some_and(|address| address.ip() == flow.remote.ip().to_canonical())
}

pub(super) fn contact<'m>(request: &Request<'m>) -> Option<Uri<'m>> {
    first_uri(request, Name::Contact)
}

/// The URI of the first value of the fields with this name.
fn first_uri<'m>(request: &Request<'m>, name: Name) -> Option<Uri<'m>> {
    let first = address::first(request.message.first_value(name)?).ok()?;
    Uri::parse(first.uri).ok()
}

/// The request comes from the client itself: there is one Via.
pub(super) fn is_first_hop(request: &Request<'_>) -> bool {
    let message = request.message;
    let mut fields = message.all(Name::Via);
    let first = fields.next();
    fields.next().is_none()
        && first.is_some_and(|first| message.range_of(request.via.bytes).end == first.value_end)
}
