//! `log`: which lines of the operator's log are written from now on. A reload or a restart brings back the filter of the
//! configuration.

use config::LogFilter;
use serde_json::json;

use crate::ctl::{Answer, Arguments, Method, Parameter, ParameterKind, ParameterPlace, Refused, Route, Verb};
use crate::process::log::filter_by;

pub(crate) const VERB: Verb = Verb {
    name: "log",
    about: "Change which lines of the log are written",
    parameters: &[Parameter {
        name: "filter",
        kind: ParameterKind::Text,
        place: ParameterPlace::Body,
        required: true,
        help: "a level for all, and levels for modules, as in info,net=debug,refused=off",
    }],
    route: Route { method: Method::Put, path: "/v1/log" },
    read: |_, arguments| {
        let (text, filter) = read(arguments)?;
        Ok(Box::new(move |context| {
            let answer = change(&text, &filter);
            context.control.note(&answer.text);
            Ok(answer)
        }))
    },
    part: Some(|_, arguments| {
        let (text, filter) = read(arguments)?;
        Ok(change(&text, &filter))
    }),
    follow: None,
};

fn read(arguments: &Arguments) -> Result<(String, LogFilter), Refused> {
    let text = arguments.text("filter").unwrap_or_default();
    let filter = LogFilter::parse(text).map_err(|what| {
        Refused::bad(what, "write a level, or a level and MODULE=LEVEL, as in info,net=debug".to_owned())
    })?;
    Ok((text.to_owned(), filter))
}

fn change(text: &str, filter: &LogFilter) -> Answer {
    filter_by(filter);
    Answer { text: format!("log filter from now on: {text}"), document: json!({ "filter": text }) }
}
