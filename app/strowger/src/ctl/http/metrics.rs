//! Metrics for Prometheus: every counter, summed over the workers; the servers; the memory; and those figures of RFC 6076
//! that a load manager can tell although it keeps nothing of a call.

mod definitions;
mod page;
mod parts;
#[cfg(test)]
mod watched;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::text::encode;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric, NoLabelSet};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::{Registry, Unit};

use crate::ctl::asked::Asked;
use crate::ctl::{RefusalKind, Refused};
use crate::report::names::NameStatus;
use crate::report::role::Report;
use crate::report::status::{CertificateStatus, DelayStatus, ServerStatus, StatusReport};
use definitions::{DELAYS, GAUGES, GAUGES_OF_SOCKETS, OF_SERVERS, READY};
pub(crate) use page::page;

/// The text format of OpenMetrics, which Prometheus asks for first.
pub(super) const TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

pub(super) fn text(asked: &dyn Asked) -> Result<String, Refused> {
    let answer = asked.ask("status", serde_json::Map::new())?;
    let broken = |what: String| Refused::new(RefusalKind::Impossible, what, "this is a defect: report it");
    let report = serde_json::from_value(answer.document).map_err(|error| broken(error.to_string()))?;
    let is_ready = asked.ask("ready", serde_json::Map::new()).is_ok();
    let mut registry = Registry::default();
    registry.register_collector(Box::new(ReportMetrics(report)));
    registry.register(READY.name, READY.help, ConstGauge::new(i64::from(is_ready)));
    let mut text = String::new();
    encode(&mut text, &registry).map_err(|error| broken(error.to_string()))?;
    Ok(text.trim_end().to_owned())
}

#[derive(Debug)]
struct ReportMetrics(Report);

type Encoded = Result<(), std::fmt::Error>;

impl Collector for ReportMetrics {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Encoded {
        let report = match &self.0 {
            Report::Lb(report) => report,
            Report::Engine(report) => return parts::of_engine(report, &mut encoder),
            Report::State(report) => return parts::of_state(report, &mut encoder),
        };
        parts::counters(&report.counters, &mut encoder)?;
        for (name, help) in OF_SERVERS {
            let mut family = encoder.encode_descriptor(name, help, None, MetricType::Counter)?;
            for server in &report.servers {
                let metric = ConstCounter::new(count_of(name, server));
                metric.encode(family.encode_family(&[("server", server_name(server).as_str())])?)?;
            }
        }
        for (name, of, _, help) in DELAYS {
            let unit = Some(&Unit::Seconds);
            let mut family = encoder.encode_descriptor(name, help, unit, MetricType::Histogram)?;
            for server in &report.servers {
                for delay in server.delays.iter().filter(|delay| delay.name == *of) {
                    let labels = [("server", server_name(server)), ("result", delay.result.clone())];
                    let count = delay.counts.iter().sum();
                    let sum = delay.sum_us as f64 / 1e6;
                    let mut encoder = family.encode_family(&labels)?;
                    encoder.encode_histogram::<NoLabelSet>(sum, count, &buckets(delay), None)?;
                }
            }
        }
        for definitions::Gauge { name, help, .. } in GAUGES {
            let values = gauge(name, report);
            let mut family = encoder.encode_descriptor(name, help, None, MetricType::Gauge)?;
            for (labels, value) in values {
                let metric = ConstGauge::new(value);
                metric.encode(family.encode_family(&labels)?)?;
            }
        }
        Ok(())
    }
}

/// Upper bounds in seconds, each with the number of values between it and the bound before.
fn buckets(delay: &DelayStatus) -> Vec<(f64, u64)> {
    let bounds = delay.bounds_ms.iter().map(|ms| f64::from(*ms) / 1000.0).chain([f64::MAX]);
    bounds.zip(delay.counts.iter().copied()).collect()
}

/// The meaning of a counter, if its definition has one.
fn help_of(name: &str) -> String {
    let of_calls = lb::counters::Counter::ALL.iter().map(|counter| (counter.name(), counter.help()));
    if let Some((_, help)) =
        parts::definitions().chain(parts::of_state_tier()).find(|(known, _)| known == name)
    {
        return capital(help);
    }
    let mut all = of_calls
        .chain(net::Counters::definitions())
        .chain(crate::lb::converged::counters::DEFINITIONS.iter().copied())
        .chain(resolver::Counters::definitions().iter().copied());
    match all.find(|(known, help)| *known == name && !help.is_empty()) {
        Some((_, help)) => help.trim().trim_end_matches('.').to_owned(),
        None => format!("Counter {name} of `strowger ctl counters`"),
    }
}

