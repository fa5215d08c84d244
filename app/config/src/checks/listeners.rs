//! Listeners: their addresses must differ, others must be able to reach them, and some names are ours.

use std::net::SocketAddr;

use lb::settings::Listener;
use sip::Host;
use sip::Transport;

use crate::language::problem::{Problems, SourcePosition};
use crate::language::value::{Wrong, parse_address};
use crate::sections::shared::Listen;

/// A listener is numbered in one byte, and each listener costs every worker a socket.
const LISTENERS_MAX: usize = 64;

/// The names of all listeners form one set: the socket tells which listener a message came by.
pub(crate) fn names(listeners: &[Listen], problems: &mut Problems) -> Vec<String> {
    let mut names = Vec::new();
    for listen in listeners {
        for name in &listen.names.value {
            match matchable(name) {
                Ok(name) => names.push(name),
                Err((what, remedy)) => {
                    problems.error(&listen.names.place, format!("`names`: `{name}` {what}"), remedy);
                }
            }
        }
    }
    names.sort();
    names.dedup();
    names
}

/// A name as it can stand in a Route: a host name without a port, or an address with a port.
fn matchable(name: &str) -> Result<String, Wrong> {
    let wrong = |what: &str, remedy: String| Err((what.to_owned(), remedy));
    let plain = name.trim_end_matches('.').to_ascii_lowercase();
    if let Ok(address) = plain.parse::<SocketAddr>() {
        return match address.port() == 0 || address.ip().is_unspecified() || address.ip().is_multicast() {
            false => Ok(address.to_string()),
            true => wrong(
                "is not an address that a Route can name",
                "write the other load manager's address".into(),
            ),
        };
    }
    let bare = plain.trim_start_matches("sip:").trim_start_matches("sips:").trim_start_matches("//");
    let bare = bare.split([';', '?', '/', ' ']).next().unwrap_or_default();
    let bare = bare.rsplit('@').next().unwrap_or_default();
    match Host::parse(bare.as_bytes()) {
        Some(Host::Ip(ip)) => {
            let remedy =
                format!("write the address with its port: \"{}\"", SocketAddr::new(ip, sip::SIP_PORT));
            return wrong("has no port", remedy);
        }
        Some(Host::Name(_)) if bare == plain => return Ok(plain),
        Some(Host::Name(_)) => return wrong("is not a host name", format!("write \"{bare}\"")),
        None => {}
    }
    if let Ok(address) = bare.parse::<SocketAddr>() {
        return wrong("is not a host name", format!("write \"{address}\""));
    }
    if let Some((host, _)) = bare.rsplit_once(':')
        && matches!(Host::parse(host.as_bytes()), Some(Host::Name(_)))
    {
        return wrong("has a port", format!("a host name counts on every port of ours: write \"{host}\""));
    }
    if plain.starts_with("*.") {
        return wrong("is a pattern", "patterns are not supported: write out each name".into());
    }
    let remedy = "write a host name, such as \"sip.example.com\"; a name with other letters in the form of DNS, \"xn--…\"";
    wrong("is not a host name", remedy.into())
}

