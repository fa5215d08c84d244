//! A whole farm on one screen: what each of its parts says about itself.

use std::fmt::Write as _;

use serde::Serialize;

use crate::report::role::Report;
use crate::report::table::aligned;
use crate::report::text::{duration, size};

/// One part, and its answer.
#[derive(Debug, Serialize)]
pub(crate) struct PartReport {
    /// Its control socket.
    pub(crate) control: String,
    /// `None`: it does not answer.
    pub(crate) report: Option<Report>,
    /// Why it does not answer.
    pub(crate) trouble: Option<String>,
}

/// See the head of this module.
#[derive(Debug, Serialize)]
pub(crate) struct FarmReport {
    role: &'static str,
    /// Nothing is wrong.
    pub(crate) well: bool,
    /// What is wrong, of all parts.
    pub(crate) wrong: Vec<String>,
    pub(crate) parts: Vec<PartReport>,
}

impl FarmReport {
    pub(crate) fn new(parts: Vec<PartReport>) -> FarmReport {
        let mut wrong = Vec::new();
        for part in &parts {
            match (&part.report, &part.trouble) {
                (Some(report), _) => wrong.extend(report.wrong().into_iter().map(|what| (name(part), what))),
                (None, why) => wrong.push((name(part), why.clone().unwrap_or_default())),
            }
        }
        let wrong: Vec<String> = wrong.into_iter().map(|(name, what)| format!("{name}: {what}")).collect();
        FarmReport { role: "farm", well: wrong.is_empty(), wrong, parts }
    }

    pub(crate) fn text(&self) -> String {
        let mut text = String::new();
        let well = if self.well { "all is well" } else { "SOMETHING IS WRONG" };
        let _ = writeln!(text, "farm of {} parts: {well}", self.parts.len());
        for wrong in &self.wrong {
            let _ = writeln!(text, "  ! {wrong}");
        }
        let rows: Vec<Vec<String>> = self.parts.iter().map(row).collect();
        let head = ["part", "process", "up", "where", "calls", "since the start"];
        let _ = write!(text, "\n{}", aligned(&head, &rows));
        text.push_str("\nMore:\n  strowger calls                    the calls, whichever engine has them\n");
        for part in &self.parts {
            let _ = writeln!(text, "  strowger status --control {}", part.control);
        }
        text
    }
}

fn name(part: &PartReport) -> String {
    name_of(&part.control, part.report.as_ref())
}

/// As the operator knows the part: by its socket in the folder.
pub(crate) fn name_of(control: &str, report: Option<&Report>) -> String {
    let file = control.rsplit('/').next().unwrap_or_default();
    let stem = file.strip_suffix("control.sock").unwrap_or(file).trim_end_matches('.').replace('-', " ");
    match report {
        Some(Report::Lb(_)) => "lb".into(),
        _ if stem.is_empty() => "lb".into(),
        Some(Report::Engine(report)) if !stem.starts_with("engine") => format!("engine {}", report.engine),
        Some(Report::State(_)) => "state".into(),
        _ => stem,
    }
}

fn row(part: &PartReport) -> Vec<String> {
    let (process, up, at, calls, since) = match &part.report {
        Some(Report::Lb(report)) => {
            let counter = |name: &str| {
                report.counters.iter().find(|counter| counter.name == name).map_or(0, |counter| counter.value)
            };
            (
                report.pid,
                report.uptime_seconds,
                report.listeners.join(" "),
                format!("go to {} of {} servers", report.active.len(), report.servers.len()),
                format!("new {}, answered {}", counter("new_calls"), counter("sessions_established")),
            )
        }
        Some(Report::Engine(report)) => {
            let counter = |name: &str| {
                report.counters.iter().find(|counter| counter.name == name).map_or(0, |counter| counter.value)
            };
            let calls = &report.calls;
            (
                report.pid,
                report.uptime_seconds,
                report.listeners.join(" "),
                format!("ringing {}, up {}, ending {}", calls.ringing, calls.up, calls.ending),
                format!(
                    "begun {}, taken over {}; number {}",
                    counter("engine_begun"),
                    counter("engine_taken_over"),
                    report.engine
                ),
            )
        }
        Some(Report::State(report)) => (
            report.pid,
            report.uptime_seconds,
            report.listener.clone(),
            format!("records {}, {} of {}", report.records, size(report.bytes), size(report.bytes_max)),
            format!("effects that wait {}", report.effects),
        ),
        None => {
            let why = "does not answer".to_owned();
            return vec![name(part), "-".into(), "-".into(), part.control.clone(), why, String::new()];
        }
    };
    vec![name(part), process.to_string(), duration(up), at, calls, since]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::engine::{CallsStatus, EngineReport};
    use crate::report::state::StateReport;
    use crate::report::status::{ServerStatus, StatusReport};

    fn part(file: &str, report: Option<Report>) -> PartReport {
        let trouble = report.is_none().then(|| "connection refused".to_owned());
        PartReport { control: format!("/run/strowger/{file}"), report, trouble }
    }

    #[test]
    fn one_screen_shows_all_parts_and_first_what_is_wrong() {
        let server = ServerStatus { state: "active".into(), ..ServerStatus::default() };
        let lb = StatusReport { servers: vec![server], active: vec![0], ..StatusReport::default() };
        let calls = CallsStatus { ringing: 1, up: 40, ..CallsStatus::default() };
        let engine = EngineReport { engine: 77, calls, ..EngineReport::default() };
        let state = StateReport { records: 41, bytes_max: 1 << 30, ..StateReport::default() };
        let parts = || {
            vec![
                part("control.sock", Some(Report::Lb(Box::new(lb.clone())))),
                part("engine-1.control.sock", Some(Report::Engine(Box::new(engine.clone())))),
                part("state.control.sock", Some(Report::State(Box::new(state.clone())))),
            ]
        };
        let text = FarmReport::new(parts()).text();
        assert!(text.starts_with("farm of 3 parts: all is well\n\n  part"), "{text}");
        assert!(text.contains("ringing 1, up 40, ending 0") && text.contains("records 41,"), "{text}");
        assert!(text.contains("to 1 of 1 servers"), "{text}");
        let mut parts = parts();
        parts.push(part("engine-2.control.sock", None));
        let report = FarmReport::new(parts);
        assert_eq!(report.wrong, ["engine 2: connection refused"]);
        assert!(
            report
                .text()
                .starts_with("farm of 4 parts: SOMETHING IS WRONG\n  ! engine 2: connection refused\n")
        );
    }

    #[test]
    fn a_load_manager_without_a_server_is_not_well() {
        let failed =
            ServerStatus { state: "failed".into(), reason: "no heartbeat".into(), ..ServerStatus::default() };
        let lb = StatusReport { servers: vec![failed], ..StatusReport::default() };
        let report = FarmReport::new(vec![part("control.sock", Some(Report::Lb(Box::new(lb))))]);
        assert_eq!(report.wrong.len(), 2, "{:?}", report.wrong);
        assert!(report.wrong[0].contains("503"), "{:?}", report.wrong);
    }
}
