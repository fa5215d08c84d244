//! Where a request from a server to a client goes: to the next Route or the Request-URI, or on the client's own connection
//! (RFC 3261 §16.6, RFC 5626 §5.3, RFC 7118 §5.3).

use heartbeat::notice::What;
use sip::{Host, Reject, Target, Transport, Uri};

use crate::connections::own::{address_of, host_to_ask, transport_of};
use crate::counters::Counter;
use crate::farm::server::ServerId;
use crate::memory::expiring::Remembered;
use crate::signed::flow_token::FlowToken;
use crate::signed::tag::{BehindNat, Direction, PeerConnection};
use crate::way::draft::Draft;
use crate::way::host_names::Named;
use crate::way::plan::{Way, flow_or_nothing};
use crate::way::route_set::Along;
use crate::way::turn::Turn;
use crate::way::view::View;
use crate::why::Kind;

/// Where a request to a client goes.
pub(crate) enum ToClient {
    Way(Way),
    /// To a name that is being looked up.
    Waits(dns::locate::Target),
}

impl View {
    /// From a server to a client: along the flow of the client if it has one, whatever its Contact says; else to the next
    /// Route or the Request-URI, by the listener that the client came by.
    pub(crate) fn way_to_client(
        &self,
        turn: &mut Turn<'_>,
        draft: &Draft<'_, '_>,
    ) -> Result<ToClient, Reject> {
        let (request, set, flow) = (draft.request, &draft.set, turn.flow);
        let next = set.next(request).ok_or(Reject::bad_request("No Route"))?;
        let server = self.server_at_our_back(turn, draft)?;
        let way = |(leaves_by, target), keeps_flow| {
            let direction = Direction::ToClient;
            ToClient::Way(Way { target, leaves_by, server, direction, of_call: true, keeps_flow })
        };
        if let Along::Flow(token) = &set.along
            && *token != FlowToken::of(flow, self.shared.run)
        {
            return Ok(way(self.along(request, token)?, true));
        }
        let nat = set.tag.and_then(|tag| tag.hidden_at(&self.shared.keys, address_of(next)));
        if let Some(BehindNat { listener, address: to, .. }) = nat
            && self.shared.own.get(listener).is_some_and(|own| own.transport == Transport::Udp)
        {
            return Ok(way((listener, Target::Datagram { listener, to }), true));
        }
        let came_by = set.leaves_by.unwrap_or(flow.listener);
        if let Some(peer) = self.connection_to(draft, next) {
            // For a client that was found by its registration, nobody knows whether a NAT hides it.
            let may_listen = set.tag.is_none_or(|tag| tag.peer.is_none() || tag.listens);
            return Ok(way(self.down(peer, next, may_listen, came_by)?, false));
        }
        let (transport, address) = match self.resolve(turn, draft, next)? {
            Named::At(transport, address) => (transport, address),
            Named::Waits(target) => return Ok(ToClient::Waits(target)),
        };
        Ok(way(self.out_to(came_by, transport, address)?, false))
    }

    /// On the connection of a client. If it is gone, another place is tried only if the client says that it is there, by a
    /// Contact with the address that it came from: over a new connection; or over UDP, if the client came over TCP only
    /// because a message was large (RFC 3261 §18.1.1). A client on TLS or WebSocket is reached no other way (RFC 7118 §5.3).
    fn down(
        &self,
        peer: PeerConnection,
        next: &Uri<'_>,
        may_listen: bool,
        came_by: u8,
    ) -> Result<(u8, Target), Reject> {
        let PeerConnection { listener, id } = peer;
        // RFC 5626 §4.3: a client with `ob` wants its flow and nothing else. A GRUU says who is meant, not where
        // (RFC 5627 §1).
        let is_place = may_listen && next.parameter(b"ob").is_none() && next.parameter(b"gr").is_none();
        let came_over = self.shared.own.get(listener).map(|own| own.transport);
        Ok(match (came_over, transport_of(next), address_of(next).filter(|_| is_place)) {
            (Some(Transport::Tcp), Some(Transport::Tcp), Some(to))
            | (Some(Transport::Tls), Some(Transport::Tls), Some(to)) => {
                (listener, Target::Connection { listener, id, to, or_connect: true })
            }
            (Some(Transport::Tcp), Some(Transport::Udp), Some(to)) if !self.shared.flows.is_open(id) => {
                self.out_to(came_by, Transport::Udp, to)?
            }
            _ => (listener, flow_or_nothing(listener, id)),
        })
    }

    /// The server that sends a request to a client.
    fn server_at_our_back(&self, turn: &mut Turn<'_>, draft: &Draft<'_, '_>) -> Result<ServerId, Reject> {
        if let Some(tag) = &draft.set.tag {
            return Ok(self.speaker(tag.server, turn.flow));
        }
        let (request, now) = (draft.request, turn.now);
        let server = self.server_that_sent(request, turn.flow).map(|server| server.id);
        let server = server.ok_or(Reject::forbidden("Not A Server Of This Farm"))?;
        // The server begins the call: untagged requests that come back belong to it.
        let known =
            self.shared.calls.server_or(now, request.call, request.from_tag, || Some((server, false)));
        if matches!(known, Remembered::New { .. }) {
            self.note_choice(now, request, Kind::FromServer, Some(server), None);
            self.tell(request.call, server, What::Begun, turn.out);
        }
        Ok(server)
    }

    /// The address of a client, or of the proxy before it. A name is looked up; but not for a request with an entry of ours that may
    /// have named the flow, if we did not make that entry.
    fn resolve(&self, turn: &mut Turn<'_>, draft: &Draft<'_, '_>, uri: &Uri<'_>) -> Result<Named, Reject> {
        let found = match (address_of(uri), host_to_ask(uri)) {
            (Some(address), _) => {
                let transport = transport_of(uri).ok_or(Reject::server_error("Unknown Transport"))?;
                return Ok(Named::At(transport, address));
            }
            (None, Some(Host::Name(_))) if draft.set.forged => Err(Reject::forbidden("Bad Flow Token")),
            (None, Some(Host::Name(_))) => self.look_up(turn, draft.branch, uri),
            (None, Some(Host::Ip(_))) => Err(Reject::forbidden("Not an Address of One Host")),
            (None, None) => Err(Reject::bad_request("Bad maddr")),
        };
        found.inspect_err(|_| self.count(Counter::Unresolved))
    }
}
