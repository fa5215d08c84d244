//! Listeners: addresses that do not meet, and by which others reach us; the names that are ours.

use std::net::SocketAddr;

use lb::settings::Listener;
use sip::Transport;

use crate::language::problem::{Problems, SourcePosition};
use crate::language::value::parse_address;
use crate::sections::definition::{Listen, Raw};

/// Listeners are counted in a byte, and each costs every worker a socket.
const LISTENERS_MAX: usize = 64;

/// Names are one set for all listeners: which one a message came by, its socket says.
pub(crate) fn names(listeners: &[Listen]) -> Vec<String> {
    let mut names: Vec<String> = listeners
        .iter()
        .flat_map(|listen| &listen.names.value)
        .map(|name| name.trim_end_matches('.').to_ascii_lowercase())
        .collect();
    names.sort();
    names.dedup();
    names
}

pub(crate) fn listeners(raw: &Raw, problems: &mut Problems) -> Vec<Listener> {
    let mut listeners: Vec<Listener> = Vec::new();
    if raw.listen.is_empty() {
        let remedy = "add [[listen]] with address = \"udp:127.0.0.1:5060\" (--listen udp:127.0.0.1:5060)";
        problems.error(&SourcePosition::Unwritten, "nothing to listen on", remedy);
    }
    if let Some(one_too_many) = raw.listen.get(LISTENERS_MAX) {
        let what = format!("more than {LISTENERS_MAX} listeners");
        problems.error(&one_too_many.address.place, what, "remove some");
        return listeners;
    }
    for listen in &raw.listen {
        let bind = listen.address.value.address;
        let transport = listen.address.value.transport.unwrap_or(Transport::Udp);
        if let Some(other) = listeners
            .iter()
            .find(|other| same_sockets(other.transport, transport) && overlaps(other.bind, bind))
        {
            let what = format!(
                "{} {bind} is already taken by the listener {}:{}",
                transport.via_token(),
                other.transport.word(),
                other.bind
            );
            problems.error(&listen.address.place, what, "give each listener a port or an address of its own");
        }
        let advertise = match &listen.advertise.value {
            None => Ok(bind),
            Some(text) => parse_address(text, Some(bind.port())),
        };
        let advertise = match advertise {
            Ok(advertise) => advertise,
            Err((what, remedy)) => {
                problems.error(&listen.advertise.place, format!("`advertise`: {what}"), remedy);
                continue;
            }
        };
        if advertise.ip().is_unspecified() {
            let place =
                if listen.advertise.is_written() { &listen.advertise.place } else { &listen.address.place };
            let what = format!("{} is no address that a client or server could send to", advertise.ip());
            let remedy = match place {
                SourcePosition::Option(_) => {
                    "listen on one address, or use a file with `advertise = \"ADDRESS\"` in [[listen]]"
                }
                _ => {
                    "add `advertise = \"ADDRESS\"`: the address by which clients and servers reach this machine"
                }
            };
            problems.error(place, what, remedy);
        } else if advertise.is_ipv4() != bind.is_ipv4() && !bind.ip().is_unspecified() {
            let what = format!("{advertise} and {bind} are of different IP versions");
            problems.error(&listen.advertise.place, what, "use one listener for each IP version");
        }
        listeners.push(Listener { transport, bind, advertise });
    }
    listeners
}

/// UDP has its own ports, all that goes over TCP shares them.
fn same_sockets(a: Transport, b: Transport) -> bool {
    a.is_reliable() == b.is_reliable()
}

/// One port that two sockets cannot both have: the same address, or one of them a wildcard.
pub(crate) fn overlaps(a: SocketAddr, b: SocketAddr) -> bool {
    a.port() == b.port()
        && a.is_ipv4() == b.is_ipv4()
        && (a.ip() == b.ip() || a.ip().is_unspecified() || b.ip().is_unspecified())
}
