//! Where a server of the farm is: an IP address, or a name that stands for one or more servers. In front of either may stand a
//! transport.

use std::net::SocketAddr;

use dns::name::Name;
use sip::Transport;

use crate::language::value::{Bounds, Endpoint, Value, Wrong, parse_endpoint, quoted, transport_in_front};

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ServerAddress {
    /// `None`: not given; the context decides, or the records of the name.
    pub transport: Option<Transport>,
    pub host: HostOfServer,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum HostOfServer {
    Address(SocketAddr),
    /// `whole`: it was written with a dot at its end, so that no search list completes it.
    Name {
        name: Name,
        port: Option<u16>,
        whole: bool,
    },
}

impl ServerAddress {
    pub(crate) fn address(&self) -> Option<SocketAddr> {
        match self.host {
            HostOfServer::Address(address) => Some(address),
            HostOfServer::Name { .. } => None,
        }
    }
}

/// Text that is meant as a name, not as an address: some letter of it cannot stand in an IP address with a port.
fn is_meant_as_name(host: &str) -> bool {
    let last = host.trim_end_matches('.').rsplit('.').next().unwrap_or_default();
    last.bytes().any(|byte| byte.is_ascii_alphabetic()) && !host.contains(':')
}

impl Value for ServerAddress {
    fn from_text(text: &str, _: Bounds) -> Result<ServerAddress, Wrong> {
        let (transport, rest) = transport_in_front(text);
        let (host, port) = match rest.rsplit_once(':') {
            Some((host, port)) if is_meant_as_name(host) => (host, Some(port)),
            _ => (rest, None),
        };
        if !is_meant_as_name(host) {
            let Endpoint { transport, address } = parse_endpoint(text)?;
            return Ok(ServerAddress { transport, host: HostOfServer::Address(address) });
        }
        if matches!(host, "sip" | "sips") || transport.is_none() && text.starts_with("sctp:") {
            return Err(parse_endpoint(text).err().unwrap_or_default());
        }
        let Some(name) = Name::new(host) else {
            let remedy = "write a host name, such as \"sip1.example.net:5060\", or a name with SRV records";
            return Err((format!("`{host}` is neither an address nor a host name"), remedy.into()));
        };
        let port = match port.map(str::parse::<u16>) {
            None => None,
            Some(Ok(port @ 1..)) if !name.is_service() => Some(port),
            Some(Ok(1..)) => {
                let remedy = format!("the SRV records give the port: write \"{name}\"");
                return Err((format!("`{text}` has a port"), remedy));
            }
            Some(Ok(0) | Err(_)) => {
                return Err((format!("`{text}` has no good port"), "write a port from 1 to 65535".into()));
            }
        };
        let transport = match name.is_service() {
            true => Some(transport_of_service(&name, transport)?),
            false => transport,
        };
        Ok(ServerAddress { transport, host: HostOfServer::Name { name, port, whole: host.ends_with('.') } })
    }

    fn form(_: Bounds) -> String {
        "`udp:`, `tcp:` or `tls:`, address or name, port: `udp:10.0.0.1:5060`, `farm.example.net`".into()
    }

    fn written(&self) -> String {
        let host = match &self.host {
            HostOfServer::Address(address) => address.to_string(),
            HostOfServer::Name { name, port, whole } => {
                let dot = if *whole { "." } else { "" };
                port.map_or_else(|| format!("{name}{dot}"), |port| format!("{name}{dot}:{port}"))
            }
        };
        quoted(match self.transport {
            Some(transport) => format!("{}:{host}", transport.word()),
            None => host,
        })
    }
}

/// The transport of SRV records by the labels of their name: `_sip._udp`, `_sip._tcp`, `_sips._tcp`.
fn transport_of_service(name: &Name, given: Option<Transport>) -> Result<Transport, Wrong> {
    let said = match name.protocol() {
        Some("udp") => Transport::Udp,
        Some("tcp") if name.as_str().starts_with("_sips.") => Transport::Tls,
        Some("tcp") => Transport::Tcp,
        _ => {
            let remedy = "write a name such as \"_sip._udp.farm.example.net\"";
            return Err((format!("`{name}` is not the name of a service over UDP or TCP"), remedy.into()));
        }
    };
    match given {
        None => Ok(said),
        // A service may be called as anybody likes; over TCP it may be TLS.
        Some(given) if given == said || given == Transport::Tls && said == Transport::Tcp => Ok(given),
        Some(given) => {
            let remedy = format!("leave `{}:` out, or write the name of other records", given.word());
            Err((format!("`{name}` is a service over {}", said.word()), remedy))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> String {
        match ServerAddress::from_text(text, None) {
            Ok(address) => {
                format!("{}{}", address.written(), if address.address().is_some() { " IP" } else { "" })
            }
            Err((what, _)) => what,
        }
    }

    #[test]
    fn addresses_and_names_are_told_apart() {
        for (text, expected) in [
            ("10.0.0.1", "\"10.0.0.1:5060\" IP"),
            ("tls:10.0.0.1", "\"tls:10.0.0.1:5061\" IP"),
            ("[2001:db8::1]:5070", "\"[2001:db8::1]:5070\" IP"),
            ("2001:db8::fe", "\"[2001:db8::fe]:5060\" IP"),
            ("Farm.Example.net", "\"farm.example.net\""),
            ("tcp:sip1.example.net:5070", "\"tcp:sip1.example.net:5070\""),
            ("engines:5060", "\"engines:5060\""),
            ("farm.example.net.", "\"farm.example.net.\""),
            ("_sip._udp.farm.example.net", "\"udp:_sip._udp.farm.example.net\""),
            ("_sips._tcp.farm.example.net", "\"tls:_sips._tcp.farm.example.net\""),
            ("tls:_port-5061._tcp.engines", "\"tls:_port-5061._tcp.engines\""),
            ("10.0.0.300", "`10.0.0.300` is not an address"),
            ("10.0.0.1:x", "`10.0.0.1:x` is not an address"),
            ("sip:10.0.0.1", "`sip:10.0.0.1` is a URI"),
            ("sip:farm.example.net", "`sip:farm.example.net` is a URI"),
            ("sctp:farm.example.net", "transport `sctp` is not supported"),
            ("farm..example", "`farm..example` is neither an address nor a host name"),
            ("farm.example:0", "`farm.example:0` has no good port"),
            ("farm.example:sip", "`farm.example:sip` has no good port"),
            ("_sip._udp.farm.example:5060", "`_sip._udp.farm.example:5060` has a port"),
            ("_sip.farm.example", "`_sip.farm.example` is not the name of a service over UDP or TCP"),
            ("tcp:_sip._udp.farm.example", "`_sip._udp.farm.example` is a service over udp"),
        ] {
            assert_eq!(read(text), expected, "{text}");
        }
    }
}
