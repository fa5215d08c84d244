//! Metrics of engines and of the state tier: every counter, calls by state, and the way of an engine to its records.

use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;

use state_redis::server::Figures;

use super::Encoded;
use super::definitions::{Gauge, gauge};
use crate::report::engine::{EngineReport, NodeStatus};
use crate::report::state::StateReport;
use crate::report::status::Counter;

/// Gauges of an engine besides those among its counters.
pub(super) const OF_ENGINES: &[Gauge] = &[
    gauge("strowger_up_seconds", &[], "s", "Time since the process started"),
    gauge("strowger_wrong", &[], "1", "What `strowger status` says is wrong now; 0: all is well"),
    gauge(
        "strowger_state_tier_unreachable",
        &[],
        "partitions",
        "Partitions of 256 that nobody can be asked for now",
    ),
    gauge(
        "strowger_state_tier_waiting",
        &[],
        "commands",
        "Commands that wait for an answer of the state tier",
    ),
    gauge(
        "strowger_state_tier_clock_ahead_seconds",
        &[],
        "s",
        "By how much this machine's clock is ahead of the state tier's",
    ),
    gauge("strowger_state_tier_node_up", &["node"], "0, 1", "1 while the node can be reached"),
    gauge(
        "strowger_state_tier_node_partitions",
        &["node"],
        "partitions",
        "Partitions that a node is asked for; 0: a replica",
    ),
    gauge(
        "strowger_state_tier_node_in_step",
        &["node"],
        "replicas",
        "Replicas that must have a write before it counts as kept: the view of a primary",
    ),
    gauge(
        "strowger_state_tier_node_missing",
        &["node"],
        "replicas",
        "Replicas in step that do not follow their primary now: writes wait for them",
    ),
];

/// Gauges of a process of the state tier besides those among its counters.
pub(super) const OF_STATE: &[Gauge] = &[
    gauge("strowger_up_seconds", &[], "s", "Time since the process started"),
    gauge("strowger_wrong", &[], "1", "What `strowger status` says is wrong now; 0: all is well"),
];

