//! The way of a request from a server to a client: to the next Route or the Request-URI, or on the connection that the
//! client has (RFC 3261 §16.6, RFC 5626 §5.3, RFC 7118 §5.3).

use std::net::SocketAddr;

use base::Time;
use heartbeat::notice::What;
use sip::{ConnectionId, Flow, Reject, Target, Transport, Uri};

use crate::connections::own::{address_of, transport_of};
use crate::counters::Counter;
use crate::farm::server::ServerId;
use crate::memory::expiring::Remembered;
use crate::outbox::Outbox;
use crate::signed::tag::{BehindNat, Direction, PeerConnection};
use crate::way::plan::Way;
use crate::way::request::Request;
use crate::way::route_set::RouteSet;
use crate::way::router::Core;
use crate::why::Kind;

impl Core {
    /// From a server to a client: to the next Route or the Request-URI, by the listener that the client came by; on the
    /// client's own connection where it has one.
    pub(crate) fn way_to_client(
        &mut self,
        now: Time,
        request: &Request<'_>,
        set: &RouteSet<'_>,
        flow: Flow,
        out: &mut Outbox,
    ) -> Result<Way, Reject> {
        let next = set.next(request).ok_or(Reject::bad_request("No Route"))?;
        let transport = transport_of(next).ok_or(Reject::server_error("Unknown Transport"))?;
        let server = self.server_at_our_back(now, request, set, flow, out)?;
        if transport == Transport::Udp
            && let Some(nat) = set.tag.and_then(|tag| tag.hidden_at(&self.shared.keys, address_of(next)))
            && self.shared.own.get(nat.listener).is_some_and(|own| own.transport == Transport::Udp)
        {
            let BehindNat { listener, address, .. } = nat;
            let target = Target::Datagram { listener, to: address.into() };
            return Ok(Way {
                target,
                leaves_by: listener,
                server,
                direction: Direction::ToClient,
                of_call: true,
            });
        }
        let came_by = set.leaves_by.unwrap_or(flow.listener);
        let peer = self.connection_to(request, set.tag.as_ref(), next, transport.is_reliable());
        // What came over TLS or WebSocket goes back there whatever the client calls itself: it is the safe way, and for
        // WebSocket the only one (RFC 7118 §5.3). A GRUU says who is meant and not where it is (RFC 5627 §1).
        let only_there = peer.filter(|peer| {
            let own = self.shared.own.get(peer.listener);
            own.is_some_and(|own| own.transport > Transport::Tcp) || next.parameter(b"gr").is_some()
        });
        let peer = peer.filter(|_| transport.is_reliable());
        // RFC 5626 §4.3: who says `ob` wants its flow and nothing else.
        let keeps_flow = next.parameter(b"ob").is_some();
        let (leaves_by, target) = match (only_there.or(peer), address_of(next).filter(|_| !keeps_flow)) {
            (Some(PeerConnection { listener, id }), Some(to))
                if only_there.is_some() && transport == Transport::Tls =>
            {
                (listener, Target::Connection { listener, id, to, or_connect: true })
            }
            // A name that only the client knows, as behind a NAT: its connection is the one way to it.
            (Some(PeerConnection { listener, id }), to) if to.is_none() || only_there.is_some() => {
                (listener, flow_or_nothing(listener, id))
            }
            (peer, _) => {
                let address = self.resolve(next, set.forged)?;
                let (leaves_by, target) = self.out_to(came_by, transport, address)?;
                match peer.filter(|peer| peer.listener == leaves_by) {
                    Some(PeerConnection { listener, id }) => {
                        (leaves_by, Target::Connection { listener, id, to: address, or_connect: true })
                    }
                    None => (leaves_by, target),
                }
            }
        };
        Ok(Way { target, leaves_by, server, direction: Direction::ToClient, of_call: true })
    }

    /// The server that sends to a client.
    pub(crate) fn server_at_our_back(
        &mut self,
        now: Time,
        request: &Request<'_>,
        set: &RouteSet<'_>,
        flow: Flow,
        out: &mut Outbox,
    ) -> Result<ServerId, Reject> {
        if let Some(tag) = &set.tag {
            return Ok(tag.server);
        }
        let server = self.server_that_sent(request, flow).map(|server| server.id);
        let server = server.ok_or(Reject::forbidden("Not A Server Of This Farm"))?;
        // A call that a server begins: what comes back untagged belongs to it.
        let known = self.shared.calls.server_or(now, request.call, request.from_tag, || Some(server));
        if matches!(known, Remembered::New { .. }) {
            self.note_choice(now, request, Kind::FromServer, Some(server), None);
            self.tell(request.call, server, What::Begun, out);
        }
        Ok(server)
    }

    /// `forged`: the request has an entry of ours that may have named the flow, but not one that we made.
    fn resolve(&self, uri: &Uri<'_>, forged: bool) -> Result<SocketAddr, Reject> {
        address_of(uri).ok_or_else(|| {
            self.count(Counter::Unresolved);
            if forged { Reject::forbidden("Bad Flow Token") } else { Reject::not_found() }
        })
    }
}

/// On this connection; if it is gone, 430 goes back ([`Core::send`]).
pub(crate) fn flow_or_nothing(listener: u8, id: ConnectionId) -> Target {
    Target::Connection { listener, id, to: SocketAddr::from(([0, 0, 0, 0], 0)), or_connect: false }
}
