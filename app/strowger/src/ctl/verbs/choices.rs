//! `choices`: the newest choices of a server, each with its reasons.

use super::why::{answer, explainer};
use crate::ctl::{Method, Parameter, ParameterKind, ParameterPlace, Route, Verb};

pub(crate) const VERB: Verb = Verb {
    name: "choices",
    about: "Show the newest choices of a server for a new call, each with its reasons",
    parameters: &[Parameter {
        name: "last",
        kind: ParameterKind::Number(1, 1_000_000),
        place: ParameterPlace::Body,
        required: false,
        help: "How many choices; 10 if left out",
    }],
    route: Route { method: Method::Get, path: "/v1/choices" },
    read: |host, arguments| {
        let count = arguments.number("last").unwrap_or(10) as usize;
        let outcome = answer(&explainer(host).newest(count));
        Ok(Box::new(|_| outcome))
    },
    part: None,
    follow: None,
};
