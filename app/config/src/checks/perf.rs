//! The checks of scores and polls, and of the file that a performance server in a process of its own needs.

use std::collections::HashSet;
use std::net::SocketAddr;
use std::time::Duration;

use base::Key;
use heartbeat::measure::{By, Measured, Measures};
use lb::farm::score::ScoreSettings;

use crate::checks::keys::keys;
use crate::language::problem::{Problems, SourcePosition};
use crate::sections::roles::Raw;

/// The number of rows of a server table. Each poll costs a descriptor.
const MEASURED_MAX: usize = 4096;

/// Settings of a performance server in a process of its own.
#[derive(Clone, Debug)]
pub struct Perf {
    pub measures: Measures,
    /// The key that agents and load managers sign with. `None`: every peer is believed and answered.
    pub key: Option<Key>,
    /// Warnings for the operator at start.
    pub notices: Vec<String>,
}

pub(crate) fn score(raw: &Raw) -> ScoreSettings {
    let section = &raw.score;
    ScoreSettings {
        cpu_weight: section.cpu_weight.value as u32,
        memory_weight: section.memory_weight.value as u32,
        network_weight: section.network_weight.value as u32,
        calls_weight: section.calls_weight.value as u32,
        failures_weight: section.failures_weight.value as u32,
        latency_weight: section.latency_weight.value as u32,
        latency_half_us: section.latency_half_ms.value as u32 * 1000,
        cpu_max_permille: section.cpu_max_percent.value as u16 * 10,
        memory_min_kib: section.memory_min_kib.value,
    }
}

pub(crate) fn measures(raw: &Raw, problems: &mut Problems) -> Measures {
    let (mut measured, mut seen) = (Vec::new(), HashSet::new());
    if let Some(one_too_many) = raw.measure.get(MEASURED_MAX) {
        let what = format!("there are more than {MEASURED_MAX} places to poll");
        problems.error(
            &one_too_many.address.place,
            what,
            "let a second performance server poll some of them",
        );
    }
    for section in raw.measure.iter().take(MEASURED_MAX) {
        let (by, address) = (section.by.value, section.address.value);
        let server = match (by, section.server.value) {
            (By::Options, None) => Some(address),
            (By::AgentCheck, None) => {
                let what = "an answer of an agent-check does not name its server";
                problems.error(&section.address.place, what, "add `server`, the SIP address of the server");
                continue;
            }
            (By::PerformanceServer, Some(_)) => {
                let what = "the answers of a performance server name their servers";
                problems.error(&section.server.place, what, "leave `server` out");
                continue;
            }
            (_, server) => server,
        };
        if address.ip().is_unspecified() || address.ip().is_multicast() {
            let what = format!("{address} is not an address that can be polled");
            problems.error(&section.address.place, what, "write the address where the place listens");
        }
        if !seen.insert((by, address)) {
            let what = format!("{address} is written twice");
            problems.error(&section.address.place, what, "write each place once");
        }
        measured.push(Measured { by, address, server });
    }
    let (poll, within) = (&raw.perf.poll_ms, &raw.perf.answer_within_ms);
    Measures {
        measured,
        poll: Duration::from_millis(poll.value),
        answer_within: Duration::from_millis(within.value),
        listen: raw.perf.listen.value,
    }
}

/// For the performance server inside a load manager. `strowger perf` has its own warning.
pub(crate) fn open_without_key(raw: &Raw, problems: &mut Problems) {
    if let (Some(listen), None, None) =
        (raw.perf.listen.value, &raw.keys.heartbeat.value, &raw.keys.file.value)
        && !listen.ip().is_loopback()
    {
        let what = "the performance server answers everyone: there is no heartbeat key";
        let remedy = "strowger key --heartbeat >> farm.keys; then keys.file, the same file for all; or listen on 127.0.0.1";
        problems.warn(&raw.perf.listen.place, what, remedy);
    }
}

pub(crate) fn perf(raw: &Raw, mut problems: Problems) -> Result<Perf, Problems> {
    let measures = measures(raw, &mut problems);
    // The tag keys are checked with the rest. A performance server needs none, so a missing tag key gives no warning here.
    let mut aside = Problems::new(problems.source.clone());
    let keys = keys(&raw.keys, &mut aside).keys;
    if aside.has_errors() {
        problems.take_errors(aside);
    }
    if measures.measured.is_empty() && !problems.has_errors() {
        let remedy =
            "add [[measure]] with by = \"agent\" and the address of an agent (--agent 10.0.0.11:5778)";
        problems.error(&SourcePosition::Unwritten, "there is no place to poll", remedy);
    }
    let open = |address: &SocketAddr| !address.ip().is_loopback();
    if keys.heartbeat.is_none()
        && (measures.measured.iter().map(|one| &one.address).chain(&measures.listen)).any(open)
    {
        let what =
            "there is no heartbeat key: unsigned answers of agents are believed, and everyone is answered";
        problems.warn(
            &SourcePosition::Unwritten,
            what,
            "strowger key --heartbeat >> farm.keys; then keys.file, the same file for all",
        );
    }
    problems.sort();
    if problems.has_errors() {
        return Err(problems);
    }
    let notices = problems.to_string().lines().map(str::to_owned).collect();
    Ok(Perf { measures, key: keys.heartbeat, notices })
}
