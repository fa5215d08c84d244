//! The listeners of an imported farm: those that the operator names, or the local addresses of the file, and for each server one
//! that reaches it.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use sip::{SIP_PORT, Transport};

use crate::import::destination::Destination;
use crate::import::remark::{Remarks, shown};
use crate::language::value::{Endpoint, parse_endpoint};

/// As many as a load manager takes, less those for the servers.
const LISTENERS_MAX: usize = 32;

pub(super) type Bound = (Transport, SocketAddr);

/// `servers`: those that are written, with their destinations.
pub(super) fn listeners(
    given: &[Endpoint],
    servers: &[(&Destination, Bound)],
    remarks: &mut Remarks,
) -> Vec<Bound> {
    let taken: Vec<Bound> = servers.iter().map(|(_, server)| *server).collect();
    let mut all: Vec<Bound> =
        given.iter().map(|listen| (listen.transport.unwrap_or(Transport::Udp), listen.address)).collect();
    all.dedup();
    if given.is_empty() {
        all = of_sockets(servers, &taken, remarks);
    }
    let several = all.iter().filter(|(transport, _)| *transport == Transport::Udp).count() > 1;
    if several && given.is_empty() {
        let what =
            "a server has no listener of its own: it is sent to from the listener that the request came by";
        remarks.add(0, what, "nothing, if each server can be reached from each of these addresses");
    }
    let named = !all.is_empty();
    for &(_, (transport, server)) in servers {
        let reaches = |(of, at): &Bound| *of == transport && at.is_ipv4() == server.is_ipv4();
        if !all.iter().any(reaches) {
            let like = all.iter().find(|(_, at)| at.is_ipv4() == server.is_ipv4()).map(|(_, at)| *at);
            all.push(free(transport, like, server.is_ipv4(), &all, &taken));
        }
    }
    if !named {
        let what =
            "the file does not say where calls arrive: the listeners are written with a loopback address";
        remarks.add(
            0,
            what,
            "write the address of the old proxy into [[listen]], or give `--listen udp:ADDRESS:5060`",
        );
    }
    all
}

fn of_sockets(servers: &[(&Destination, Bound)], taken: &[Bound], remarks: &mut Remarks) -> Vec<Bound> {
    let mut all: Vec<Bound> = Vec::new();
    for (destination, _) in servers {
        let Some(text) = &destination.socket else { continue };
        let line = destination.line;
        let bound = match parse_endpoint(text) {
            Ok(Endpoint { transport, address }) => (transport.unwrap_or(Transport::Udp), address),
            Err((what, instead)) => {
                remarks.add(line, format!("socket: {}", shown(&what)), shown(&instead));
                continue;
            }
        };
        let refused = match bound {
            (Transport::Tls | Transport::Ws | Transport::Wss, _) => {
                Some(("needs a certificate", "write [[listen]] with that address, and `tls.certificate`"))
            }
            (_, address) if address.ip().is_unspecified() || address.ip().is_multicast() => Some((
                "is no address that others can send to",
                "write [[listen]] with the address and `advertise`",
            )),
            bound if taken.contains(&bound) => Some(("is the address of a server, too", "look at the line")),
            bound if !all.contains(&bound) && all.len() >= LISTENERS_MAX => {
                Some(("is one listener too many", "write it into [[listen]] in place of another"))
            }
            _ => None,
        };
        match refused {
            Some((what, instead)) => remarks.add(line, format!("socket={}: {what}", shown(text)), instead),
            None if !all.contains(&bound) => all.push(bound),
            None => {}
        }
    }
    all
}

/// An address that neither a listener nor a server has: like another listener, or loopback.
fn free(transport: Transport, like: Option<SocketAddr>, ipv4: bool, all: &[Bound], taken: &[Bound]) -> Bound {
    let loopback = if ipv4 { IpAddr::V4(Ipv4Addr::LOCALHOST) } else { IpAddr::V6(Ipv6Addr::LOCALHOST) };
    let like = like.filter(|address| !address.ip().is_unspecified());
    let (ip, port) = like.map_or((loopback, SIP_PORT), |address| (address.ip(), address.port()));
    let is_free = |address: &SocketAddr| {
        !taken.contains(&(transport, *address))
            && !all.iter().any(|(of, at)| of.is_reliable() == transport.is_reliable() && at == address)
    };
    // A farm has fewer servers than there are ports.
    let ports = std::iter::once(port).chain(SIP_PORT..=u16::MAX).chain(1..SIP_PORT);
    let found = ports.map(|port| SocketAddr::new(ip, port)).find(is_free);
    (transport, found.unwrap_or(SocketAddr::new(ip, port)))
}
