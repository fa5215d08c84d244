//! What `strowger run` needs of a file: somebody to call, a listener for datagrams, a port for heartbeats.

use std::net::SocketAddr;

use lb::settings::Listener;
use sip::{Host, SIP_PORT, SIPS_PORT, Transport, Uri};

use crate::language::problem::{Problems, SourcePosition};
use crate::language::value::Wrong;
use crate::sections::roles::Raw;
use crate::sections::run::RunSection;

/// Judges the URI of somebody who is called.
pub(crate) fn sip_uri(text: &str) -> Result<(), Wrong> {
    let what = match Uri::parse(text.as_bytes()) {
        Ok(_) => return Ok(()),
        Err(sip::uri::BadUri::Scheme) => "neither sip: nor sips:",
        Err(sip::uri::BadUri::Syntax) => "not a SIP URI",
    };
    let remedy = "write it as sip:HOST, sip:HOST:PORT or sip:USER@HOST;transport=tcp";
    Err((what.to_owned(), remedy.to_owned()))
}

/// Judges who is called by a farm, or an engine, with these addresses of its own.
pub fn callee(text: &str, own: &[SocketAddr]) -> Result<(), Wrong> {
    sip_uri(text)?;
    let Ok(Uri { host: Host::Ip(ip), port, secure, .. }) = Uri::parse(text.as_bytes()) else { return Ok(()) };
    let port = port.unwrap_or(if secure { SIPS_PORT } else { SIP_PORT });
    let is_own = own.iter().any(|own| own.port() == port && (own.ip() == ip || own.ip().is_unspecified()));
    match is_own {
        false => Ok(()),
        true => Err((
            "it is an address of our own: each call would call itself".to_owned(),
            "name the server or telephone that gets the calls".to_owned(),
        )),
    }
}

/// Judges a node of the state tier.
fn state_node(text: &str) -> Result<(), Wrong> {
    let is_port = |port: &str| port.parse::<u16>().is_ok_and(|port| port > 0);
    let is_good = match (text.strip_prefix("unix:"), text.rsplit_once(':')) {
        (Some(path), _) => !path.is_empty(),
        (None, Some((host, port))) => {
            let is_bracketed = host.starts_with('[') && host.ends_with(']');
            is_port(port) && !host.is_empty() && (is_bracketed || !host.contains(':'))
        }
        (None, None) => false,
    };
    match is_good {
        true => Ok(()),
        false => Err((
            "no address of a node".to_owned(),
            "write unix:/PATH or HOST:PORT, as unix:/run/strowger-state.sock or 192.0.2.5:6379".to_owned(),
        )),
    }
}

/// The first that comes twice.
pub fn twice<T: PartialEq>(all: &[T]) -> Option<&T> {
    all.iter().enumerate().find(|(at, one)| all[..*at].contains(one)).map(|(_, one)| one)
}

/// What is wrong in the section by itself.
pub(crate) fn run_section(section: &RunSection, problems: &mut Problems) {
    for uri in &section.to.value {
        if let Err((what, remedy)) = sip_uri(uri) {
            problems.error(&section.to.place, format!("{uri}: {what}"), remedy);
        }
    }
    for node in &section.state.value {
        if let Err((what, remedy)) = state_node(node) {
            problems.error(&section.state.place, format!("{node}: {what}"), remedy);
        }
    }
    for list in [&section.to, &section.state] {
        if let Some(value) = twice(&list.value) {
            problems.error(&list.place, format!("{value} is named twice"), "remove one of the two");
        }
    }
    if section.state_user.is_written() && section.state_password_file.value.is_none() {
        let remedy = "add `state_password_file = \"FILE\"`, or remove `state_user`";
        problems.error(&section.state_user.place, "a user of the state tier needs a password", remedy);
    }
    if section.state_password_file.is_written() && section.state.value.is_empty() {
        let what = "the farm's own state process needs no password";
        let remedy = "name the nodes of the outside state tier in `state`, or remove `state_password_file`";
        problems.error(&section.state_password_file.place, what, remedy);
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
    let own: Vec<SocketAddr> =
        listeners.iter().flat_map(|listener| [listener.bind, listener.advertise]).collect();
    for uri in &raw.run.to.value {
        // What is no URI was told already.
        if sip_uri(uri).is_ok()
            && let Err((what, remedy)) = callee(uri, &own)
        {
            problems.error(&raw.run.to.place, format!("{uri}: {what}"), remedy);
        }
    }
    if let Some(path) = &raw.run.state_password_file.value
        && let Err(error) = std::fs::File::open(path)
    {
        let what = format!("{} cannot be read: {error}", path.display());
        problems.error(&raw.run.state_password_file.place, what, "name a file that this user can read");
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