pub(crate) fn listeners(sections: &[Listen], problems: &mut Problems) -> Vec<Listener> {
    let mut listeners: Vec<Listener> = Vec::new();
    if sections.is_empty() {
        let remedy = "add [[listen]] with address = \"udp:127.0.0.1:5060\" (--listen udp:127.0.0.1:5060)";
        problems.error(&SourcePosition::Unwritten, "there is no listener", remedy);
    }
    if let Some(one_too_many) = sections.get(LISTENERS_MAX) {
        let what = format!("there are more than {LISTENERS_MAX} listeners");
        problems.error(&one_too_many.address.place, what, "remove some");
        return listeners;
    }
    for listen in sections {
        let bind = listen.address.value.address;
        let transport = listen.address.value.transport.unwrap_or(Transport::Udp);
        if let Some(other) = listeners
            .iter()
            .find(|other| same_sockets(other.transport, transport) && overlaps(other.bind, bind))
        {
            let what = format!(
                "{} {bind} is already used by the listener {}:{}",
                transport.via_token(),
                other.transport.word(),
                other.bind
            );
            problems.error(&listen.address.place, what, "choose another port or address for one of the two");
        }
        let name = listen.advertise.value.as_deref().and_then(|text| Advertised::read(text, bind.port()));
        let advertise = match (&listen.advertise.value, &name) {
            (None, _) => Ok(bind),
            (Some(_), Some(name)) => Ok(SocketAddr::new(bind.ip(), name.port)),
            (Some(text), None) => parse_address(text, Some(bind.port())),
        };
        let advertise = match advertise {
            Ok(advertise) => advertise,
            Err((what, remedy)) => {
                problems.error(&listen.advertise.place, format!("`advertise`: {what}"), remedy);
                continue;
            }
        };
        if let Some(name) = &name {
            name.check(transport, bind, listen, problems);
        } else if advertise.ip().is_unspecified() {
            let place =
                if listen.advertise.is_written() { &listen.advertise.place } else { &listen.address.place };
            let what = format!("{} is not an address that clients or servers can send to", advertise.ip());
            let remedy = match place {
                SourcePosition::Option(_) => {
                    "listen on one address, or use a configuration file with `advertise = \"ADDRESS\"` in [[listen]]"
                }
                _ => {
                    "add `advertise = \"ADDRESS\"`: the address by which clients and servers reach this machine"
                }
            };
            problems.error(place, what, remedy);
        } else if advertise.is_ipv4() != bind.is_ipv4() && !bind.ip().is_unspecified() {
            let what = format!("{advertise} and {bind} are of different IP versions");
            problems.error(&listen.advertise.place, what, "write one listener for each IP version");
        }
        listeners.push(Listener { transport, bind, advertise, name: name.map(|name| name.written) });
    }
    listeners
}

/// A name in place of an address in Via and Record-Route.
struct Advertised {
    /// With the port, if it was written.
    written: String,
    port: u16,
    has_port: bool,
}

impl Advertised {
    /// `None`: no name was meant.
    fn read(text: &str, bound: u16) -> Option<Advertised> {
        let (host, port) = match text.rsplit_once(':') {
            Some((host, port)) => (host, Some(port.parse::<u16>().ok().filter(|port| *port != 0)?)),
            None => (text, None),
        };
        let plain = host.trim_end_matches('.').to_ascii_lowercase();
        let last = plain.rsplit('.').next()?;
        let is_name = matches!(Host::parse(plain.as_bytes()), Some(Host::Name(_)));
        if !is_name || !last.bytes().any(|byte| byte.is_ascii_alphabetic()) {
            return None;
        }
        let written = port.map_or_else(|| plain.clone(), |port| format!("{plain}:{port}"));
        Some(Advertised { written, port: port.unwrap_or(bound), has_port: port.is_some() })
    }

    /// Without a port, others take the default port, or ask for SRV records (RFC 3263 §4.2).
    fn check(&self, transport: Transport, bind: SocketAddr, listen: &Listen, problems: &mut Problems) {
        let usual = if transport == Transport::Tls { sip::SIPS_PORT } else { sip::SIP_PORT };
        if !self.has_port && bind.port() != usual && !transport.is_websocket() {
            let what = format!(
                "`advertise`: without a port, others send to port {usual}, or where SRV records of {} lead",
                self.written
            );
            let remedy = format!("write \"{}:{}\", unless there are such records", self.written, bind.port());
            problems.warn(&listen.advertise.place, what, remedy);
        }
    }
}

/// The ports of UDP are separate; TCP, TLS and WebSocket share theirs.
fn same_sockets(a: Transport, b: Transport) -> bool {
    a.is_reliable() == b.is_reliable()
}

/// Two sockets cannot share one port: the addresses are equal, or one of them is a wildcard.
pub(crate) fn overlaps(a: SocketAddr, b: SocketAddr) -> bool {
    a.port() == b.port()
        && a.is_ipv4() == b.is_ipv4()
        && (a.ip() == b.ip() || a.ip().is_unspecified() || b.ip().is_unspecified())
}
