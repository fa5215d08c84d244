//! A peer that asks for requests to come back by the connection it opened (RFC 5923): who asks, and who is proven.

use std::net::SocketAddr;

use sip::{ConnectionId, Flow, Host, Target, Transport};
use turn::Claim;

use crate::counters::Counter;
use crate::outbox::Outbox;
use crate::way::request::Request;
use crate::way::router::Core;

/// RFC 5923 §8.2: the port of a TLS Via without one.
const TLS_PORT: u16 = 5061;

impl Core {
    /// A request that came over a stream: whether its sender asks for requests to come back by it.
    pub(crate) fn note_alias(&self, request: &Request<'_>, flow: Flow, out: &mut Outbox) {
        let Some(id) = flow.connection else { return };
        if !matches!(flow.transport, Transport::Tls | Transport::Tcp)
            || request.via.parameter(b"alias").is_none()
        {
            return;
        }
        let aliases = &self.shared.aliases;
        let port = request.via.port.unwrap_or(if flow.transport == Transport::Tls { TLS_PORT } else { 5060 });
        // RFC 5923 §8.2: the address is the one that it sends from, not what a name may stand for.
        let address = SocketAddr::new(flow.remote.ip().to_canonical(), port);
        // One that we opened is found by its address as it is.
        if address == flow.remote || !aliases.ask(id) {
            return;
        }
        let named = match request.via.host {
            Host::Ip(ip) if ip.to_canonical() != address.ip() => return self.refuse_alias(id),
            Host::Ip(_) => None,
            Host::Name(name) => Some(name.into()),
        };
        match flow.transport {
            Transport::Tls => out.claims.push(Claim { id, listener: flow.listener, address, name: named }),
            _ if self.shared.settings.tcp_alias && self.snapshot.by_address(address).is_some() => {
                aliases.take(Transport::Tcp, address, flow.listener, id);
                self.count(Counter::AliasTaken);
            }
            _ => self.refuse_alias(id),
        }
    }

    /// The edge has looked at the certificate.
    pub(crate) fn alias_judged(&self, claim: &Claim, proven: bool) {
        if !proven {
            return self.refuse_alias(claim.id);
        }
        self.shared.aliases.take(Transport::Tls, claim.address, claim.listener, claim.id);
        self.count(Counter::AliasTaken);
    }

    fn refuse_alias(&self, id: ConnectionId) {
        self.shared.aliases.refuse(id);
        self.count(Counter::AliasRefused);
    }

    /// Listener and target for a stream to this address: the connection that its owner opened, else one of ours.
    pub(crate) fn stream_to(&self, listener: u8, transport: Transport, to: SocketAddr) -> (u8, Target) {
        match self.shared.aliases.find(transport, to) {
            Some((listener, id)) => (listener, Target::Connection { listener, id, to, or_connect: true }),
            None => (listener, Target::Stream { listener, to }),
        }
    }
}
