//! From values that are each right to a whole that fits: the checks between keys, and the settings they make.

use std::collections::HashMap;
use std::io::Read as _;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use lb::settings::{Affinity, Heartbeats, Listener, Selection, ServerEntry, Settings, Threads};
use sip::Transport;
use toml::de::DeTable;

use crate::api::{Tokens, api};
use crate::certificates::{Tls, is_secure, tls};
use crate::checked_http::{Http, http};
use crate::checked_keys::keys;
use crate::checked_peers::peers;
use crate::checked_register::register;
use crate::control_path::control_path;
use crate::definition::{Listen, Raw, ThreadModel};
use crate::key_file::readable_by_others;
use crate::problem::{Place, Problems, Source};
use crate::section::Field;
use crate::value::parse_address;
use crate::words::{LogFormat, NewCalls};

/// Listeners are counted in a byte, and each costs every worker a socket.
const LISTENERS_MAX: usize = 64;

/// A configuration that fits together.
#[derive(Clone, Debug)]
pub struct Checked {
    pub settings: Settings,
    /// Certificates and keys; `None`: none are named.
    pub tls: Option<Tls>,
    /// The file that it was read from.
    pub file: Option<PathBuf>,
    /// The unix socket that `strowger status` asks.
    pub control: PathBuf,
    pub faults: Faults,
    /// Where choices of servers are written.
    pub choices: Faults,
    pub log_format: LogFormat,
    pub drain: Drain,
    /// `None`: no HTTP API.
    pub api: Option<Api>,
    /// HTTP to the servers; `None`: none.
    pub http: Option<Http>,
    /// No tag key was given: those in the settings were made for this run.
    pub random_keys: bool,
    /// For the operator's eyes at start: what works but should be known.
    pub notices: Vec<String>,
}

/// What happens at SIGTERM.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Drain {
    pub time: Duration,
    pub new_calls: NewCalls,
}

/// The HTTP listener.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Api {
    pub listen: SocketAddr,
    pub tokens: Tokens,
    pub open_metrics: bool,
}

/// Where records go: faults, or choices of servers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Faults {
    Off,
    Stderr,
    File(PathBuf),
}

/// Reads and checks a file.
pub fn load(path: &Path) -> Result<Checked, Problems> {
    read_raw(path).and_then(|(raw, problems)| check(&raw, problems))
}

/// The same for a start: what has to be mended, but is better served with than not at all, is a warning.
pub fn load_to_start(path: &Path) -> Result<Checked, Problems> {
    read_raw(path).and_then(|(raw, mut problems)| {
        problems.starting = true;
        check(&raw, problems)
    })
}

fn read_raw(path: &Path) -> Result<(Raw, Problems), Problems> {
    let source = |text| Source { path: Some(path.to_owned()), text };
    let text = match read(path).map(String::from_utf8) {
        Ok(Ok(text)) => text,
        Ok(Err(_)) => {
            let mut problems = Problems::new(source(String::new()));
            problems.error(&Place::Unwritten, "is not UTF-8 text", "save the file as UTF-8");
            return Err(problems);
        }
        Err(error) => {
            let mut problems = Problems::new(source(String::new()));
            let remedy = "check the path; docs/example.toml is one to start from";
            problems.error(&Place::Unwritten, format!("cannot be read: {error}"), remedy);
            return Err(problems);
        }
    };
    let open = std::fs::metadata(path).is_ok_and(|metadata| readable_by_others(&metadata));
    parse_from(source(text), open)
}

/// What is larger is some other file.
const FILE_BYTES_MAX: u64 = 4 * 1024 * 1024;

fn read(path: &Path) -> std::io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    std::fs::File::open(path)?.take(FILE_BYTES_MAX + 1).read_to_end(&mut bytes)?;
    match bytes.len() as u64 > FILE_BYTES_MAX {
        true => Err(std::io::Error::other("it is larger than 4 MiB")),
        false => Ok(bytes),
    }
}

/// Checks the text of a configuration.
pub fn parse(text: &str) -> Result<Checked, Problems> {
    let (raw, problems) = parse_from(Source { path: None, text: text.to_owned() }, false)?;
    check(&raw, problems)
}

