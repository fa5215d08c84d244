//! The checks of a load manager as a whole: this file combines the results of its parts' checks, and checks what no part can
//! check alone.

use std::path::PathBuf;
use std::time::Duration;

use heartbeat::measure::Measures;
use lb::settings::{Affinity, Keys, Listener, Peers, Selection, Settings, Threads};

use crate::checks::heartbeats::{heartbeats, heartbeats_fit};
use crate::checks::http::{Http, http};
use crate::checks::keys::{KeysFound, keys};
use crate::checks::listeners::{listeners, names};
use crate::checks::peers::peers;
use crate::checks::process::{Faults, Process, Sections, place, process};
use crate::checks::register::{reach_registrars, register};
use crate::checks::resolver::{Resolving, resolving};
use crate::checks::run::run_section;
use crate::checks::servers::{NamedServers, Servers, servers, servers_need_of_tls};
use crate::checks::tolerance::option_tags;
use crate::checks::without_effect::without_effect;
use crate::language::problem::{Problems, SourcePosition};
use crate::language::role::Differs;
use crate::language::section::Field;
use crate::language::value::Wrong;
use crate::sections::roles::Raw;
use crate::sections::words::{NewCalls, ThreadModel};

/// Most set-ups are over after this time; the next start does not know the set-ups of the last seconds.
const DRAIN_SECONDS: u64 = 10;

/// A configuration that fits together.
#[derive(Clone, Debug)]
pub struct Checked {
    pub settings: Settings,
    /// Servers that are found by their names.
    pub named_servers: Vec<NamedServers>,
    pub resolving: Resolving,
    pub process: Process,
    /// The file that this was read from.
    pub file: Option<PathBuf>,
    /// The destination of the records of choices.
    pub choices: Faults,
    /// The file that keeps the memory of calls between two runs.
    pub memory_file: Option<PathBuf>,
    pub drain: Drain,
    /// HTTP to the servers. `None`: there is none.
    pub http: Option<Http>,
    /// The configuration has no tag key: those in the settings were made for this run.
    pub random_keys: bool,
    /// Warnings for the operator at start: settings that work but that the operator should know.
    pub notices: Vec<String>,
    /// All keys. A key that is left out has the value that it means here.
    pub(crate) written: Raw,
}

impl Checked {
    /// The keys that differ between this configuration and `after`. Servers, polled places, secrets, certificates and tokens
    /// are not among them: the caller compares those.
    pub fn differences(&self, after: &Checked) -> Vec<Differs> {
        self.written.differences(&after.written)
    }

    /// Keys in the file that only a restart can change.
    pub fn written_for_a_start(&self) -> Vec<String> {
        self.written.written_for_a_start()
    }

    /// Changes one key of the settings, by the text of its value.
    pub fn set(&mut self, key: &str, text: &str) -> Result<(), Wrong> {
        self.written.set(key, text, &SourcePosition::Option(format!("{key} {text}")))?;
        let Settings { listeners, servers, names, keys, peers, measures, .. } = self.settings.clone();
        let servers = Servers { at_addresses: servers, named: self.named_servers.clone() };
        self.settings = settings(&self.written, Found { listeners, servers, names, keys, peers, measures });
        Ok(())
    }
}

/// What happens at SIGTERM.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Drain {
    pub time: Duration,
    pub new_calls: NewCalls,
}

/// The parts of the settings that are not values of single keys.
struct Found {
    listeners: Vec<Listener>,
    servers: Servers,
    names: Vec<String>,
    keys: Keys,
    peers: Option<Peers>,
    measures: Measures,
}

/// Builds the settings, or returns everything that is wrong.
pub(crate) fn check(mut raw: Raw, mut problems: Problems) -> Result<Checked, Problems> {
    let listeners = listeners(&raw.listen, &mut problems);
    let names = names(&raw.listen, &mut problems);
    let servers = servers(&raw, &listeners, &mut problems);
    let sections = Sections {
        listen: &raw.listen,
        tls: &raw.tls,
        certificates: &raw.certificate,
        connections: &raw.connections,
        api: &raw.api,
        control: &raw.control,
        log: &raw.log,
    };
    let process = process(&sections, &mut problems);
    servers_need_of_tls(&raw, process.tls.as_ref(), &mut problems);
    let resolving = resolving(&raw, &mut problems);
    option_tags(&raw.tolerance.proxy_require, &mut problems);
    let selection = selection(&raw, &mut problems);
    let KeysFound { keys, random: random_keys } = keys(&raw.keys, &mut problems);
    reach_registrars(&raw, &listeners, &mut problems);
    heartbeats_fit(&raw, &listeners, &mut problems);
    let measures = super::perf::measures(&raw, &mut problems);
    super::perf::open_without_key(&raw, &mut problems);
    let peers = peers(&raw, &listeners, &mut problems);
    let http = http(&raw, &listeners, &mut problems);
    run_section(&raw.run, &mut problems);
    // A farm of `strowger run` gets its heartbeats from there.
    let has_engines = !raw.run.to.value.is_empty();
    if raw.server.is_empty() && raw.heartbeat.listen.value.is_none() && !has_engines && !problems.has_errors()
    {
        let remedy = "name servers with [[server]] (--server), or listen for heartbeats with heartbeat.listen (--heartbeat)";
        problems.error(&SourcePosition::Unwritten, "the load manager can never know a server", remedy);
    }
    without_effect(&raw, &mut problems);
    problems.sort();
    if problems.has_errors() {
        return Err(problems);
    }
    raw.selection.kind.value = Some(selection);
    fill(&mut raw, &listeners, &names, random_keys, &process);
    let choices = place(&raw.log.choices.value);
    let named_servers = servers.named.clone();
    Ok(Checked {
        settings: settings(&raw, Found { listeners, servers, names, keys, peers, measures }),
        named_servers,
        resolving,
        process,
        file: problems.source.path.clone(),
        choices,
        memory_file: raw.memory.file.value.clone(),
        drain: Drain {
            time: Duration::from_secs(raw.drain.seconds.value.unwrap_or(DRAIN_SECONDS)),
            new_calls: raw.drain.new_calls.value,
        },
        http,
        random_keys,
        notices: problems.to_string().lines().map(str::to_owned).collect(),
        written: raw,
    })
}

