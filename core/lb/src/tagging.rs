//! Which tag a request gets on its way, and where one is found beside the Route.

use sip::{Flow, Name, Target};

use crate::affinity::hash::known;
use crate::affinity::tag::{Direction, PeerConnection, Tag};
use crate::request::Request;
use crate::route::Way;
use crate::route_set::RouteSet;
use crate::router::Core;
use crate::settings::Affinity;

impl Core {
    pub(crate) fn new_tag(&self, request: &Request<'_>, way: &Way, flow: Flow) -> Tag {
        let peer = self.peer(request, way, flow);
        let mut tag = Tag::new(&self.shared.keys, way.server, way.direction, request.from_tag, peer);
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
        let message = request.message;
        let alone = {
            let mut fields = message.all(Name::Via);
            let first = fields.next()?;
            fields.next().is_none() && message.range_of(request.via.bytes).end == first.value_end
        };
        (alone || message.first(Name::RecordRoute).is_some())
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
