//! Servers of the farm: each is written once, and a listener of ours can reach it.

use std::collections::HashMap;
use std::net::SocketAddr;

use lb::settings::{Listener, ServerEntry};
use sip::Transport;

use crate::checks::tls::Tls;
use crate::language::problem::{Problems, SourcePosition};
use crate::sections::roles::Raw;

pub(crate) fn servers(raw: &Raw, listeners: &[Listener], problems: &mut Problems) -> Vec<ServerEntry> {
    let mut seen: HashMap<SocketAddr, SourcePosition> = HashMap::new();
    let has_udp = listeners.iter().any(|listener| listener.transport == Transport::Udp);
    let default = if has_udp || listeners.is_empty() { Transport::Udp } else { Transport::Tcp };
    let mut servers = Vec::new();
    for server in &raw.server {
        let (address, place) = (server.address.value.address, &server.address.place);
        let transport = server.address.value.transport.unwrap_or(default);
        if let Some(first) = seen.insert(address, place.clone()) {
            let first = match first {
                SourcePosition::At(offset) => {
                    format!(" (first in line {})", problems.line_and_column(offset).0)
                }
                SourcePosition::Unwritten | SourcePosition::Option(_) => String::new(),
            };
            let remedy = "write each server once; `weight` gives a server a larger share";
            problems.error(place, format!("server {address} is written twice{first}"), remedy);
        }
        if address.ip().is_unspecified() || address.ip().is_multicast() {
            let what = format!("{address} is not a unicast address");
            problems.error(place, what, "write the address that the server listens on");
        }
        if let Some(own) = listeners.iter().find(|own| own.transport == transport && own.advertise == address)
        {
            let what = format!("server {address} is the load manager's own listener {}", own.bind);
            problems.error(place, what, "messages would go round in circles: write the server's address");
        }
        let reachable = |listener: &Listener| {
            listener.transport == transport && listener.advertise.is_ipv4() == address.is_ipv4()
        };
        if !listeners.is_empty() && !transport.is_websocket() && !listeners.iter().any(reachable) {
            let version = if address.is_ipv4() { "IPv4" } else { "IPv6" };
            let token = transport.word();
            let what =
                format!("server {address} needs a listener for {token} over {version}, and there is none");
            let remedy = format!(
                "add a listener {token}:… with an {version} address: it receives what the server sends back"
            );
            problems.error(place, what, remedy);
        }
        servers.push(ServerEntry {
            address,
            transport,
            weight: server.weight.value as u32,
            priority: server.priority.value as u8,
            calls_max: server.calls_max.value.map(|max| max as u32),
            calls_per_second_max: server.calls_per_second_max.value.map(|max| max as u32),
        });
    }
    servers
}

/// Servers that need certificates which `tls` does not give.
pub(crate) fn servers_need_of_tls(raw: &Raw, tls: Option<&Tls>, problems: &mut Problems) {
    for server in &raw.server {
        let place = &server.address.place;
        match server.address.value.transport {
            Some(Transport::Tls)
                if tls.is_some_and(|tls| tls.client.is_none()) && !raw.tls.server_ca.is_written() =>
            {
                let remedy = "set tls.server_ca (--server-ca): the certificates of the authorities that signed the server's certificate";
                problems.error(
                    place,
                    "cannot verify the certificate of this server: tls.server_ca is not set",
                    remedy,
                );
            }
            Some(Transport::Ws | Transport::Wss) => {
                let what = "a server cannot be reached over WebSocket: only clients use WebSocket";
                problems.error(place, what, "use udp:, tcp: or tls:");
            }
            _ => {}
        }
    }
}
