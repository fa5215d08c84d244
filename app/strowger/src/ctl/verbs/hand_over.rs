//! `hand-over`: the program is started anew, with the same options, and takes the place of the running one.

use std::time::{Duration, Instant};

use serde_json::{Map, Value, json};

use crate::ctl::{
    Answer, Arguments, Method, Outcome, Parameter, ParameterKind, ParameterPlace, RefusalKind, Refused,
    Route, Verb,
};

/// The program is not started; how the last start went.
const LOOK: &str = "look";

pub(crate) const VERB: Verb = Verb {
    name: "hand-over",
    about: "Start the program anew and let it go on in the place of the running one, under calls",
    parameters: &[Parameter {
        name: LOOK,
        kind: ParameterKind::Flag,
        place: ParameterPlace::CommandLine,
        required: false,
        help: "Start nothing; show which process serves, and how the last start went",
    }],
    route: Route { method: Method::Post, path: "/v1/hand-over" },
    read: |host, arguments| {
        let Some(giving) = &host.giving else {
            return Err(Refused::new(
                RefusalKind::Conflict,
                "this load manager has no sockets",
                "ask the one that serves",
            ));
        };
        let own = std::process::id();
        if arguments.flag(LOOK) {
            let failed = giving.successor.failed();
            let text = format!("process {own} serves{}", failed.as_deref().unwrap_or_default());
            let document = json!({ "pid": own, "failed": failed });
            return Ok(Box::new(move |_| Ok(Answer { text, document })));
        }
        let started = giving.successor.start().map_err(|error| {
            let remedy = "wait for a start that goes on; else see that the program can be run, with what it was started with";
            Refused::new(RefusalKind::Impossible, format!("the program cannot be started: {error}"), remedy)
        })?;
        let text = format!("process {started} starts, to go on in the place of process {own}");
        let document = json!({ "pid": own, "process": started });
        Ok(Box::new(move |_| Ok(Answer { text, document })))
    },
    part: None,
    follow: Some(wait),
};

/// Time between two looks, and for all of them: a start reads files, and may wait for a slow machine.
const PAUSE: Duration = Duration::from_millis(100);
const PATIENCE: Duration = Duration::from_secs(60);

fn wait(
    ask: &mut dyn FnMut(&str, Map<String, Value>) -> Outcome,
    first: Answer,
    arguments: &Arguments,
) -> Outcome {
    if arguments.flag(LOOK) {
        return Ok(first);
    }
    let (before, end) = (first.document["pid"].clone(), Instant::now() + PATIENCE);
    while Instant::now() < end {
        std::thread::sleep(PAUSE);
        // While one ends and the other begins, an answer may fail; the next one tells.
        let Ok(seen) = ask(VERB.name, Map::from_iter([(LOOK.to_owned(), Value::Bool(true))])) else {
            continue;
        };
        if seen.document["pid"] != before {
            let text = format!("process {} serves from now on", seen.document["pid"]);
            return Ok(Answer { text, document: seen.document });
        }
        if let Some(failed) = seen.document["failed"].as_str() {
            let remedy = "the log of the load manager has its words; the running one goes on";
            return Err(Refused::new(RefusalKind::Impossible, failed, remedy));
        }
    }
    let remedy = "`strowger status` shows which process serves; the log says more";
    Err(Refused::new(RefusalKind::Busy, "the new process has not begun in time", remedy))
}