/// Reads a file for a performance server alone: of it, the sections `perf`, `measure` and `keys`.
pub fn load_perf(path: &Path) -> Result<crate::checked_perf::Perf, Problems> {
    read_raw(path).and_then(|(raw, problems)| crate::checked_perf::perf(&raw, problems))
}

fn parse_from(source: Source, readable_by_others: bool) -> Result<(Raw, Problems), Problems> {
    let mut problems = Problems::new(source);
    let text = problems.source.text.clone();
    let (root, broken) = DeTable::parse_recoverable(&text);
    for error in broken {
        let place = error.span().map_or(Place::Unwritten, |span| Place::At(span.start));
        let what = error.message().trim();
        let offset = error.span().map_or(0, |span| span.start);
        problems.error(&place, what.to_owned(), crate::syntax::remedy(&text, offset, what));
    }
    // After broken syntax only the syntax is reported: what follows it may have been read wrongly.
    if problems.has_errors() {
        problems.sort();
        return Err(problems);
    }
    let raw = Raw::read(root.get_ref(), &mut problems);
    let inline = [&raw.keys.tag.place, &raw.keys.heartbeat.place]
        .into_iter()
        .find(|place| **place != Place::Unwritten);
    if let (true, Some(place)) = (readable_by_others, inline) {
        let remedy = "chmod 600 the file, or move the keys to one of their own (`keys.file`)";
        problems.warn(place, "others can read the keys in this file", remedy);
    }
    Ok((raw, problems))
}

/// Builds the settings, or returns everything that is wrong.
pub(crate) fn check(raw: &Raw, mut problems: Problems) -> Result<Checked, Problems> {
    let listeners = listeners(raw, &mut problems);
    let servers = servers(raw, &listeners, &mut problems);
    let tls = tls(raw, &mut problems);
    needs_of_tls(raw, tls.as_ref(), &mut problems);
    let selection = selection(raw, &mut problems);
    let keys = keys(raw, &mut problems);
    let register = register(raw, &listeners, &mut problems);
    let heartbeat = heartbeats(raw, &listeners, &mut problems);
    let measures = crate::checked_perf::measures(raw, &mut problems);
    let api = api(raw, &mut problems);
    let peers = peers(raw, &listeners, &mut problems);
    let http = http(raw, &listeners, &mut problems);
    if raw.server.is_empty() && heartbeat.listen.is_none() && !problems.has_errors() {
        let remedy = "name servers with [[server]] (--server), or listen for heartbeats with heartbeat.listen (--heartbeat)";
        problems.error(&Place::Unwritten, "no server can ever be known", remedy);
    }
    if raw.log.choices.value != "off" && raw.log.why_calls.value == 0 {
        let remedy = "set log.why_calls, or leave log.choices out";
        problems.error(&raw.log.choices.place, "choices are noted nowhere: log.why_calls is 0", remedy);
    }
    problems.sort();
    if problems.has_errors() {
        return Err(problems);
    }
    let limits = &raw.limits;
    let seconds = |field: &Field<u64>| Duration::from_secs(field.value);
    let millis = |field: &Field<u64>| Duration::from_millis(field.value);
    let settings = Settings {
        listeners,
        servers,
        affinity: raw.affinity.kind.value,
        selection,
        hash: raw.affinity.hash.value,
        keys,
        threads: threads(raw),
        names: names(&raw.listen),
        tag_header: raw.affinity.tag_header.value,
        new_call_time: seconds(&limits.new_call_seconds),
        new_calls_max: limits.new_calls_max.value as usize,
        session_idle: seconds(&limits.session_idle_seconds),
        sessions_max: limits.sessions_max.value as usize,
        invite_weight_percent: raw.selection.invite_weight_percent.value as u32,
        hold_setup: raw.hold_setup.kind.value,
        retry_refused: raw.hold_setup.retry_refused.value,
        held_max: raw.hold_setup.held_max.value as usize,
        held_bytes_max: raw.hold_setup.held_bytes_max.value as usize,
        retry_after: limits.retry_after_seconds.value as u32,
        register,
        datagram_bytes_max: limits.datagram_bytes_max.value as usize,
        segments_max: limits.segments_max.value as usize,
        tcp_alias: raw.connections.tcp_alias.value,
        probe: raw.health.probe.value,
        probe_interval: millis(&raw.health.interval_ms),
        silence: millis(&raw.health.silence_ms),
        fail_after: raw.health.fail_after.value as u32,
        stay_out: millis(&raw.health.stay_out_ms),
        slow_start: millis(&raw.health.slow_start_ms),
        count_calls: limits.count_calls.value,
        heartbeat,
        peers,
        why_calls: raw.log.why_calls.value as usize,
        score: crate::checked_perf::score(raw),
        measures,
    };
    Ok(Checked {
        settings,
        tls,
        file: problems.source.path.clone(),
        control: raw.control.path.value.clone().unwrap_or_else(control_path),
        faults: place(&raw.log.faults.value),
        choices: place(&raw.log.choices.value),
        log_format: raw.log.format.value,
        drain: Drain { time: seconds(&raw.drain.seconds), new_calls: raw.drain.new_calls.value },
        api,
        http,
        random_keys: raw.keys.tag.value.is_empty() && !key_file_has_tags(raw),
        notices: problems.to_string().lines().map(str::to_owned).collect(),
    })
}

