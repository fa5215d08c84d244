//! From the load manager's own state to the document that `strowger status` prints.

use std::time::{SystemTime, UNIX_EPOCH};

use base::Time;
use config::word;
use heartbeat::Ignored;
use lb::farm::delays::{BOUNDS_MS, Delay};
use lb::farm::server_table::RowView;
use lb::settings::{Affinity, Threads};
use lb::shared::Shared;

use crate::ctl::Host;
use crate::lb::control::Control;
use crate::report::left::Left;
use crate::report::status::{
    CertificateStatus, Counter, DelayStatus, MemoryStatus, ReasonStatus, ServerStatus, StatusReport,
    WorkerStatus,
};

/// The whole report, as the owner of the tables sees it.
pub(crate) fn report(now: Time, control: &Control, host: &Host) -> StatusReport {
    let shared = control.shared();
    let settings = &shared.settings;
    let snapshot = shared.snapshot();
    let rows = control.rows(now);
    let active = snapshot.active().active();
    StatusReport {
        version: env!("CARGO_PKG_VERSION").into(),
        pid: std::process::id(),
        uptime_seconds: now.since(host.started).as_secs(),
        epoch: snapshot.epoch,
        listeners: settings.listeners.iter().map(listener).collect(),
        affinity: word(settings.affinity).into(),
        selection: word(settings.selection).into(),
        hash: word(settings.hash).into(),
        threads: threads(settings.threads),
        servers: rows.iter().map(|row| server(&shared, row, control.left_of(row))).collect(),
        active: active
            .map(|candidate| u32::from(snapshot.servers()[usize::from(candidate.position)].index))
            .collect(),
        memory: memory(&shared),
        certificates: shown(host).into_iter().map(certificate).collect(),
        counters: counters(control, host),
        workers: host.workers.iter().enumerate().map(WorkerStatus::of).collect(),
        names: control.names().map(|names| names.status(now)).unwrap_or_default(),
    }
}

/// Every certificate of new connections, once.
fn shown(host: &Host) -> Vec<config::Shown> {
    let mut shown = host.certificates.shown();
    let of_api = host.https.load_full().map(|https| https.shown.clone());
    shown.extend(of_api.filter(|one| !host.certificates.shown().contains(one)));
    shown
}

fn certificate(shown: config::Shown) -> CertificateStatus {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs() as i64);
    CertificateStatus {
        file: shown.file.display().to_string(),
        ends: shown.ends,
        last_day: shown.last_day(),
        left_seconds: shown.ends.saturating_sub(now),
    }
}

fn memory(shared: &Shared) -> Vec<MemoryStatus> {
    let known = shared.calls.known_calls();
    let name = if shared.settings.affinity == Affinity::Session { "sessions" } else { "new calls" };
    let mut memory = vec![MemoryStatus {
        name: name.into(),
        entries: known.len() as u64,
        entries_max: known.entries_max() as u64,
        bytes: known.bytes() as u64,
        bytes_max: None,
    }];
    if let Some(ledger) = &shared.tables.ledger {
        memory.push(MemoryStatus {
            name: "ledger".into(),
            entries: ledger.entries().len() as u64,
            entries_max: ledger.entries().entries_max() as u64,
            bytes: ledger.entries().bytes() as u64,
            bytes_max: None,
        });
    }
    memory.push(MemoryStatus {
        name: "held set-ups".into(),
        entries: shared.held.len() as u64,
        entries_max: shared.held.limits().entries_max as u64,
        bytes: shared.held.bytes() as u64,
        bytes_max: Some(shared.held.limits().bytes_max as u64),
    });
    memory.push(MemoryStatus {
        name: "registrations".into(),
        entries: shared.registrations.len() as u64,
        entries_max: shared.registrations.entries_max() as u64,
        bytes: shared.registrations.bytes() as u64,
        bytes_max: Some(shared.registrations.bytes_max() as u64),
    });
    memory
}

