//! `why`: why a call went to its server.

use super::answered;
use crate::ctl::{Host, Method, Outcome, Parameter, ParameterKind, ParameterPlace, Route, Verb};
use crate::report::why::{Explainer, WhyReport};

pub(crate) const VERB: Verb = Verb {
    name: "why",
    about: "Explain why a call went to its server: candidates, excluded servers, the winner",
    parameters: &[Parameter {
        name: "call-id",
        kind: ParameterKind::Text,
        place: ParameterPlace::Body,
        required: true,
        help: "The Call-ID of the call",
    }],
    route: Route { method: Method::Get, path: "/v1/why" },
    read: |host, arguments| {
        let (call_id, clock) = (arguments.text("call-id").unwrap_or_default().to_owned(), host.clock);
        // The hash of a Call-ID depends on the keys, which the owner of the tables may change.
        Ok(Box::new(move |context| {
            answer(&Explainer { shared: &context.control.shared(), clock }.of_call(&call_id))
        }))
    },
    part: None,
    follow: None,
};

pub(super) fn explainer(host: &Host) -> Explainer<'_> {
    Explainer { shared: &host.shared, clock: host.clock }
}

pub(super) fn answer(report: &WhyReport) -> Outcome {
    answered(report.text(), report)
}