/// Gives each key that is left out, or that has no effect, the value that it means. Two configurations with the same meaning
/// are then equal.
fn fill(raw: &mut Raw, listeners: &[Listener], names: &[String], random_keys: bool, process: &Process) {
    for (listen, listener) in raw.listen.iter_mut().zip(listeners) {
        listen.address.value.transport = Some(listener.transport);
        listen.advertise.value = Some(listener.known_as());
        listen.names.value.clear();
    }
    // The names of all listeners are one set.
    if let Some(first) = raw.listen.first_mut() {
        first.names.value = names.to_vec();
    }
    raw.threads.workers.value = match raw.threads.model.value {
        ThreadModel::One | ThreadModel::Two => 1,
        ThreadModel::PerCore if raw.threads.workers.value == 0 => {
            std::thread::available_parallelism().map_or(1, usize::from).min(64) as u64
        }
        ThreadModel::PerCore => raw.threads.workers.value,
    };
    raw.drain.seconds.value.get_or_insert(match goes_on(raw, random_keys) {
        true => 0,
        false => DRAIN_SECONDS,
    });
    raw.control.path.value = Some(process.control.clone());
    let idle = Raw::defaults();
    if raw.api.listen.value.is_none() {
        raw.api = idle.api;
    }
    if raw.http.listen.value.is_none() {
        raw.http = idle.http;
    }
    if raw.peers.listen.value.is_none() {
        raw.peers = idle.peers;
    }
}

/// If the next start can go on with every call, waiting would only refuse new calls: the tag or the hash in each message gives
/// the server of the call. Without today's key, nobody could read the tags after the restart; and a list of sessions ends with
/// the process, unless it is written to a file.
fn goes_on(raw: &Raw, random_keys: bool) -> bool {
    !random_keys && (raw.affinity.kind.value != Affinity::Session || raw.memory.file.value.is_some())
}

/// The settings, from keys that are filled in.
fn settings(raw: &Raw, found: Found) -> Settings {
    let Found { listeners, servers, names, keys, peers, measures } = found;
    let limits = &raw.limits;
    let limited = servers.at_addresses.iter().map(|server| server.calls_max);
    let must_count =
        limited.chain(servers.named.iter().map(|named| named.calls_max)).any(|max| max.is_some());
    let seconds = |field: &Field<u64>| Duration::from_secs(field.value);
    let millis = |field: &Field<u64>| Duration::from_millis(field.value);
    Settings {
        listeners,
        servers: servers.at_addresses,
        affinity: raw.affinity.kind.value,
        selection: raw.selection.kind.value.unwrap_or(Selection::RoundRobin),
        hash: raw.affinity.hash.value,
        keys,
        threads: threads(raw),
        names,
        proxy_require: sip::Passing::new(raw.tolerance.proxy_require.value.iter().map(String::as_str)),
        stray_bytes: raw.tolerance.stray_bytes.value,
        by_replaces: raw.affinity.replaces.value,
        by_presentity: raw.affinity.presentity.value,
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
        register: register(&raw.register),
        datagram_bytes_max: limits.datagram_bytes_max.value as usize,
        segments_max: limits.segments_max.value as usize,
        tcp_alias: raw.connections.tcp_alias.value,
        probe: raw.health.probe.value,
        probe_interval: millis(&raw.health.interval_ms),
        silence: millis(&raw.health.silence_ms),
        fail_after: raw.health.fail_after.value as u32,
        stay_out: millis(&raw.health.stay_out_ms),
        slow_start: millis(&raw.health.slow_start_ms),
        answer_options: raw.health.answer_options.value,
        count_calls: limits.count_calls.value || must_count,
        heartbeat: heartbeats(&raw.heartbeat),
        peers,
        why_calls: raw.log.why_calls.value as usize,
        score: super::perf::score(raw),
        measures,
    }
}

fn selection(raw: &Raw, problems: &mut Problems) -> Selection {
    match (raw.affinity.kind.value, raw.selection.kind.value) {
        (Affinity::Hash, None | Some(Selection::Hash)) => Selection::Hash,
        (Affinity::Hash, Some(_)) => {
            let remedy = "leave selection.kind (--selection) out, or use affinity `tag` or `session`";
            let what = "with affinity `hash`, the hash also chooses the server of a new call";
            problems.error(&raw.selection.kind.place, what, remedy);
            Selection::Hash
        }
        (Affinity::Session | Affinity::Tag, chosen) => chosen.unwrap_or(Selection::RoundRobin),
    }
}

fn threads(raw: &Raw) -> Threads {
    match raw.threads.model.value {
        ThreadModel::One => Threads::One,
        ThreadModel::Two => Threads::Two,
        ThreadModel::PerCore => Threads::PerCore { workers: raw.threads.workers.value as u8 },
    }
}
