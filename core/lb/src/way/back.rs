//! Where responses to a request go (RFC 3261 §18.2.2, RFC 3581 §4).

use std::net::SocketAddr;

use sip::headers::via::Via;
use sip::{Flow, Host, SIP_PORT, SIPS_PORT, Transport};

use crate::connections::own::is_of_one_host;
use crate::way::view::View;

impl View {
    /// Over UDP: to the source of the request if the request has `rport`, else to the source address at the port of the Via.
    /// Over a stream: on the connection, or on a new one to that address. `maddr` in the Via of a server over UDP names
    /// another place. Anybody else's `maddr` is ignored: an answer goes only to the sender of the request.
    pub(crate) fn way_back(&self, via: Option<&Via<'_>>, flow: Flow) -> SocketAddr {
        let port = match via {
            Some(via) if flow.transport == Transport::Udp && via.rport.is_some() => flow.remote.port(),
            // The sender does not know its own port; the source has one.
            Some(via) if via.port == Some(0) => flow.remote.port(),
            Some(via) => port_of(via, flow),
            None => flow.remote.port(),
        };
        if let Some(via) = via.filter(|_| flow.transport == Transport::Udp && self.sends_to_clients(flow))
            && let Some(Host::Ip(ip)) = via.parameter(b"maddr").and_then(Host::parse)
            && via.port != Some(0)
            && is_of_one_host(ip)
            && ip.is_ipv4() == flow.remote.is_ipv4()
        {
            return SocketAddr::new(ip, port_of(via, flow));
        }
        SocketAddr::new(flow.remote.ip(), port)
    }

    /// The request comes from the address of a server, or from one of our own. Only these senders may have us send to any
    /// address.
    pub(crate) fn sends_to_clients(&self, flow: Flow) -> bool {
        let ip = flow.remote.ip();
        self.snapshot.is_server_ip(ip) || self.shared.own.is_own_ip(ip)
    }
}

fn port_of(via: &Via<'_>, flow: Flow) -> u16 {
    via.port.unwrap_or(if flow.transport == Transport::Tls { SIPS_PORT } else { SIP_PORT })
}
