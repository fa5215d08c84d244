//! Connection reuse (RFC 5923): a peer asks to get requests back over the connection that it opened. Which peers ask, and
//! which are proven.

use std::net::SocketAddr;

use sip::{ConnectionId, Host, SIP_PORT, SIPS_PORT, Transport};
use turn::Claim;

use crate::counters::Counter;
use crate::way::request::Request;
use crate::way::turn::Turn;
use crate::way::view::View;

/// Notes whether the sender of a request over a stream asks to get requests back over that stream.
pub(crate) fn note(view: &View, turn: &mut Turn<'_>, request: &Request<'_>) {
    let flow = turn.flow;
    let Some(id) = flow.connection else { return };
    if !matches!(flow.transport, Transport::Tls | Transport::Tcp) || request.via.parameter(b"alias").is_none()
    {
        return;
    }
    let aliases = &view.shared.aliases;
    let port =
        request.via.port.unwrap_or(if flow.transport == Transport::Tls { SIPS_PORT } else { SIP_PORT });
    // RFC 5923 §8.2: the address is the one that the peer sends from, not one that a name may stand for.
    let address = SocketAddr::new(flow.remote.ip().to_canonical(), port);
    // A connection that we opened is found by its address anyway.
    if address == flow.remote || !aliases.ask(id) {
        return;
    }
    let named = match request.via.host {
        Host::Ip(ip) if ip.to_canonical() != address.ip() => return refuse(view, id),
        Host::Ip(_) => None,
        Host::Name(name) => Some(name.into()),
    };
    match flow.transport {
        Transport::Tls => turn.out.claims.push(Claim { id, listener: flow.listener, address, name: named }),
        _ if view.shared.settings.tcp_alias && view.snapshot.by_address(address).is_some() => {
            aliases.take(Transport::Tcp, address, flow.listener, id);
            view.count(Counter::AliasTaken);
        }
        _ => refuse(view, id),
    }
}

/// The edge has checked the certificate.
pub(crate) fn judged(view: &View, claim: &Claim, proven: bool) {
    if !proven {
        return refuse(view, claim.id);
    }
    view.shared.aliases.take(Transport::Tls, claim.address, claim.listener, claim.id);
    view.count(Counter::AliasTaken);
}

fn refuse(view: &View, id: ConnectionId) {
    view.shared.aliases.refuse(id);
    view.count(Counter::AliasRefused);
}