/// Every counter of the process, by name.
pub(crate) fn counters(control: &Control, host: &Host) -> Vec<Counter> {
    let named = |name: &str, value| Counter { name: name.into(), value };
    let shared = control.shared();
    let mut all: Vec<Counter> = lb::counters::Counter::ALL
        .iter()
        .map(|counter| named(counter.name(), shared.count_of(*counter)))
        .collect();
    all.push(named("heartbeats", control.heartbeats.counts.accepted));
    all.push(named("heartbeats_refused", control.heartbeats.counts.refused));
    for reason in Ignored::ALL {
        let name = format!("heartbeats_ignored_{}", reason.name());
        all.push(named(&name, control.heartbeats.counts.ignored[reason.index()]));
    }
    if let Some(measuring) = control.measuring() {
        all.extend(measuring.counters());
        all.push(named("perf_unknown_servers", control.measured_unknown));
    }
    if let Some(names) = control.names() {
        all.extend(names.counters());
    }
    for (name, value) in host.api.read() {
        all.push(named(name, value));
    }
    for (name, value) in host.converged.iter().flat_map(|front| front.counters.read()) {
        all.push(named(name, value));
    }
    if let Some(peers) = &host.peers {
        all.extend(peers.counters.read().into_iter().map(|(name, value)| Counter { name, value }));
    }
    all.push(named("faults_written", host.faults.written()));
    all.push(named("faults_dropped", host.faults.dropped()));
    all.push(named("faults_failed", host.faults.failed()));
    for (name, value) in host.choices.counters().read() {
        all.push(named(name, value));
    }
    // The counters of the sockets, summed over the workers.
    let mut sums: Vec<(&str, u64)> = Vec::new();
    for worker in &host.workers {
        for (at, (name, value)) in worker.counters().read().enumerate() {
            match sums.get_mut(at) {
                Some(sum) => sum.1 += value,
                None => sums.push((name, value)),
            }
        }
    }
    all.extend(sums.into_iter().map(|(name, value)| named(name, value)));
    all
}

fn server(shared: &Shared, row: &RowView, left: Option<Left>) -> ServerStatus {
    let load = row.load.unwrap_or_default();
    ServerStatus {
        index: row.index as u32,
        address: Some(row.address),
        transport: row.transport.word().into(),
        state: row.condition.name().into(),
        reason: row.cause.to_string(),
        since_seconds: row.unchanged_for.as_secs(),
        heartbeat_id: row.heartbeat_id,
        state_tier: row.state_tier,
        heartbeat_age_ms: row.heartbeat_age.map(|age| age.as_millis() as u64),
        weight: row.weight,
        priority: u32::from(row.priority),
        calls_max: row.calls_max,
        calls_per_second_max: row.calls_per_second_max,
        at_limit: row.at_limit,
        load_permille: row.load_permille,
        cpu_permille: load.cpu_permille.map(u32::from),
        memory_available_kib: load.memory_available_kib,
        score: row.score.map(|score| score.points()),
        residual_calls: load.residual_calls,
        calls: row.in_progress.map(|hundredths| u64::from(hundredths / 100)),
        messages: row.evidence.sent,
        failures: row.evidence.unreachable,
        new_calls: row.new_calls,
        failed: row.evidence.failed,
        measured_age_ms: row.measured_age.map(|age| age.as_millis() as u64),
        measured_down: row.measured_down,
        network_permille: load.network_permille.map(u32::from),
        latency_us: load.latency_us,
        reasons: row.reasons.iter().map(reason).collect(),
        left,
        share_permille: u32::from(row.share_permille),
        delays: delays(shared, row),
    }
}

fn delays(shared: &Shared, row: &RowView) -> Vec<DelayStatus> {
    let one = |what: &Delay| {
        let histogram = shared.tables.delays.of(row.seat, *what);
        let (name, result) = match what {
            Delay::Session => ("session request", "successful"),
            Delay::FailedSession => ("session request", "failed"),
            Delay::Disconnect => ("session disconnect", "successful"),
            Delay::FailedDisconnect => ("session disconnect", "failed"),
            Delay::Registration => ("registration request", "successful"),
        };
        (histogram.count() > 0).then(|| DelayStatus {
            name: name.into(),
            result: result.into(),
            bounds_ms: BOUNDS_MS.to_vec(),
            counts: histogram.counts.to_vec(),
            sum_us: histogram.sum_us,
        })
    };
    Delay::ALL.iter().filter_map(one).collect()
}

fn reason(reason: &lb::farm::server_table::Reason) -> ReasonStatus {
    ReasonStatus {
        source: reason.source.name().into(),
        says: reason.cause.to_string(),
        allows: reason.allows.name().into(),
        since_seconds: reason.for_time.as_secs(),
    }
}

fn listener(listener: &lb::settings::Listener) -> String {
    format!("{}:{}", listener.transport.word(), listener.bind)
}

fn threads(threads: Threads) -> String {
    match threads {
        Threads::One => "one".into(),
        Threads::Two => "two".into(),
        Threads::PerCore { workers } => format!("per core, {workers} workers"),
    }
}
