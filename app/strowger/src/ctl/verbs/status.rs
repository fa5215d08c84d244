//! `status`: everything that the load manager, the engine or the state tier sees.

use super::answered;
use crate::ctl::report;
use crate::ctl::{Method, Route, Verb};
use crate::report::role::Report;

pub(crate) const VERB: Verb = Verb {
    name: "status",
    about: "Show what it sees: servers, calls, state tier, memory, counters",
    parameters: &[],
    route: Route { method: Method::Get, path: "/v1/status" },
    read: |_, _| {
        Ok(Box::new(|context| {
            let report = report::report(context.now, context.control, context.host);
            let report = Report::Lb(Box::new(report));
            answered(report.for_people(), &report)
        }))
    },
    part: Some(|part, _| {
        let report = part.report();
        answered(report.for_people(), &report)
    }),
    follow: None,
};
