//! What a running engine tells about itself, as a document and as text for people.

use std::fmt::Write as _;

use serde::{Deserialize, Serialize};

use crate::report::status::{Counter, WorkerStatus};
use crate::report::table::{aligned, or_dash};
use crate::report::text::{counted, duration, workers};

/// The whole state at one moment. Fields are added at the end and never renamed, because scripts read this.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct EngineReport {
    pub(crate) version: String,
    pub(crate) pid: u32,
    pub(crate) uptime_seconds: u64,
    /// Its number in the farm, drawn anew at each start.
    pub(crate) engine: u32,
    /// `b2bua`, `proxy`.
    pub(crate) mode: String,
    pub(crate) listeners: Vec<String>,
    /// Where calls go.
    pub(crate) to: Vec<String>,
    /// The load manager in front.
    pub(crate) lb: Option<String>,
    /// What is wrong now, each with its remedy or its effect. Empty: all is well.
    pub(crate) wrong: Vec<String>,
    pub(crate) calls: CallsStatus,
    pub(crate) state_tier: TierStatus,
    pub(crate) counters: Vec<Counter>,
    pub(crate) workers: Vec<WorkerStatus>,
}

/// Calls that this engine has, by their state.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct CallsStatus {
    pub(crate) ringing: u64,
    pub(crate) up: u64,
    pub(crate) ending: u64,
    /// Calls in memory, also such as another engine has.
    pub(crate) in_memory: u64,
}

/// The state tier, as this engine sees it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct TierStatus {
    /// The calls lie in the engine's own process, and end with it.
    pub(crate) in_process: bool,
    /// Partitions of 256 that nobody can be asked for now.
    pub(crate) unreachable: u64,
    /// Commands that wait for their answer, of all workers, and their bytes.
    pub(crate) waiting: u64,
    pub(crate) waiting_bytes: u64,
    /// By how much this machine's clock is ahead of the state tier's, milliseconds.
    pub(crate) clock_ahead_ms: i64,
    /// The newest reason for a connection that was not made or was lost.
    pub(crate) trouble: Option<String>,
    pub(crate) nodes: Vec<NodeStatus>,
}

/// One node of the state tier.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct NodeStatus {
    pub(crate) address: String,
    pub(crate) up: bool,
    /// Partitions that it is asked for; 0: a replica.
    pub(crate) partitions: u64,
    /// Replicas in step, which must have a write before it counts: the view. `None`: a replica, or not known yet.
    pub(crate) view: Option<u32>,
    /// All replicas that it names.
    pub(crate) replicas: u64,
    /// Replicas in step that do not follow it now: writes wait for them.
    pub(crate) missing: u64,
    /// Commands that wait for this node.
    pub(crate) waiting: u64,
    /// By how much its clock is ahead of the state tier's, where that is much, milliseconds.
    pub(crate) clock_ahead_ms: Option<i64>,
}

/// What is wrong with the way to the state tier.
pub(crate) fn troubles(tier: &TierStatus) -> Vec<String> {
    let mut wrong = Vec::new();
    if tier.unreachable > 0 {
        let why = tier.trouble.as_ref().map_or_else(String::new, |why| format!(" ({why})"));
        wrong.push(format!(
            "the state tier cannot be asked for {} of 256 partitions{why}: new calls get 503 there, calls that are up go on",
            tier.unreachable
        ));
    }
    for node in &tier.nodes {
        if node.missing > 0 {
            wrong.push(format!(
                "{} waits for {} of its replicas, which do not follow it: commits there wait",
                node.address, node.missing
            ));
        }
        if let Some(ahead) = node.clock_ahead_ms {
            wrong.push(format!(
                "the clock of {} is {ahead} ms ahead of the others: mend its time service",
                node.address
            ));
        }
    }
    wrong
}

