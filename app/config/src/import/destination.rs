//! A destination of another program's file, whichever program it was, and its address as the load manager writes it.

use sip::{SIP_PORT, SIPS_PORT, Transport};

use crate::import::remark::{Remarks, shown};
use crate::language::server_address::{HostOfServer, ServerAddress};
use crate::language::value::{Endpoint, Value as _, Wrong, parse_address};

/// See the head of this module.
#[derive(Clone, Debug)]
pub(super) struct Destination {
    pub(super) line: usize,
    pub(super) set: i64,
    pub(super) uri: String,
    /// Why it gets no calls there; `None`: it gets calls.
    pub(super) off: Option<String>,
    pub(super) weight: u64,
    /// The highest is the first.
    pub(super) priority: i64,
    pub(super) calls_max: Option<u64>,
    pub(super) probe: Probe,
    /// The local address that it is sent from.
    pub(super) socket: Option<String>,
    /// For people.
    pub(super) about: Option<String>,
}

/// When a destination is sent OPTIONS.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Probe {
    Never,
    InDoubt,
    Always,
}

/// Transport and address of a SIP URI. Only an address is taken: what a name stands for is for the operator to say.
pub(super) fn address(line: usize, uri: &str, remarks: &mut Remarks) -> Result<Endpoint, Wrong> {
    let shown_uri = shown(uri);
    let wrong = |what: String, instead: &str| Err((what, instead.to_owned()));
    let (scheme, rest) = uri.split_once(':').unwrap_or(("", uri));
    let secure = match scheme.to_ascii_lowercase().as_str() {
        "sip" => false,
        "sips" => true,
        _ => {
            return wrong(
                format!("`{shown_uri}` is not a SIP URI"),
                "write [[server]] with the address of that server",
            );
        }
    };
    let (rest, headers) = rest.split_once('?').map_or((rest, ""), |(rest, headers)| (rest, headers));
    let mut parts = rest.split(';');
    let host = parts.next().unwrap_or_default();
    let mut transport = if secure { Transport::Tls } else { Transport::Udp };
    for parameter in parts.filter(|parameter| !parameter.is_empty()) {
        let (name, value) = parameter.split_once('=').unwrap_or((parameter, ""));
        match (name.to_ascii_lowercase().as_str(), value.to_ascii_lowercase().as_str()) {
            ("transport", "udp") if !secure => transport = Transport::Udp,
            ("transport", "tcp") if !secure => transport = Transport::Tcp,
            ("transport", "tcp" | "tls") => transport = Transport::Tls,
            ("transport", other) => {
                return wrong(
                    format!("`{shown_uri}`: servers cannot be reached over {}", shown(other)),
                    "have the server listen on UDP, TCP or TLS",
                );
            }
            ("maddr", _) => {
                return wrong(
                    format!("`{shown_uri}` is sent to its maddr, not to its host"),
                    "write [[server]] with the address in maddr",
                );
            }
            _ => remarks.add(
                line,
                format!("`{}`: the load manager writes no such parameter", shown(parameter)),
                "nothing, unless the server asks for it",
            ),
        }
    }
    if !headers.is_empty() {
        remarks.add(
            line,
            "header fields in the URI are not sent",
            "nothing, unless the server asks for them",
        );
    }
    let host = match host.rsplit_once('@') {
        Some((user, host)) => {
            let what = format!("the user part `{}`: requests keep their own Request-URI", shown(user));
            remarks.add(line, what, "nothing, unless the server asks for it");
            host
        }
        None => host,
    };
    let port = if transport == Transport::Tls { SIPS_PORT } else { SIP_PORT };
    let address = parse_address(host, Some(port)).map_err(|(what, instead)| {
        let instead = match ServerAddress::from_text(host, None) {
            // Whether it was looked up there once or always, nobody knows here.
            Ok(ServerAddress { host: HostOfServer::Name { .. }, .. }) => format!(
                "write [[server]] with `address = \"{}:{host}\"`, if all servers of that name are meant (docs/names.md)",
                transport.word()
            ),
            _ => instead,
        };
        (shown(&what), shown(&instead))
    })?;
    let ip = address.ip();
    if ip.is_unspecified() || ip.is_multicast() || matches!(ip, std::net::IpAddr::V4(ip) if ip.is_broadcast())
    {
        return wrong(
            format!("{address} is not a unicast address"),
            "write the address that the server listens on",
        );
    }
    Ok(Endpoint { transport: Some(transport), address })
}

/// A number of a field: `None` and a remark if it is none.
pub(super) fn number(line: usize, name: &str, text: &str, remarks: &mut Remarks) -> Option<i64> {
    let read = text.trim().parse().ok();
    if read.is_none() {
        let what = format!("{name} `{}` is not a number", shown(text));
        remarks.add(line, what, "look at what was written for this destination");
    }
    read
}

/// A weight as the load manager takes it.
pub(super) fn weight(line: usize, value: i64, remarks: &mut Remarks) -> u64 {
    let taken = value.clamp(1, 1000);
    if taken != value {
        remarks.add(line, format!("weight {value} is not in 1 … 1000"), format!("written as {taken}"));
    }
    taken as u64
}
