//! The status report as text for people.

use std::fmt::Write as _;

use crate::report::names;
use crate::report::status::{Counter, ServerStatus, StatusReport, WorkerStatus};
use crate::report::table::{aligned, or_dash};

pub(crate) fn for_people(report: &StatusReport) -> String {
    let mut text = String::new();
    let _ = writeln!(
        text,
        "strowger {}, process {}, up {}; {}\naffinity {}, selection {}, hash {}, threads {}; epoch {}",
        report.version,
        report.pid,
        duration(report.uptime_seconds),
        report.listeners.join(" "),
        report.affinity,
        report.selection,
        report.hash,
        report.threads,
        report.epoch
    );
    let _ = write!(text, "\nServers\n{}", servers(report));
    let draining = report.servers.iter().filter_map(|server| Some((server, server.left.as_ref()?)));
    for (server, left) in draining {
        let address = server.address.map_or_else(String::new, |address| address.to_string());
        let at_least = if left.all_known { "" } else { "at least " };
        let _ = writeln!(
            text,
            "  {address} drains: {at_least}{} calls left, nothing was sent to the server for {} ({})",
            left.calls,
            duration(left.quiet_seconds),
            left.known_by
        );
    }
    text.push_str(&names::table(&report.names, duration));
    let active: Vec<String> = report.active.iter().map(u32::to_string).collect();
    let none = "none; new calls are answered 503";
    let _ =
        writeln!(text, "\nActive table: {}", if active.is_empty() { none.into() } else { active.join(" ") });
    if !report.memory.is_empty() {
        let rows: Vec<Vec<String>> = report
            .memory
            .iter()
            .map(|row| {
                vec![
                    row.name.clone(),
                    row.entries.to_string(),
                    row.entries_max.to_string(),
                    size(row.bytes),
                    or_dash(row.bytes_max.map(size)),
                ]
            })
            .collect();
        let _ = write!(
            text,
            "\nMemory\n{}",
            aligned(&["what", "entries", "at most", "memory", "at most"], &rows)
        );
    }
    for certificate in &report.certificates {
        let left = duration(certificate.left_seconds.unsigned_abs());
        let until = match certificate.left_seconds {
            0.. => format!("is valid until {}, {left} more", certificate.last_day),
            _ => format!("HAS ENDED on {}, {left} ago: clients refuse it", certificate.last_day),
        };
        let _ = writeln!(text, "\nCertificate {} {until}", certificate.file);
    }
    if !report.workers.is_empty() {
        let _ = write!(text, "\nWorkers\n{}", workers(&report.workers));
    }
    text.push_str(&counted(&report.counters));
    text
}

pub(crate) fn workers(workers: &[WorkerStatus]) -> String {
    let figures = |row: &WorkerStatus| {
        [u64::from(row.index), row.messages_in, row.messages_out, row.connections, row.lost]
    };
    let rows: Vec<Vec<String>> =
        workers.iter().map(|row| figures(row).iter().map(u64::to_string).collect()).collect();
    aligned(&["worker", "messages in", "messages out", "connections", "lost"], &rows)
}

/// A table of the counters that are not zero. Empty, if all are.
pub(crate) fn counted(counters: &[Counter]) -> String {
    let rows: Vec<Vec<String>> = counters
        .iter()
        .filter(|counter| counter.value > 0)
        .map(|counter| vec![counter.name.clone(), counter.value.to_string()])
        .collect();
    match rows.is_empty() {
        true => String::new(),
        false => format!("\nCounters (without those at zero)\n{}", aligned(&["what", "count"], &rows)),
    }
}

fn servers(report: &StatusReport) -> String {
    let rows: Vec<Vec<String>> = report
        .servers
        .iter()
        .map(|server| {
            vec![
                server.index.to_string(),
                server
                    .address
                    .map_or_else(|| "-".into(), |address| format!("{}:{address}", server.transport)),
                state(server),
                duration(server.since_seconds),
                or_dash(server.heartbeat_age_ms.map(|age| heartbeat(age, server.heartbeat_id))),
                or_dash(server.load_permille.map(|load| format!("{}.{} %", load / 10, load % 10))),
                or_dash(server.score),
                or_dash(server.residual_calls),
                calls(server),
                server.messages.to_string(),
                (server.failures + server.failed).to_string(),
                server.reason.clone(),
            ]
        })
        .collect();
    let head = [
        "index",
        "address",
        "state",
        "since",
        "heartbeat",
        "load",
        "score",
        "room",
        "calls",
        "messages",
        "failures",
        "reason",
    ];
    aligned(&head, &rows)
}

