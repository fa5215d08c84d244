//! `status`: everything that the load manager, the engine or the state tier sees.

use crate::ctl::report;
use crate::ctl::{Answer, Method, Outcome, RefusalKind, Refused, Route, Verb};
use crate::report::role::Report;

pub(crate) const VERB: Verb = Verb {
    name: "status",
    about: "Show what it sees: servers, calls, state tier, memory, counters",
    parameters: &[],
    route: Route { method: Method::Get, path: "/v1/status" },
    read: |_, _| {
        Ok(Box::new(|context| {
            let report = report::report(context.now, context.control, context.host);
            answer(&Report::Lb(Box::new(report)))
        }))
    },
    part: Some(|part, _| answer(&part.report())),
    follow: None,
};

fn answer(report: &Report) -> Outcome {
    let document = serde_json::to_value(report).map_err(|error| {
        Refused::new(RefusalKind::Impossible, error.to_string(), "this is a defect: report it")
    })?;
    Ok(Answer { text: report.for_people(), document })
}
