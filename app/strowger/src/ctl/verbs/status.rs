//! `status`: everything that the load manager sees.

use crate::ctl::report;
use crate::ctl::{Answer, Method, RefusalKind, Refused, Route, Verb};

pub(crate) const VERB: Verb = Verb {
    name: "status",
    about: "Show what the load manager sees: servers, calls, memory, counters",
    parameters: &[],
    route: Route { method: Method::Get, path: "/v1/status" },
    read: |_, _| {
        Ok(Box::new(|context| {
            let report = report::report(context.now, context.control, context.host);
            let document = serde_json::to_value(&report).map_err(|error| {
                Refused::new(RefusalKind::Impossible, error.to_string(), "this is a defect: report it")
            })?;
            Ok(Answer { text: crate::report::text::for_people(&report), document })
        }))
    },
    follow: None,
};