/// Calls in progress, and how many there may be.
fn calls(server: &ServerStatus) -> String {
    match server.calls_max {
        Some(max) => format!("{} of {max}", or_dash(server.calls)),
        None => or_dash(server.calls),
    }
}

/// The state, with the priority of a server that is not among the first.
fn state(server: &ServerStatus) -> String {
    match server.priority {
        0 => server.state.clone(),
        priority => format!("{}, priority {priority}", server.state),
    }
}

/// The age of the last heartbeat, and the id in it.
fn heartbeat(age_ms: u64, id: Option<u32>) -> String {
    id.map_or_else(|| format!("{age_ms} ms"), |id| format!("{age_ms} ms, id {id}"))
}

/// The two largest units: `3 d 4 h`, `5 min 6 s`.
pub(crate) fn duration(seconds: u64) -> String {
    let parts =
        [(seconds / 86400, "d"), (seconds / 3600 % 24, "h"), (seconds / 60 % 60, "min"), (seconds % 60, "s")];
    let first = parts.iter().position(|(count, _)| *count > 0).unwrap_or(3);
    let shown: Vec<String> =
        parts[first..].iter().take(2).map(|(count, unit)| format!("{count} {unit}")).collect();
    shown.join(" ")
}

pub(crate) fn size(bytes: u64) -> String {
    match bytes {
        0..10_240 => format!("{bytes} B"),
        10_240..10_485_760 => format!("{} KiB", bytes / 1024),
        _ => format!("{} MiB", bytes / 1_048_576),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::status::{CertificateStatus, MemoryStatus, ServerStatus};

    #[test]
    fn a_report_reads_like_this() {
        let server = |index: u32, state: &str, reason: &str| ServerStatus {
            index,
            address: Some(([127, 0, 0, 1], 7000 + index as u16).into()),
            transport: "udp".into(),
            state: state.into(),
            reason: reason.into(),
            since_seconds: 3661,
            heartbeat_age_ms: (index == 0).then_some(412),
            load_permille: Some(205),
            messages: 1200,
            ..ServerStatus::default()
        };
        let report = StatusReport {
            version: "0.1.0".into(),
            pid: 7,
            listeners: vec!["udp:127.0.0.1:5060".into()],
            affinity: "tag".into(),
            selection: "cjsq".into(),
            hash: "consistent".into(),
            threads: "per-core".into(),
            servers: vec![
                server(0, "active", "heartbeat"),
                server(1, "failed", "no heartbeat for 3 periods"),
            ],
            active: vec![0],
            memory: vec![MemoryStatus {
                name: "new calls".into(),
                entries: 5,
                entries_max: 1000,
                bytes: 20480,
                bytes_max: None,
            }],
            counters: vec![
                Counter { name: "forged tags".into(), value: 3 },
                Counter { name: "short datagrams".into(), value: 0 },
            ],
            certificates: [("good.pem", 90_000), ("old.pem", -7200)]
                .map(|(file, left_seconds)| {
                    let last_day = "2026-11-21".into();
                    CertificateStatus { file: file.into(), ends: 0, last_day, left_seconds }
                })
                .into(),
            workers: vec![WorkerStatus { messages_in: 10, messages_out: 9, ..WorkerStatus::default() }],
            ..StatusReport::default()
        };
        let text = for_people(&report);
        assert!(text.contains("\n      0  udp:127.0.0.1:7000  active"), "{text}");
        assert!(text.contains("412 ms  20.5 %"), "{text}");
        assert!(text.contains("no heartbeat for 3 periods\n"), "{text}");
        assert!(text.contains("forged tags") && !text.contains("short datagrams"), "{text}");
        assert!(text.contains("Active table: 0\n"), "{text}");
        assert!(text.contains("20 KiB"), "{text}");
        assert!(text.contains("Certificate good.pem is valid until 2026-11-21, 1 d 1 h more\n"), "{text}");
        assert!(text.contains("Certificate old.pem HAS ENDED on 2026-11-21, 2 h 0 min ago"), "{text}");
    }

    #[test]
    fn durations_name_their_two_largest_units() {
        for (seconds, expected) in [(0, "0 s"), (61, "1 min 1 s"), (7200, "2 h 0 min"), (90_000, "1 d 1 h")] {
            assert_eq!(duration(seconds), expected);
        }
    }
}