type Labelled = Vec<(Vec<(&'static str, String)>, f64)>;

/// The value of a gauge, for each of its labels.
fn value(name: &str, report: &EngineReport) -> Labelled {
    let tier = &report.state_tier;
    let one = |value: f64| vec![(Vec::new(), value)];
    let of_nodes = |value: fn(&NodeStatus) -> Option<f64>| -> Labelled {
        let of = |node: &NodeStatus| Some((vec![("node", node.address.clone())], value(node)?));
        tier.nodes.iter().filter_map(of).collect()
    };
    match name {
        "strowger_up_seconds" => one(report.uptime_seconds as f64),
        "strowger_wrong" => one(report.wrong.len() as f64),
        "strowger_state_tier_unreachable" => one(tier.unreachable as f64),
        "strowger_state_tier_waiting" => one(tier.waiting as f64),
        "strowger_state_tier_clock_ahead_seconds" => one(tier.clock_ahead_ms as f64 / 1000.0),
        "strowger_state_tier_node_up" => of_nodes(|node| Some(f64::from(u8::from(node.up)))),
        "strowger_state_tier_node_partitions" => of_nodes(|node| Some(node.partitions as f64)),
        "strowger_state_tier_node_in_step" => of_nodes(|node| node.view.map(f64::from)),
        "strowger_state_tier_node_missing" => of_nodes(|node| Some(node.missing as f64)),
        _ => Vec::new(),
    }
}

pub(super) fn of_engine(report: &EngineReport, encoder: &mut DescriptorEncoder<'_>) -> Encoded {
    counters(&report.counters, encoder)?;
    for Gauge { name, help, .. } in OF_ENGINES {
        let mut family = encoder.encode_descriptor(name, help, None, MetricType::Gauge)?;
        for (labels, value) in value(name, report) {
            ConstGauge::new(value).encode(family.encode_family(&labels)?)?;
        }
    }
    Ok(())
}

pub(super) fn of_state(report: &StateReport, encoder: &mut DescriptorEncoder<'_>) -> Encoded {
    counters(&report.counters, encoder)?;
    for (gauge, value) in OF_STATE.iter().zip([report.uptime_seconds, report.wrong.len() as u64]) {
        let metric = ConstGauge::new(value as f64);
        metric.encode(encoder.encode_descriptor(gauge.name, gauge.help, None, metric.metric_type())?)?;
    }
    Ok(())
}

/// Every counter of a report; those that also go down are gauges.
pub(super) fn counters(all: &[Counter], encoder: &mut DescriptorEncoder<'_>) -> Encoded {
    for counter in all {
        let name = format!("strowger_{}", counter.name);
        let help = super::help_of(&counter.name);
        if is_gauge(&counter.name) {
            let metric = ConstGauge::new(counter.value as f64);
            metric.encode(encoder.encode_descriptor(&name, &help, None, metric.metric_type())?)?;
        } else {
            let metric = ConstCounter::new(counter.value);
            metric.encode(encoder.encode_descriptor(&name, &help, None, metric.metric_type())?)?;
        }
    }
    Ok(())
}

pub(super) fn is_gauge(name: &str) -> bool {
    let is_in = |prefix: &str, gauges: &[(&str, &str)]| {
        name.strip_prefix(prefix).is_some_and(|name| gauges.iter().any(|(gauge, _)| *gauge == name))
    };
    super::GAUGES_OF_SOCKETS.contains(&name)
        || is_in("engine_", engine::Counters::GAUGES)
        || is_in("state_", Figures::GAUGES)
}

/// Name and meaning of every counter of a process of the state tier, as `strowger ctl counters` names it.
pub(super) fn of_state_tier() -> impl Iterator<Item = (String, &'static str)> {
    Figures::GAUGES.iter().chain(Figures::COUNTS).map(|(name, help)| (format!("state_{name}"), *help))
}

/// Name and meaning of every counter of an engine, as `strowger ctl counters` names it.
pub(super) fn definitions() -> impl Iterator<Item = (String, &'static str)> {
    let of_engine = engine::Counters::GAUGES.iter().chain(engine::Counters::COUNTS);
    let of_tier = state::links::Counters::DEFINITIONS.iter();
    of_engine
        .map(|(name, help)| (format!("engine_{name}"), *help))
        .chain(of_tier.map(|(name, help)| (format!("state_tier_{name}"), *help)))
}

#[cfg(test)]
mod tests {
    use prometheus_client::registry::Registry;

    use super::*;
    use crate::ctl::http::metrics::ReportMetrics;
    use crate::report::engine::TierStatus;
    use crate::report::role::Report;

    #[test]
    fn an_engine_has_counters_calls_by_state_and_the_nodes_of_its_state_tier() {
        let node = NodeStatus { address: "192.0.2.21:6379".into(), view: Some(1), ..NodeStatus::default() };
        let counters = definitions().map(|(name, _)| Counter { name, value: 7 }).collect();
        let report = EngineReport {
            counters,
            state_tier: TierStatus { nodes: vec![node], clock_ahead_ms: -250, ..TierStatus::default() },
            ..EngineReport::default()
        };
        let mut registry = Registry::default();
        registry.register_collector(Box::new(ReportMetrics(Report::Engine(Box::new(report)))));
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, &registry).unwrap();
        for line in [
            "# TYPE strowger_engine_ringing gauge",
            "strowger_engine_ringing 7",
            "strowger_engine_taken_over_total 7",
            "strowger_state_tier_failovers_total 7",
            "strowger_state_tier_clock_ahead_seconds -0.25",
            "strowger_state_tier_node_in_step{node=\"192.0.2.21:6379\"} 1",
            "strowger_wrong 0",
        ] {
            assert!(
                text.lines().any(|present| present.trim_end_matches(".0").replace("{}", "") == line),
                "no {line} in:\n{text}"
            );
        }
        assert!(!text.contains("of `strowger ctl counters`"), "a counter without a meaning:\n{text}");
        for gauge in OF_ENGINES {
            assert!(text.lines().any(|line| line.starts_with(gauge.name)), "{}", gauge.name);
        }
    }
}