/// The text with a capital letter first.
fn capital(text: &str) -> String {
    let mut text = text.to_owned();
    if let Some(first) = text.get_mut(..1) {
        first.make_ascii_uppercase();
    }
    text
}

fn server_name(server: &ServerStatus) -> String {
    server.address.map_or_else(String::new, |address| format!("{}:{address}", server.transport))
}

fn count_of(name: &str, server: &ServerStatus) -> u64 {
    match name {
        "strowger_server_failures" => server.failures,
        "strowger_server_failed" => server.failed,
        "strowger_server_new_calls" => server.new_calls,
        "strowger_server_at_limit" => server.at_limit,
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
    let of_memory = |value: fn(&crate::report::status::MemoryStatus) -> f64| -> Vec<(Labels, f64)> {
        report.memory.iter().map(|row| (vec![("memory", row.name.clone())], value(row))).collect()
    };
    let of_names = |value: fn(&NameStatus) -> f64| -> Vec<(Labels, f64)> {
        report.names.iter().map(|name| (vec![("name", name.name.clone())], value(name))).collect()
    };
    let sessions = |names: &[&str]| names.iter().map(|name| counter(name)).sum::<f64>();
    let attempts =
        sessions(&["sessions_established", "sessions_declined", "sessions_ineffective", "sessions_failed"]);
    let ratio =
        |part: f64, whole: f64| if whole > 0.0 { vec![(Vec::new(), part / whole)] } else { Vec::new() };
    match name {
        "strowger_up_seconds" => vec![(Vec::new(), report.uptime_seconds as f64)],
        "strowger_servers" => ["active", "trial", "known calls only", "failed"]
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
        "strowger_server_priority" => of_servers(|server| Some(f64::from(server.priority))),
        "strowger_server_calls_max" => of_servers(|server| Some(f64::from(server.calls_max?))),
        "strowger_server_calls_per_second_max" => {
            of_servers(|server| Some(f64::from(server.calls_per_second_max?)))
        }
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
        "strowger_name_servers" => of_names(|name| name.servers.len() as f64),
        "strowger_name_state" => {
            let labels = |name: &NameStatus| vec![("name", name.name.clone()), ("state", name.state.clone())];
            report.names.iter().map(|name| (labels(name), 1.0)).collect()
        }
        "strowger_name_since_seconds" => of_names(|name| name.since_seconds as f64),
        "strowger_session_establishment_ratio" => ratio(counter("sessions_established"), attempts),
        "strowger_session_establishment_effectiveness_ratio" => {
            ratio(sessions(&["sessions_established", "sessions_declined"]), attempts)
        }
        "strowger_ineffective_session_attempts_ratio" => {
            ratio(counter("sessions_ineffective"), attempts + counter("sessions_redirected"))
        }
        "strowger_session_completion_ratio" => ratio(counter("sessions_completed"), attempts),
        _ => Vec::new(),
    }
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
        assert!(text.contains("\nstrowger_ready 1\n"), "{text}");
        assert!(text.ends_with("# EOF"), "{text}");
    }

    #[test]
    fn delays_are_histograms_whose_buckets_add_up() {
        let delay = DelayStatus {
            name: "session request".into(),
            result: "failed".into(),
            bounds_ms: vec![1, 500],
            counts: vec![2, 3, 4],
            sum_us: 9_500_000,
        };
        let address = Some("127.0.0.1:7000".parse().unwrap());
        let server =
            ServerStatus { address, transport: "udp".into(), delays: vec![delay], ..ServerStatus::default() };
        let mut registry = Registry::default();
        let report = StatusReport { servers: vec![server], ..Default::default() };
        registry.register_collector(Box::new(ReportMetrics(Report::Lb(Box::new(report)))));
        let mut text = String::new();
        encode(&mut text, &registry).unwrap();
        let name = "strowger_server_session_request_delay_seconds";
        let labels = "server=\"udp:127.0.0.1:7000\",result=\"failed\"";
        for (end, value) in [("0.001", 2), ("0.5", 5), ("+Inf", 9)] {
            let line = format!("{name}_bucket{{le=\"{end}\",{labels}}} {value}\n");
            assert!(text.contains(&line), "no {line} in:\n{text}");
        }
        assert!(text.contains(&format!("{name}_sum{{{labels}}} 9.5\n")), "{text}");
        assert!(text.contains(&format!("{name}_count{{{labels}}} 9\n")), "{text}");
    }

    #[test]
    fn what_goes_down_too_is_no_counter() {
        let known: Vec<&str> = net::Counters::definitions().map(|(name, _)| name).collect();
        assert!(GAUGES_OF_SOCKETS.iter().all(|name| known.contains(name)), "{known:?}");
    }
}