/// Where records go.
fn place(text: &str) -> Faults {
    match text {
        "off" => Faults::Off,
        "stderr" => Faults::Stderr,
        path => Faults::File(path.into()),
    }
}

fn key_file_has_tags(raw: &Raw) -> bool {
    let file = raw.keys.file.value.as_ref().and_then(|path| crate::key_file::KeyFile::read(path).ok());
    file.is_some_and(|file| !file.tag.is_empty())
}

/// Names are one set for all listeners: which one a message came by, its socket says.
fn names(listeners: &[Listen]) -> Vec<String> {
    let mut names: Vec<String> = listeners
        .iter()
        .flat_map(|listen| &listen.names.value)
        .map(|name| name.trim_end_matches('.').to_ascii_lowercase())
        .collect();
    names.sort();
    names.dedup();
    names
}

fn listeners(raw: &Raw, problems: &mut Problems) -> Vec<Listener> {
    let mut listeners: Vec<Listener> = Vec::new();
    if raw.listen.is_empty() {
        let remedy = "add [[listen]] with address = \"udp:127.0.0.1:5060\" (--listen udp:127.0.0.1:5060)";
        problems.error(&Place::Unwritten, "nothing to listen on", remedy);
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
                Place::Option(_) => {
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

/// Listeners and servers that cannot do without what `tls` did not give.
pub(crate) fn needs_of_tls(raw: &Raw, tls: Option<&Tls>, problems: &mut Problems) {
    let named = raw.tls.certificate.is_written() || raw.tls.key.is_written();
    for listen in &raw.listen {
        let own = listen.certificate.is_written() || listen.key.is_written();
        if is_secure(listen) && !own && !named {
            let remedy = "add [tls] with `certificate` and `key` (--certificate FILE --key FILE), or both to the listener";
            problems.error(&listen.address.place, "a listener with TLS needs a certificate", remedy);
        }
    }
    for server in &raw.server {
        let place = &server.address.place;
        match server.address.value.transport {
            Some(Transport::Tls)
                if tls.is_some_and(|tls| tls.client.is_none()) && !raw.tls.server_ca.is_written() =>
            {
                let remedy =
                    "add tls.server_ca (--server-ca): the certificates of those who signed the server's";
                problems.error(place, "nothing to judge the certificate of this server by", remedy);
            }
            Some(Transport::Ws | Transport::Wss) => {
                let what = "servers are not spoken to over WebSocket, only clients are";
                problems.error(place, what, "use udp:, tcp: or tls:");
            }
            _ => {}
        }
    }
}

/// One port that two sockets cannot both have: the same address, or one of them a wildcard.
pub(crate) fn overlaps(a: SocketAddr, b: SocketAddr) -> bool {
    a.port() == b.port()
        && a.is_ipv4() == b.is_ipv4()
        && (a.ip() == b.ip() || a.ip().is_unspecified() || b.ip().is_unspecified())
}

fn servers(raw: &Raw, listeners: &[Listener], problems: &mut Problems) -> Vec<ServerEntry> {
    let mut seen: HashMap<SocketAddr, Place> = HashMap::new();
    let has_udp = listeners.iter().any(|listener| listener.transport == Transport::Udp);
    let default = if has_udp || listeners.is_empty() { Transport::Udp } else { Transport::Tcp };
    let mut servers = Vec::new();
    for server in &raw.server {
        let (address, place) = (server.address.value.address, &server.address.place);
        let transport = server.address.value.transport.unwrap_or(default);
        if let Some(first) = seen.insert(address, place.clone()) {
            let first = match first {
                Place::At(offset) => format!(" (first in line {})", problems.line_and_column(offset).0),
                Place::Unwritten | Place::Option(_) => String::new(),
            };
            let remedy = "name each server once; `weight` gives one a larger share";
            problems.error(place, format!("server {address} is named twice{first}"), remedy);
        }
        if address.ip().is_unspecified() || address.ip().is_multicast() {
            let what = format!("{address} is no address of one server");
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
            let what = format!(
                "server {address} is reached by {token} over {version}, and there is no such listener"
            );
            let remedy = format!(
                "add a listener {token}:… with an {version} address: what servers send back needs it"
            );
            problems.error(place, what, remedy);
        }
        servers.push(ServerEntry { address, transport, weight: server.weight.value as u32 });
    }
    servers
}

fn selection(raw: &Raw, problems: &mut Problems) -> Selection {
    match (raw.affinity.kind.value, raw.selection.kind.value) {
        (Affinity::Hash, None | Some(Selection::Hash)) => Selection::Hash,
        (Affinity::Hash, Some(_)) => {
            let remedy = "leave selection.kind (--selection) out, or use affinity `tag` or `session`";
            let what = "with affinity `hash` the hash chooses the server of a new call too";
            problems.error(&raw.selection.kind.place, what, remedy);
            Selection::Hash
        }
        (Affinity::Session | Affinity::Tag, chosen) => chosen.unwrap_or(Selection::RoundRobin),
    }
}

fn heartbeats(raw: &Raw, listeners: &[Listener], problems: &mut Problems) -> Heartbeats {
    let section = &raw.heartbeat;
    if let Some(listen) = section.listen.value {
        let clash = |other: &&Listener| other.transport == Transport::Udp && overlaps(other.bind, listen);
        if let Some(other) = listeners.iter().find(clash) {
            let what = format!("heartbeats on {listen} meet the SIP listener udp:{}", other.bind);
            problems.error(&section.listen.place, what, "give heartbeats a port of their own");
        }
    }
    if let (Some(listen), None, None) =
        (section.listen.value, &raw.keys.heartbeat.value, &raw.keys.file.value)
        && !listen.ip().is_loopback()
    {
        let what = "heartbeats are not signed: whoever can send one to this port can draw calls";
        let remedy = "strowger key --heartbeat >> farm.keys, and the same file for the agents";
        problems.warn(&section.listen.place, what, remedy);
    }
    if let Some(group) = section.group.value {
        if !group.is_multicast() {
            let remedy = "write an address from 224.0.0.0/4 or ff00::/8, or leave `group` out for unicast and broadcast";
            problems.error(&section.group.place, format!("`group`: {group} is no multicast address"), remedy);
        }
        match section.listen.value {
            None => {
                let remedy = "add `listen`, such as \"0.0.0.0:5777\"";
                problems.error(&section.group.place, "`group` without `listen`", remedy);
            }
            Some(listen) if listen.is_ipv4() != group.is_ipv4() => {
                let what = format!("`group` {group} and `listen` {listen} are of different IP versions");
                problems.error(&section.group.place, what, "use the same IP version for both");
            }
            Some(_) => {}
        }
    }
    if let (Some(size), named) = (section.table_size.value, raw.server.len())
        && (size as usize) < named
    {
        let what = format!("`table_size` is {size}, but {named} servers are named");
        problems.error(&section.table_size.place, what, format!("write at least {named}, or leave it out"));
    }
    Heartbeats {
        listen: section.listen.value,
        group: section.group.value,
        period: Duration::from_millis(section.period_ms.value),
        decay_periods: section.decay_periods.value as u32,
        table_size: section.table_size.value.map(|size| size as usize),
    }
}

fn threads(raw: &Raw) -> Threads {
    match raw.threads.model.value {
        ThreadModel::One => Threads::One,
        ThreadModel::Two => Threads::Two,
        ThreadModel::PerCore => {
            let cores = std::thread::available_parallelism().map_or(1, usize::from).min(64);
            let workers = match raw.threads.workers.value {
                0 => cores as u8,
                workers => workers as u8,
            };
            Threads::PerCore { workers }
        }
    }
}
