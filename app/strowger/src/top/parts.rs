//! The lines of engines and of the state tier: what there is, and what happens per second.

use crate::report::role::Report;
use crate::report::status::Counter;
use crate::report::table::aligned;
use crate::report::text::size;
use crate::top::sight::Sight;

/// `millis`: time between the looks. Empty, if there are no such parts.
pub(super) fn picture(before: &Sight, now: &Sight, millis: u64) -> String {
    let (mut engines, mut states, mut silent) = (Vec::new(), Vec::new(), Vec::new());
    for (name, report) in &now.parts {
        let earlier =
            before.parts.iter().find(|(other, _)| other == name).and_then(|(_, report)| report.as_ref());
        match (report, earlier) {
            (Some(Report::Engine(report)), earlier) => {
                // A part that was started anew has done all of its work since the look before.
                let counters = match earlier {
                    Some(Report::Engine(earlier)) if earlier.engine == report.engine => &earlier.counters[..],
                    _ => &[],
                };
                let rate = |of: &str| rate(counters, &report.counters, of, millis);
                let wrong = report.wrong.first().cloned();
                engines.push(vec![
                    name.clone(),
                    report.calls.ringing.to_string(),
                    report.calls.up.to_string(),
                    report.calls.ending.to_string(),
                    rate("engine_begun"),
                    rate("engine_taken_over"),
                    rate("engine_refused"),
                    rate("engine_conflicts"),
                    rate("engine_commits"),
                    rate("datagrams_in"),
                    report.state_tier.waiting.to_string(),
                    wrong.unwrap_or_else(|| "well".into()),
                ]);
            }
            (Some(Report::State(report)), earlier) => {
                let counters = match earlier {
                    Some(Report::State(earlier)) if earlier.pid == report.pid => &earlier.counters[..],
                    _ => &[],
                };
                let rate = |of: &str| rate(counters, &report.counters, of, millis);
                let wrong = report.wrong.first().cloned();
                states.push(vec![
                    name.clone(),
                    report.records.to_string(),
                    size(report.bytes),
                    rate("state_commands"),
                    rate("state_begun"),
                    rate("state_refused"),
                    rate("state_full"),
                    report.effects.to_string(),
                    wrong.unwrap_or_else(|| "well".into()),
                ]);
            }
            _ => silent.push(format!("  {name} DOES NOT ANSWER\n")),
        }
    }
    let mut text = String::new();
    let head = [
        "engine",
        "ringing",
        "up",
        "ending",
        "calls/s",
        "taken over/s",
        "refused/s",
        "conflicts/s",
        "commits/s",
        "datagrams/s",
        "waiting",
        "",
    ];
    if !engines.is_empty() {
        text.push_str(&format!("\n{}", aligned(&head, &engines)));
    }
    let head =
        ["state", "records", "memory", "commands/s", "calls/s", "conflicts/s", "full/s", "effects", ""];
    if !states.is_empty() {
        text.push_str(&format!("\n{}", aligned(&head, &states)));
    }
    text.extend(silent);
    text
}

/// Of all counters that begin so, per second.
fn rate(before: &[Counter], now: &[Counter], name: &str, millis: u64) -> String {
    let sum = |all: &[Counter]| {
        all.iter().filter(|counter| counter.name.starts_with(name)).map(|counter| counter.value).sum::<u64>()
    };
    let rise = sum(now).saturating_sub(sum(before));
    format!("{:.0}", rise as f64 * 1000.0 / millis.max(1) as f64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::engine::{CallsStatus, EngineReport};
    use crate::report::state::StateReport;

    fn sight(begun: u64, engine: u32) -> Sight {
        let counter = |name: &str, value| Counter { name: name.into(), value };
        let report = EngineReport {
            engine,
            calls: CallsStatus { ringing: 3, up: 40, ..CallsStatus::default() },
            counters: vec![
                counter("engine_begun", begun),
                counter("engine_refused", begun),
                counter("engine_refused_full", begun),
            ],
            ..EngineReport::default()
        };
        let state = StateReport { records: 43, ..StateReport::default() };
        let parts = vec![
            ("engine 1".to_owned(), Some(Report::Engine(Box::new(report)))),
            ("state".to_owned(), Some(Report::State(Box::new(state)))),
            ("engine 2".to_owned(), None),
        ];
        Sight { lb: None, parts }
    }

    #[test]
    fn what_changed_is_shown_per_second() {
        let text = picture(&sight(100, 7), &sight(300, 7), 2000);
        let line = text.lines().find(|line| line.starts_with("  engine 1")).unwrap();
        let cells: Vec<&str> = line.split_whitespace().collect();
        assert_eq!(cells[2..8], ["3", "40", "0", "100", "0", "200"], "{text}");
        assert!(
            text.contains("  state       43") && text.ends_with("  engine 2 DOES NOT ANSWER\n"),
            "{text}"
        );
    }

    #[test]
    fn an_engine_that_was_started_anew_has_no_look_before() {
        let text = picture(&sight(100, 7), &sight(20, 8), 1000);
        let line = text.lines().find(|line| line.starts_with("  engine 1")).unwrap();
        assert_eq!(line.split_whitespace().nth(5), Some("20"), "{text}");
    }
}