pub(crate) fn for_people(report: &EngineReport) -> String {
    let mut text = String::new();
    let well = if report.wrong.is_empty() { "all is well" } else { "SOMETHING IS WRONG" };
    let _ = writeln!(
        text,
        "engine {}: {well}\nstrowger {}, process {}, up {}",
        report.engine,
        report.version,
        report.pid,
        duration(report.uptime_seconds)
    );
    for wrong in &report.wrong {
        let _ = writeln!(text, "  ! {wrong}");
    }
    let through =
        report.lb.as_ref().map_or_else(String::new, |lb| format!(", through the load manager {lb}"));
    let _ = writeln!(
        text,
        "takes calls at {} as {}; they go to {}{through}",
        report.listeners.join(" "),
        report.mode,
        report.to.join(" ")
    );
    let calls = &report.calls;
    let row = [calls.ringing, calls.up, calls.ending, calls.in_memory].map(|count| count.to_string());
    let head = ["ringing", "up", "ending", "in memory"];
    let _ = write!(text, "\nCalls of this engine\n{}", aligned(&head, &[row.into()]));
    let _ = write!(text, "\nState tier\n{}", tier(&report.state_tier));
    let _ = write!(text, "\nWorkers\n{}", workers(&report.workers));
    text.push_str(&counted(&report.counters));
    text
}

fn tier(tier: &TierStatus) -> String {
    if tier.in_process {
        return "  in this process: calls end with it; --state names a state tier that keeps them\n".into();
    }
    let row = |node: &NodeStatus| {
        vec![
            node.address.clone(),
            if node.up { "up" } else { "down" }.to_owned(),
            node.partitions.to_string(),
            or_dash(node.view),
            node.replicas.to_string(),
            node.missing.to_string(),
            node.waiting.to_string(),
        ]
    };
    let rows: Vec<Vec<String>> = tier.nodes.iter().map(row).collect();
    let head = ["node", "", "partitions", "in step", "replicas", "missing", "waiting"];
    let clock = format!("  this machine's clock is {} ms ahead of the state tier's\n", tier.clock_ahead_ms);
    aligned(&head, &rows) + &clock
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_reads_like_this_and_says_first_what_is_wrong() {
        let node = |address: &str, missing: u64| NodeStatus {
            address: address.into(),
            up: missing == 0,
            partitions: 128,
            view: Some(1),
            replicas: 1,
            missing,
            ..NodeStatus::default()
        };
        let mut report = EngineReport {
            engine: 1_764,
            mode: "b2bua".into(),
            listeners: vec!["udp:192.0.2.11:5060".into()],
            to: vec!["sip:192.0.2.9".into()],
            lb: Some("192.0.2.1:5060".into()),
            calls: CallsStatus { ringing: 3, up: 40, ending: 1, in_memory: 44 },
            state_tier: TierStatus { nodes: vec![node("192.0.2.21:6379", 0)], ..TierStatus::default() },
            ..EngineReport::default()
        };
        let text = for_people(&report);
        assert!(text.starts_with("engine 1764: all is well\n"), "{text}");
        let through = "as b2bua; they go to sip:192.0.2.9, through the load manager 192.0.2.1:5060\n";
        assert!(text.contains(through), "{text}");
        let has_row =
            |cells: &[&str]| text.lines().any(|line| line.split_whitespace().eq(cells.iter().copied()));
        assert!(has_row(&["3", "40", "1", "44"]), "{text}");
        assert!(has_row(&["192.0.2.21:6379", "up", "128", "1", "1", "0", "0"]), "{text}");
        report.state_tier.nodes.push(node("192.0.2.22:6379", 1));
        report.state_tier.unreachable = 128;
        report.state_tier.trouble = Some("connection refused".into());
        report.wrong = troubles(&report.state_tier);
        let text = for_people(&report);
        assert!(text.starts_with("engine 1764: SOMETHING IS WRONG\n"), "{text}");
        assert!(
            text.contains(
                "  ! the state tier cannot be asked for 128 of 256 partitions (connection refused)"
            )
        );
        assert!(text.contains("  ! 192.0.2.22:6379 waits for 1 of its replicas"), "{text}");
    }

    #[test]
    fn a_clock_that_is_far_off_is_wrong() {
        let node = NodeStatus { clock_ahead_ms: Some(-900), ..NodeStatus::default() };
        let tier = TierStatus { nodes: vec![node], ..TierStatus::default() };
        assert_eq!(troubles(&tier).len(), 1);
    }
}
