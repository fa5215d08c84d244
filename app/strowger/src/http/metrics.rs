//! Metrics for Prometheus: every counter summed over the workers, the servers, the memory, and the ratios of RFC 6076 that a
//! load manager without state can tell.

use std::fmt::Write as _;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::text::encode;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::Registry;

use crate::ctl::desk::Desk;
use crate::ctl::{Refused, Why};
use crate::status_report::{CertificateStatus, ServerStatus, StatusReport};

/// The text format of OpenMetrics, which Prometheus asks for first.
pub(super) const TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Metrics besides the counters, each of which is `strowger_NAME_total`.
const GAUGES: &[(&str, &str)] = &[
    ("strowger_up_seconds", "Since the load manager started"),
    ("strowger_servers", "Servers in the table, by state"),
    ("strowger_server_state", "1 for the state that a server is in, with what made it so"),
    ("strowger_server_reason", "1 for each thing that is said of a server, by who says it"),
    ("strowger_server_since_seconds", "How long a server has been in its state"),
    ("strowger_server_weight", "Share of new calls against other servers"),
    ("strowger_server_load_ratio", "Load that the server told"),
    ("strowger_server_score", "Performance score, 0 to 100"),
    ("strowger_server_calls", "Calls in progress, where they are counted"),
    ("strowger_server_left", "Calls left at a server that is drained"),
    ("strowger_memory_entries", "Entries of a bounded store"),
    ("strowger_memory_entries_max", "Entries that it takes at most"),
    ("strowger_memory_bytes", "Bytes of a bounded store"),
    (
        "strowger_certificate_end_timestamp_seconds",
        "Last second of a certificate that new connections are shown, by its file, since 1970",
    ),
    (
        "strowger_session_establishment_ratio",
        "SER of RFC 6076 §4.6: sessions answered 200, of all but redirected ones",
    ),
    (
        "strowger_session_establishment_effectiveness_ratio",
        "SEER of RFC 6076 §4.7: the same with 480, 486, 600 and 603, which the callee meant",
    ),
    (
        "strowger_ineffective_session_attempts_ratio",
        "ISA of RFC 6076 §4.8: session attempts that ended in 408, 500, 503 or 504",
    ),
];

/// Counters of each server.
const OF_SERVERS: &[(&str, &str)] = &[
    ("strowger_server_messages", "Requests sent to a server"),
    ("strowger_server_failures", "Sends to a server that failed"),
    ("strowger_server_new_calls", "New calls given to a server"),
];

pub(super) fn text(desk: &Desk) -> Result<String, Refused> {
    let answer = desk.ask("status", serde_json::Map::new())?;
    let broken = |what: String| Refused::new(Why::Impossible, what, "this is a defect: report it");
    let report = serde_json::from_value(answer.document).map_err(|error| broken(error.to_string()))?;
    let mut registry = Registry::default();
    registry.register_collector(Box::new(Farm(report)));
    let mut text = String::new();
    encode(&mut text, &registry).map_err(|error| broken(error.to_string()))?;
    Ok(text.trim_end().to_owned())
}

#[derive(Debug)]
struct Farm(StatusReport);

type Encoded = Result<(), std::fmt::Error>;

impl Collector for Farm {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Encoded {
        let report = &self.0;
        for counter in &report.counters {
            let name = format!("strowger_{}", counter.name);
            let metric = ConstCounter::new(counter.value);
            let help = format!("Counter {} of `strowger ctl counters`", counter.name);
            metric.encode(encoder.encode_descriptor(&name, &help, None, metric.metric_type())?)?;
        }
        for (name, help) in OF_SERVERS {
            let mut family = encoder.encode_descriptor(
                name,
                help,
                None,
                prometheus_client::metrics::MetricType::Counter,
            )?;
            for server in &report.servers {
                let metric = ConstCounter::new(count_of(name, server));
                metric.encode(family.encode_family(&[("server", server_name(server).as_str())])?)?;
            }
        }
        for (name, help) in GAUGES {
            let values = gauge(name, report);
            let mut family =
                encoder.encode_descriptor(name, help, None, prometheus_client::metrics::MetricType::Gauge)?;
            for (labels, value) in values {
                let metric = ConstGauge::new(value);
                metric.encode(family.encode_family(&labels)?)?;
            }
        }
        Ok(())
    }
}

fn server_name(server: &ServerStatus) -> String {
    server.address.map_or_else(String::new, |address| format!("{}:{address}", server.transport))
}

fn count_of(name: &str, server: &ServerStatus) -> u64 {
    match name {
        "strowger_server_failures" => server.failures,
        "strowger_server_new_calls" => server.new_calls,
        _ => server.messages,
    }
}

