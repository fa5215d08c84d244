//! Servers of the farm: each is written once, and a listener of ours can reach it. Those that are named are found later.

use std::collections::HashMap;
use std::net::SocketAddr;

use dns::locate::Target;

use lb::settings::{Listener, ServerEntry};
use sip::Transport;

use crate::checks::tls::Tls;
use crate::language::problem::{Problems, SourcePosition};
use crate::language::server_address::HostOfServer;
use crate::sections::farm::Server;
use crate::sections::roles::Raw;

/// The servers that stand behind a name, as far as the configuration says something of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NamedServers {
    /// As the file writes it, with the transport if it is written.
    pub written: String,
    pub target: Target,
    /// Of each server, if the records give no weights.
    pub weight: u32,
    /// Of the servers whose records have the best priority.
    pub priority: u8,
    pub calls_max: Option<u32>,
    pub calls_per_second_max: Option<u32>,
}

/// The servers of the configuration.
#[derive(Clone, Debug, Default)]
pub(crate) struct Servers {
    pub(crate) at_addresses: Vec<ServerEntry>,
    pub(crate) named: Vec<NamedServers>,
}

pub(crate) fn servers(raw: &Raw, listeners: &[Listener], problems: &mut Problems) -> Servers {
    let mut addresses: HashMap<SocketAddr, SourcePosition> = HashMap::new();
    let mut names: HashMap<(String, Option<Transport>), SourcePosition> = HashMap::new();
    let mut servers = Servers::default();
    for server in &raw.server {
        let place = &server.address.place;
        let calls_max = server.calls_max.value.map(|max| max as u32);
        let calls_per_second_max = server.calls_per_second_max.value.map(|max| max as u32);
        let (weight, priority) = (server.weight.value as u32, server.priority.value as u8);
        match &server.address.value.host {
            HostOfServer::Address(address) => {
                once(addresses.insert(*address, place.clone()), address, place, problems);
                let transport = at_address(server, *address, listeners, problems);
                let address = *address;
                let entry =
                    ServerEntry { address, transport, weight, priority, calls_max, calls_per_second_max };
                servers.at_addresses.push(entry);
            }
            HostOfServer::Name { name, port, whole } => {
                let transport = server.address.value.transport;
                let host = port.map_or_else(|| name.to_string(), |port| format!("{name}:{port}"));
                once(names.insert((host.clone(), transport), place.clone()), &host, place, problems);
                by_name(server, &host, listeners, problems);
                let (name, port, searched) = (name.clone(), *port, !whole);
                // The labels of a service say its transport.
                let is_said = name.is_service()
                    && (transport != Some(Transport::Tls) || name.as_str().starts_with("_sips."));
                let written = match transport.filter(|_| !is_said) {
                    Some(transport) => format!("{}:{host}", transport.word()),
                    None => host.clone(),
                };
                let target = Target { name, port, transport, secure: false, searched };
                let named =
                    NamedServers { written, target, weight, priority, calls_max, calls_per_second_max };
                servers.named.push(named);
            }
        }
    }
    servers
}

/// Each server is written once.
fn once(
    first: Option<SourcePosition>,
    server: &dyn std::fmt::Display,
    place: &SourcePosition,
    problems: &mut Problems,
) {
    let Some(first) = first else { return };
    let first = match first {
        SourcePosition::At(offset) => format!(" (first in line {})", problems.line_and_column(offset).0),
        SourcePosition::Unwritten | SourcePosition::Option(_) => String::new(),
    };
    let remedy = "write each server once; `weight` gives a server a larger share";
    problems.error(place, format!("server {server} is written twice{first}"), remedy);
}

/// Checks a server at an address; returns its transport.
fn at_address(
    server: &Server,
    address: SocketAddr,
    listeners: &[Listener],
    problems: &mut Problems,
) -> Transport {
    let place = &server.address.place;
    let has_udp = listeners.iter().any(|listener| listener.transport == Transport::Udp);
    let default = if has_udp || listeners.is_empty() { Transport::Udp } else { Transport::Tcp };
    let transport = server.address.value.transport.unwrap_or(default);
    if address.ip().is_unspecified() || address.ip().is_multicast() {
        let what = format!("{address} is not a unicast address");
        problems.error(place, what, "write the address that the server listens on");
    }
    if let Some(own) = listeners.iter().find(|own| own.transport == transport && own.advertise == address) {
        let what = format!("server {address} is the load manager's own listener {}", own.bind);
        problems.error(place, what, "messages would go round in circles: write the server's address");
    }
    let reachable = |listener: &Listener| {
        listener.transport == transport && listener.advertise.is_ipv4() == address.is_ipv4()
    };
    if !listeners.is_empty() && !transport.is_websocket() && !listeners.iter().any(reachable) {
        let version = if address.is_ipv4() { "IPv4" } else { "IPv6" };
        let token = transport.word();
        let what = format!("server {address} needs a listener for {token} over {version}, and there is none");
        let remedy = format!(
            "add a listener {token}:… with an {version} address: it receives what the server sends back"
        );
        problems.error(place, what, remedy);
    }
    transport
}

/// Checks what can be known of servers before their name is looked up.
fn by_name(server: &Server, host: &str, listeners: &[Listener], problems: &mut Problems) {
    let place = &server.address.place;
    if let Some(transport) = server.address.value.transport
        && !transport.is_websocket()
        && !listeners.is_empty()
        && listeners.iter().all(|listener| listener.transport != transport)
    {
        let token = transport.word();
        let what = format!("server {host} needs a listener for {token}, and there is none");
        problems.error(
            place,
            what,
            format!("add a listener {token}:…: it receives what the server sends back"),
        );
    }
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
            Some(Transport::Tls)
                if server.address.value.address().is_none() && !raw.tls.server_name.is_written() =>
            {
                let what = "cannot verify the certificates of these servers: tls.server_name is not set";
                let remedy = "set tls.server_name (--server-name) to the name that their certificates contain, such as this name";
                problems.error(place, what, remedy);
            }
            Some(Transport::Ws | Transport::Wss) => {
                let what = "a server cannot be reached over WebSocket: only clients use WebSocket";
                problems.error(place, what, "use udp:, tcp: or tls:");
            }
            _ => {}
        }
    }
}
