//! HTTP to the servers of a farm (SPEC A13): the listener, each server's address for HTTP, and the names of the identifier.

use std::net::SocketAddr;
use std::time::Duration;

use lb::farm::server::ServerId;
use lb::http::{Names, Places};
use lb::settings::Listener;

use crate::checks::listeners::overlaps;
use crate::language::problem::{Problems, SourcePosition};
use crate::language::section::Field;
use crate::sections::roles::Raw;

/// The HTTP listener: see section http of the reference page.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Http {
    pub listen: SocketAddr,
    pub names: Names,
    pub places: Places,
    pub connections_max: usize,
    pub head_bytes_max: usize,
    pub body_bytes_max: u64,
    /// How long a client may take to send the head of a request.
    pub head_time: Duration,
    /// How long a server may take to answer, and how long a body may stay without data.
    pub idle: Duration,
    pub upgraded_idle: Duration,
    pub connect_time: Duration,
}

pub(crate) fn http(raw: &Raw, listeners: &[Listener], problems: &mut Problems) -> Option<Http> {
    let section = &raw.http;
    let Some(listen) = section.listen.value else {
        let of_servers = raw.server.iter().map(|server| &server.http.place);
        if let Some(place) =
            of_servers.chain([&section.server_port.place]).find(|place| **place != SourcePosition::Unwritten)
        {
            let remedy = "add [http] with `listen`, such as \"0.0.0.0:8080\"";
            problems.error(place, "a server has `http`, but http.listen is not set", remedy);
        }
        return None;
    };
    let taken = |other: &&Listener| other.transport.is_reliable() && overlaps(other.bind, listen);
    if let Some(other) = listeners.iter().find(taken) {
        let what = format!(
            "http.listen {listen} is already used by the listener {}:{}",
            other.transport.word(),
            other.bind
        );
        problems.error(&section.listen.place, what, "choose another port for HTTP");
    }
    if raw.api.listen.value.is_some_and(|other| overlaps(other, listen)) {
        let what = format!("http.listen {listen} is already used by api.listen");
        problems.error(&section.listen.place, what, "choose another port than that of api.listen");
    }
    let mut places = Places { port: section.server_port.value.map(|port| port as u16), ..Places::default() };
    for server in &raw.server {
        let Some(place) = server.http.value else { continue };
        if place.ip().is_unspecified() || place.ip().is_multicast() {
            let what = format!("`http`: {place} is not a unicast address");
            problems.error(&server.http.place, what, "write the address where the server listens for HTTP");
        } else if place == listen {
            let what = format!("`http`: {place} is the load manager's own http.listen");
            problems.error(&server.http.place, what, "write the server's own address");
        }
        match server.address.value.address() {
            Some(address) => drop(places.named.insert(ServerId::of(address), place)),
            None => {
                let what = "`http` is one address, but a name may stand for several servers";
                problems.error(&server.http.place, what, "leave `http` out, and set http.server_port");
            }
        }
    }
    if places.named.is_empty() && places.port.is_none() {
        let remedy = "add `http = \"ADDRESS:PORT\"` to each [[server]], or set http.server_port";
        problems.error(&section.listen.place, "no server can ever have HTTP", remedy);
    }
    for field in [&section.cookie, &section.header, &section.parameter] {
        is_name(field, problems);
    }
    let seconds = |field: &Field<u64>| Duration::from_secs(field.value);
    Some(Http {
        listen,
        names: Names {
            cookie: section.cookie.value.clone(),
            header: section.header.value.to_ascii_lowercase(),
            parameter: section.parameter.value.clone(),
        },
        places,
        connections_max: section.connections_max.value as usize,
        head_bytes_max: section.head_bytes_max.value as usize,
        body_bytes_max: section.body_bytes_max.value,
        head_time: seconds(&section.head_seconds),
        idle: seconds(&section.idle_seconds),
        upgraded_idle: seconds(&section.upgraded_idle_seconds),
        connect_time: Duration::from_millis(section.connect_ms.value),
    })
}

/// Text that can stand in a cookie, in a header field and in a URL alike.
fn is_name(field: &Field<String>, problems: &mut Problems) {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    let name = &field.value;
    if name.is_empty() || name.len() > 64 || !name.bytes().all(plain) {
        let what = format!("`{name}` is not a name for a cookie, header field or parameter");
        problems.error(&field.place, what, "write up to 64 letters, digits, and characters of -_.");
    }
}
