//! `calls`: the calls of the farm, from their records. Every call is there, whichever engine has it.

use engine::Phase;

use super::answered;
use crate::ctl::records::find;
use crate::ctl::{Method, Parameter, ParameterKind, ParameterPlace, Refused, Route, Verb};
use crate::report::calls::{CallStatus, CallsReport};

/// Calls that are shown if nobody says how many.
pub(crate) const LIMIT: u64 = 100;

const fn parameter(name: &'static str, kind: ParameterKind, help: &'static str) -> Parameter {
    Parameter { name, kind, place: ParameterPlace::Body, required: false, help }
}

pub(crate) const VERB: Verb = Verb {
    name: "calls",
    about: "List calls from their records: state, age, engine, who calls whom. An engine or the state tier knows them",
    parameters: &[
        parameter("limit", ParameterKind::Number(1, 10_000), "How many calls; 100 if left out"),
        parameter("state", ParameterKind::Text, "Only calls in this state: ringing, up, ending"),
        parameter("engine", ParameterKind::Number(0, u32::MAX as u64), "Only calls that this engine has"),
    ],
    route: Route { method: Method::Get, path: "/v1/calls" },
    read: |_, _| Err(super::not_here()),
    part: Some(|part, arguments| {
        let wanted = arguments.text("state").map(phase).transpose()?;
        let owner = arguments.number("engine");
        let limit = arguments.number("limit").unwrap_or(LIMIT) as usize;
        let mut records = part.records().map_err(|error| super::unread(&error))?;
        let found = find(&mut *records, 0..=u8::MAX, limit, |record| {
            wanted.is_none_or(|phase| record.phase() == phase)
                && owner.is_none_or(|owner| u64::from(record.header.owner) == owner)
        });
        let now = os::since_1970().as_micros() as u64;
        let mut calls: Vec<CallStatus> =
            found.calls.iter().map(|(key, record)| CallStatus::of(*key, record, now)).collect();
        calls.sort_by_key(|call| std::cmp::Reverse(call.age_ms));
        let report =
            CallsReport { calls, looked_at: found.looked_at, more: found.more, trouble: found.trouble };
        answered(report.text(), &report)
    }),
    follow: None,
};

fn phase(text: &str) -> Result<Phase, Refused> {
    let of_name = Phase::ALL.into_iter().find(|phase| phase.name() == text);
    of_name.ok_or_else(|| Refused::bad(format!("`state`: no call is {text}"), "write ringing, up or ending"))
}
