//! `counters`: every counter, by name.

use crate::ctl::report;
use crate::ctl::{Answer, Method, Route, Verb};
use crate::report::status::Counter;
use crate::report::table::aligned;

pub(crate) const VERB: Verb = Verb {
    name: "counters",
    about: "Show every counter by its name, also those at zero",
    parameters: &[],
    route: Route { method: Method::Get, path: "/v1/counters" },
    read: |_, _| Ok(Box::new(|context| Ok(answer(report::counters(context.control, context.host))))),
    part: Some(|part, _| Ok(answer(part.counters()))),
    follow: None,
};

fn answer(all: Vec<Counter>) -> Answer {
    let rows: Vec<Vec<String>> =
        all.iter().map(|counter| vec![counter.name.clone(), counter.value.to_string()]).collect();
    let named = all.into_iter().map(|counter| (counter.name, counter.value.into())).collect();
    let text = aligned(&["what", "count"], &rows);
    Answer { text, document: serde_json::Value::Object(named) }
}
