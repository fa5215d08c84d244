//! The checks of a load manager as a whole: this file puts together what the checks of its parts made, and checks what only
//! the whole shows.

use std::path::PathBuf;
use std::time::Duration;

use lb::settings::{Affinity, Selection, Settings, Threads};

use crate::checks::api::{Api, api};
use crate::checks::heartbeats::heartbeats;
use crate::checks::http::{Http, http};
use crate::checks::keys::keys;
use crate::checks::listeners::{listeners, names};
use crate::checks::peers::peers;
use crate::checks::register::register;
use crate::checks::servers::servers;
use crate::checks::tls::{Tls, needs_of_tls, tls};
use crate::checks::without_effect::without_effect;
use crate::files::control_path::control_path;
use crate::language::problem::{Problems, SourcePosition};
use crate::language::section::Field;
use crate::sections::definition::{Raw, ThreadModel};
use crate::sections::log_filter::LogFilter;
use crate::sections::words::{LogFormat, NewCalls};

/// The next start would not know the set-ups of the last seconds; most of them are over after this time.
const DRAIN_SECONDS: u64 = 10;

/// A configuration that fits together.
#[derive(Clone, Debug)]
pub struct Checked {
    pub settings: Settings,
    /// Certificates and keys. `None`: the configuration names none.
    pub tls: Option<Tls>,
    /// The file that this was read from.
    pub file: Option<PathBuf>,
    /// The unix socket that `strowger status` asks.
    pub control: PathBuf,
    pub faults: Faults,
    /// Where choices of servers are written.
    pub choices: Faults,
    pub log_format: LogFormat,
    pub log_filter: LogFilter,
    pub drain: Drain,
    pub streams: Streams,
    /// `None`: no HTTP API.
    pub api: Option<Api>,
    /// HTTP to the servers. `None`: there is none.
    pub http: Option<Http>,
    /// The configuration has no tag key: those in the settings were made for this run.
    pub random_keys: bool,
    /// Warnings for the operator at start: things that work, but that the operator should know.
    pub notices: Vec<String>,
}

/// How long connections may be silent, and how many bytes may wait on them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Streams {
    pub client_idle: Duration,
    pub server_idle: Duration,
    /// How long a connection is silent before the kernel asks. `None`: never.
    pub keep_alive: Option<Duration>,
    /// Bound of the whole process.
    pub buffered_bytes_max: usize,
}

/// What happens at SIGTERM.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Drain {
    pub time: Duration,
    pub new_calls: NewCalls,
}

/// Where records go: fault records, or choices of servers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Faults {
    Off,
    Stderr,
    File(PathBuf),
}

/// Builds the settings, or returns everything that is wrong.
pub(crate) fn check(raw: &Raw, mut problems: Problems) -> Result<Checked, Problems> {
    let listeners = listeners(raw, &mut problems);
    let names = names(&raw.listen, &mut problems);
    let servers = servers(raw, &listeners, &mut problems);
    let tls = tls(raw, &mut problems);
    needs_of_tls(raw, tls.as_ref(), &mut problems);
    let selection = selection(raw, &mut problems);
    let keys = keys(raw, &mut problems);
    let register = register(raw, &listeners, &mut problems);
    let heartbeat = heartbeats(raw, &listeners, &mut problems);
    let measures = super::perf::measures(raw, &mut problems);
    super::perf::open_without_key(raw, &mut problems);
    let api = api(raw, &mut problems);
    let peers = peers(raw, &listeners, &mut problems);
    let http = http(raw, &listeners, &mut problems);
    if raw.server.is_empty() && heartbeat.listen.is_none() && !problems.has_errors() {
        let remedy = "name servers with [[server]] (--server), or listen for heartbeats with heartbeat.listen (--heartbeat)";
        problems.error(&SourcePosition::Unwritten, "the load manager can never know a server", remedy);
    }
    without_effect(raw, &mut problems);
    let log_filter = LogFilter::parse(&raw.log.filter.value).unwrap_or_else(|what| {
        problems.error(
            &raw.log.filter.place,
            what,
            "write a level, or a level and MODULE=LEVEL, as in info,net=debug",
        );
        LogFilter::default()
    });
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
        names,
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
        score: super::perf::score(raw),
        measures,
    };
    let random_keys = raw.keys.tag.value.is_empty() && !key_file_has_tags(raw);
    Ok(Checked {
        settings,
        tls,
        file: problems.source.path.clone(),
        control: raw.control.path.value.clone().unwrap_or_else(control_path),
        faults: place(&raw.log.faults.value),
        choices: place(&raw.log.choices.value),
        log_format: raw.log.format.value,
        streams: Streams {
            client_idle: seconds(&raw.connections.client_idle_seconds),
            server_idle: seconds(&raw.connections.server_idle_seconds),
            keep_alive: Some(seconds(&raw.connections.keep_alive_seconds)).filter(|time| !time.is_zero()),
            buffered_bytes_max: raw.connections.buffered_bytes_max.value as usize,
        },
        drain: drain(raw, random_keys),
        log_filter,
        api,
        http,
        random_keys,
        notices: problems.to_string().lines().map(str::to_owned).collect(),
    })
}

/// Where the next start goes on with every call, waiting would only refuse new calls: the tag or the hash in each message
/// gives the server of the call. Without today's key, nobody could read the tags after the restart; and a list of sessions
/// ends with the process.
fn drain(raw: &Raw, random_keys: bool) -> Drain {
    let goes_on = !random_keys && raw.affinity.kind.value != Affinity::Session;
    let seconds = raw.drain.seconds.value.unwrap_or(if goes_on { 0 } else { DRAIN_SECONDS });
    Drain { time: Duration::from_secs(seconds), new_calls: raw.drain.new_calls.value }
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
    let file = raw.keys.file.value.as_ref().and_then(|path| crate::files::keys::KeyFile::read(path).ok());
    file.is_some_and(|file| !file.tag.is_empty())
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
