//! The story of one call as text: what happened when, its legs, and what it waits for.

use std::fmt::Write as _;
use std::time::Duration;

use crate::report::calls::CallStatus;
use crate::report::table::aligned;

pub(crate) fn text(call: &CallStatus) -> String {
    let mut text = String::new();
    let age = call.age_ms as f64 / 1000.0;
    let born = base::rfc3339(Duration::from_millis(call.born_ms));
    if call.state == "gone" {
        let status =
            call.status.map_or_else(String::new, |status| format!("; its INVITE was answered {status}"));
        let _ = writeln!(text, "call {} is gone; it began {age:.1} s ago, at {born}{status}", call.key);
        return text;
    }
    let _ = writeln!(
        text,
        "call {} is {}; it began {age:.1} s ago, at {born}; engine {} has it, as {}\n\n  from     {}\n  to       {}\n  \
         Call-ID  {}\n",
        call.key, call.state, call.owner, call.mode, call.from, call.to, call.call_id
    );
    for (at, what) in events(call) {
        let at = at.map_or_else(|| "now".to_owned(), |ms| format!("+{}.{:03} s", ms / 1000, ms % 1000));
        let _ = writeln!(text, "  {at:>12}  {what}");
    }
    let rows: Vec<Vec<String>> = call
        .legs
        .iter()
        .map(|leg| {
            vec![
                leg.number.to_string(),
                if leg.number == 0 { "caller" } else { "callee" }.to_owned(),
                leg.state.clone(),
                leg.remote.clone(),
                leg.target.clone(),
                leg.tag.clone(),
                leg.call_id.clone(),
            ]
        })
        .collect();
    let head = ["leg", "", "state", "party", "target", "tag", "Call-ID"];
    let _ = write!(text, "\n{}", aligned(&head, &rows));
    text
}

/// What happened, in its order; `None`: what is now.
fn events(call: &CallStatus) -> Vec<(Option<u64>, String)> {
    let mut events = Vec::new();
    let from = call.legs.first().and_then(|leg| leg.flow.as_deref());
    let from = from.map_or_else(String::new, |flow| format!(" from {flow}"));
    let by = if call.made_by > 0 { format!(" at engine {}", call.made_by) } else { String::new() };
    events.push((Some(0), format!("caller ── INVITE ─▶ engine             it came{from}{by}")));
    for leg in call.legs.iter().skip(1) {
        let line = format!("           engine ── INVITE ─▶ leg {}   to {}", leg.number, leg.target);
        events.push((Some(0), line));
    }
    if let Some(ms) = call.rang_ms {
        events.push((Some(ms), "caller ◀── 180 ─── engine ◀── 180 ─── a callee rings".into()));
    }
    if let Some(ms) = call.answered_ms {
        let answered = call.legs.iter().skip(1).find(|leg| leg.state == "confirmed");
        let by = answered.map_or_else(|| "a callee".to_owned(), |leg| format!("leg {}", leg.number));
        events.push((Some(ms), format!("caller ◀── 200 ─── engine ◀── 200 ─── {by} has answered")));
    }
    if let Some(ms) = call.taken_over_ms {
        let often = if call.taken_over == 1 { "once".into() } else { format!("{} times", call.taken_over) };
        events.push((
            Some(ms),
            format!("another engine took it over, {often} so far; now engine {} has it", call.owner),
        ));
    } else if call.made_by > 0 && call.made_by != call.owner {
        events.push((Some(0), format!("later engine {} went on with it", call.owner)));
    }
    events.sort_by_key(|(at, _)| *at);
    events.extend(call.owed.iter().map(|owed| (None, owed.clone())));
    if call.owed.is_empty() {
        events.push((None, "nothing is owed: the call waits for its parties".into()));
    }
    events
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::calls::LegStatus;

    #[test]
    fn a_story_says_who_when_and_what_is_owed() {
        let leg = |number, state: &str| LegStatus {
            number,
            state: state.into(),
            target: "sip:bob@192.0.2.9".into(),
            flow: (number == 0).then(|| "udp:192.0.2.7:5060".into()),
            ..LegStatus::default()
        };
        let mut call = CallStatus {
            key: "abc".into(),
            state: "up".into(),
            age_ms: 12_345,
            born_ms: 1_709_251_199_000,
            owner: 8,
            made_by: 7,
            rang_ms: Some(310),
            answered_ms: Some(3_120),
            taken_over: 1,
            taken_over_ms: Some(2_000),
            legs: vec![leg(0, "confirmed"), leg(1, "confirmed")],
            ..CallStatus::default()
        };
        let text = text(&call);
        assert!(text.starts_with(
            "call abc is up; it began 12.3 s ago, at 2024-02-29T23:59:59.000Z; engine 8 has it"
        ));
        let place = |what: &str| text.find(what).unwrap_or_else(|| panic!("no {what} in:\n{text}"));
        let order = [
            "it came from udp:192.0.2.7:5060 at engine 7",
            "INVITE ─▶ leg 1   to sip:bob@192.0.2.9",
            "+0.310 s  caller ◀── 180",
            "+2.000 s  another engine took it over, once so far; now engine 8 has it",
            "+3.120 s  caller ◀── 200 ─── engine ◀── 200 ─── leg 1 has answered",
            "now  nothing is owed",
        ];
        assert!(order.map(place).is_sorted(), "{text}");
        call.owed = vec!["leg 1 has not answered our BYE".into()];
        assert!(super::text(&call).contains("now  leg 1 has not answered our BYE"));
    }

    #[test]
    fn of_a_call_that_is_gone_its_end_is_known() {
        let call = CallStatus { state: "gone".into(), status: Some(486), ..CallStatus::default() };
        assert!(text(&call).contains("is gone") && text(&call).contains("answered 486"), "{}", text(&call));
    }
}
