//! What `strowger run` needs of a file: somebody to call, a listener for datagrams, a port for heartbeats.

use std::net::SocketAddr;

use lb::settings::Listener;
use sip::{Transport, Uri};

use crate::language::problem::{Problems, SourcePosition};
use crate::language::value::Wrong;
use crate::sections::roles::Raw;
use crate::sections::run::RunSection;

/// Judges the URI of somebody who is called.
pub fn sip_uri(text: &str) -> Result<(), Wrong> {
    let what = match Uri::parse(text.as_bytes()) {
        Ok(_) => return Ok(()),
        Err(sip::uri::BadUri::Scheme) => "neither sip: nor sips:",
        Err(sip::uri::BadUri::Syntax) => "not a SIP URI",
    };
    let remedy = "write it as sip:HOST, sip:HOST:PORT or sip:USER@HOST;transport=tcp";
    Err((what.to_owned(), remedy.to_owned()))
}

/// What is wrong in the section by itself.
pub(crate) fn run_section(section: &RunSection, problems: &mut Problems) {
    for uri in &section.to.value {
        if let Err((what, remedy)) = sip_uri(uri) {
            problems.error(&section.to.place, format!("{uri}: {what}"), remedy);
        }
    }
    let own_memory = section.memory_mib.is_written() && !section.state.value.is_empty();
    if own_memory {
        let what = "`memory_mib` has no effect: an outside state tier keeps the records";
        problems.warn(&section.memory_mib.place, what, "set the memory of the nodes of `state`");
    }
}

/// The listener that engines send through, and the address that heartbeats go to.
pub(crate) fn for_engines(
    raw: &Raw,
    listeners: &[Listener],
    problems: &mut Problems,
) -> Option<(Listener, SocketAddr)> {
    if raw.run.to.value.is_empty() {
        let remedy = "add `to = [\"sip:HOST\"]` to section [run] (--to sip:HOST)";
        problems.error(&raw.run.to.place, "nobody is named who gets the calls", remedy);
    }
    if raw.keys.heartbeat.is_written() {
        let remedy = "move the keys to a file of their own (keys.file), or remove section [keys]";
        problems.error(&raw.keys.heartbeat.place, "agents read the key of heartbeats from a file", remedy);
    }
    let through = listeners.iter().find(|listener| listener.transport == Transport::Udp);
    if through.is_none() {
        let place =
            raw.listen.first().map_or(SourcePosition::Unwritten, |listen| listen.address.place.clone());
        let remedy = "add a listener udp:ADDRESS:PORT";
        problems.error(&place, "engines send through a listener for UDP, and there is none", remedy);
    }
    let Some(mut heartbeats) = raw.heartbeat.listen.value else {
        let remedy = "add `listen = \"127.0.0.1:5777\"`, or remove section [heartbeat]";
        problems.error(&raw.heartbeat.listen.place, "engines are known by their heartbeats", remedy);
        return None;
    };
    if heartbeats.ip().is_unspecified() {
        let loopback =
            if heartbeats.is_ipv4() { [127, 0, 0, 1].into() } else { std::net::Ipv6Addr::LOCALHOST.into() };
        heartbeats.set_ip(loopback);
    }
    Some((through?.clone(), heartbeats))
}