type Labels = Vec<(&'static str, String)>;

fn gauge(name: &str, report: &StatusReport) -> Vec<(Labels, f64)> {
    let counter = |name: &str| {
        report
            .counters
            .iter()
            .find(|counter| counter.name == name)
            .map_or(0.0, |counter| counter.value as f64)
    };
    let of_servers = |value: fn(&ServerStatus) -> Option<f64>| -> Vec<(Labels, f64)> {
        let one = |server: &ServerStatus| Some((vec![("server", server_name(server))], value(server)?));
        report.servers.iter().filter_map(one).collect()
    };
    let of_memory = |value: fn(&crate::status_report::MemoryStatus) -> f64| -> Vec<(Labels, f64)> {
        report.memory.iter().map(|row| (vec![("memory", row.name.clone())], value(row))).collect()
    };
    let sessions = |names: &[&str]| names.iter().map(|name| counter(name)).sum::<f64>();
    let attempts =
        sessions(&["sessions_established", "sessions_declined", "sessions_ineffective", "sessions_failed"]);
    let ratio =
        |part: f64, whole: f64| if whole > 0.0 { vec![(Vec::new(), part / whole)] } else { Vec::new() };
    match name {
        "strowger_up_seconds" => vec![(Vec::new(), report.uptime_seconds as f64)],
        "strowger_servers" => ["active", "known calls only", "failed"]
            .iter()
            .map(|state| {
                let count = report.servers.iter().filter(|server| server.state == *state).count();
                (vec![("state", (*state).to_owned())], count as f64)
            })
            .collect(),
        "strowger_server_state" => report
            .servers
            .iter()
            .map(|server| {
                let labels = vec![
                    ("server", server_name(server)),
                    ("state", server.state.clone()),
                    ("reason", server.reason.clone()),
                ];
                (labels, 1.0)
            })
            .collect(),
        "strowger_server_reason" => report
            .servers
            .iter()
            .flat_map(|server| {
                server.reasons.iter().map(|reason| {
                    let labels = vec![
                        ("server", server_name(server)),
                        ("source", reason.source.clone()),
                        ("says", reason.says.clone()),
                    ];
                    (labels, 1.0)
                })
            })
            .collect(),
        "strowger_server_since_seconds" => of_servers(|server| Some(server.since_seconds as f64)),
        "strowger_server_weight" => of_servers(|server| Some(f64::from(server.weight))),
        "strowger_server_load_ratio" => of_servers(|server| Some(f64::from(server.load_permille?) / 1000.0)),
        "strowger_server_score" => of_servers(|server| Some(f64::from(server.score?))),
        "strowger_server_calls" => of_servers(|server| Some(server.calls? as f64)),
        "strowger_server_left" => of_servers(|server| Some(server.left.as_ref()?.calls as f64)),
        "strowger_memory_entries" => of_memory(|row| row.entries as f64),
        "strowger_memory_entries_max" => of_memory(|row| row.entries_max as f64),
        "strowger_memory_bytes" => of_memory(|row| row.bytes as f64),
        "strowger_certificate_end_timestamp_seconds" => {
            let one = |row: &CertificateStatus| (vec![("file", row.file.clone())], row.ends as f64);
            report.certificates.iter().map(one).collect()
        }
        "strowger_session_establishment_ratio" => ratio(counter("sessions_established"), attempts),
        "strowger_session_establishment_effectiveness_ratio" => {
            ratio(sessions(&["sessions_established", "sessions_declined"]), attempts)
        }
        "strowger_ineffective_session_attempts_ratio" => {
            ratio(counter("sessions_ineffective"), attempts + counter("sessions_redirected"))
        }
        _ => Vec::new(),
    }
}

/// docs/metrics.md.
pub(crate) fn page() -> String {
    let mut page = String::from(
        "# Metrics\n\n\
         <!-- Made by `strowger check --metrics`; change app/strowger/src/http/metrics.rs instead. -->\n\n\
         `GET /metrics` at `api.listen` gives the text format of OpenMetrics. Each counter of `strowger ctl counters` is a \
         metric `strowger_NAME_total`, summed over the workers; those of single servers are below. Delays of RFC 6076 (SRD, \
         SDD, SDT) are not among them: a load manager that keeps nothing of a call knows no beginning to count from.\n\n\
         | metric | type | meaning |\n|---|---|---|\n",
    );
    for counter in lb::counters::Counter::ALL {
        let _ = writeln!(
            page,
            "| `strowger_{}_total` | counter | {} |",
            counter.name(),
            counter.name().replace('_', " ")
        );
    }
    for (name, help) in OF_SERVERS {
        let _ = writeln!(page, "| `{name}_total` | counter, label `server` | {help} |");
    }
    for (name, help) in GAUGES {
        let _ = writeln!(page, "| `{name}` | gauge | {help} |");
    }
    page
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ctl::testing::Owner;

    #[test]
    fn the_page_is_the_one_that_the_definitions_make() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/metrics.md");
        let committed = std::fs::read_to_string(path).unwrap_or_default();
        assert!(committed == page(), "run: cargo run -- check --metrics > docs/metrics.md");
    }

    #[test]
    fn every_counter_and_every_server_is_in_the_text() {
        let owner = Owner::of_two();
        let text = text(&owner.desk).unwrap();
        for counter in lb::counters::Counter::ALL {
            let line = format!("\nstrowger_{}_total 0\n", counter.name());
            assert!(text.contains(&line), "no {line:?} in:\n{text}");
        }
        assert!(text.contains("strowger_server_messages_total{server=\"udp:127.0.0.1:7001\"} 0"), "{text}");
        assert!(text.contains("strowger_servers{state=\"active\"} 2"), "{text}");
        assert!(text.ends_with("# EOF"), "{text}");
    }
}
