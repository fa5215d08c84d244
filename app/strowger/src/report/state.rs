//! What a running process of the state tier tells about itself, as a document and as text for people.

use std::fmt::Write as _;

use serde::{Deserialize, Serialize};

use crate::report::status::Counter;
use crate::report::text::{counted, duration, size};

/// The whole state at one moment. Fields are added at the end and never renamed, because scripts read this.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct StateReport {
    pub(crate) version: String,
    pub(crate) pid: u32,
    pub(crate) uptime_seconds: u64,
    /// The socket for engines.
    pub(crate) listener: String,
    /// What is wrong now, each with its effect. Empty: all is well.
    pub(crate) wrong: Vec<String>,
    /// Calls that have a record.
    pub(crate) records: u64,
    /// Calls that are gone, and whose late messages are still answered.
    pub(crate) tombstones: u64,
    pub(crate) bytes: u64,
    pub(crate) bytes_max: u64,
    /// Effects of calls that wait.
    pub(crate) effects: u64,
    /// The file that they are brought to.
    pub(crate) effects_file: Option<String>,
    pub(crate) connections: u64,
    pub(crate) counters: Vec<Counter>,
}

impl StateReport {
    /// What is wrong. `room_percent`: from this part of the memory on, no call begins.
    pub(crate) fn troubles(&self, room_percent: u32) -> Vec<String> {
        let percent = self.bytes * 100 / self.bytes_max.max(1);
        let mut wrong = Vec::new();
        if percent >= u64::from(room_percent) {
            wrong.push(format!(
                "{percent} % of the memory is used: no call begins; calls that are up go on (--memory)"
            ));
        }
        wrong
    }
}

pub(crate) fn for_people(report: &StateReport) -> String {
    let mut text = String::new();
    let well = if report.wrong.is_empty() { "all is well" } else { "SOMETHING IS WRONG" };
    let _ = writeln!(
        text,
        "state tier at {}: {well}\nstrowger {}, process {}, up {}",
        report.listener,
        report.version,
        report.pid,
        duration(report.uptime_seconds)
    );
    for wrong in &report.wrong {
        let _ = writeln!(text, "  ! {wrong}");
    }
    let to = match &report.effects_file {
        Some(file) => format!("on their way to {file}"),
        None => "that wait for an engine".to_owned(),
    };
    let _ = writeln!(
        text,
        "\n  {} records of calls, {} tombstones, {} of {}\n  {} effects {to}\n  {} connections; no replica: if this process ends, \
         its calls end",
        report.records,
        report.tombstones,
        size(report.bytes),
        size(report.bytes_max),
        report.effects,
        report.connections
    );
    text.push_str(&counted(&report.counters));
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_memory_that_is_nearly_full_is_wrong() {
        let mut report = StateReport { bytes: 79, bytes_max: 100, records: 3, ..StateReport::default() };
        report.wrong = report.troubles(80);
        assert!(for_people(&report).contains(": all is well\n"), "{}", for_people(&report));
        report.bytes = 80;
        report.wrong = report.troubles(80);
        let text = for_people(&report);
        assert!(text.contains("SOMETHING IS WRONG") && text.contains("  ! 80 % of the memory"), "{text}");
        assert!(text.contains("  3 records of calls, 0 tombstones, 80 B of 100 B\n"), "{text}");
    }
}
