//! `drain`: a server gets no new calls and keeps its known calls.

use std::time::{Duration, Instant};

use serde_json::{Map, Value, json};

use crate::ctl::{
    Answer, Arguments, Method, Outcome, Parameter, ParameterKind, ParameterPlace, RefusalKind, Refused,
    Route, Verb,
};
use crate::report::left::{Left, QUIET};

pub(super) const SERVER: Parameter = Parameter {
    name: "server",
    kind: ParameterKind::Server,
    place: ParameterPlace::Path,
    required: true,
    help: "ADDRESS:PORT of the server, as `status` lists it",
};

const fn of_command_line(name: &'static str, kind: ParameterKind, help: &'static str) -> Parameter {
    Parameter { name, kind, place: ParameterPlace::CommandLine, required: false, help }
}

pub(crate) const VERB: Verb = Verb {
    name: "drain",
    about: "Give a server no new calls; it keeps its known calls",
    parameters: &[
        SERVER,
        of_command_line("wait", ParameterKind::Flag, "Return when no call is left at the server"),
        of_command_line(
            "timeout",
            ParameterKind::Number(1, 86_400),
            "With --wait: give up after this many seconds",
        ),
        of_command_line(
            "quiet",
            ParameterKind::Number(1, 86_400),
            "With --wait, if calls are not counted: the server is empty when nothing was sent to it for this many seconds; 900",
        ),
    ],
    route: Route { method: Method::Post, path: "/v1/servers/{server}/drain" },
    read: |_, arguments| {
        let (_, server) = arguments.server("server")?;
        Ok(Box::new(move |context| {
            if !context.control.table_mut().drain(context.now, server, true) {
                return Err(Refused::no_server(server));
            }
            context.control.note(&format!("server {server} drained by an operator"));
            let left = context.control.left_at(context.now, server).unwrap_or_default();
            let text =
                format!("server {server} drains: it gets no new calls; known calls go on\n{}", words(&left));
            Ok(Answer { text, document: json!({ "server": server, "drained": true, "left": left }) })
        }))
    },
    part: None,
    follow: Some(wait),
};

pub(super) fn words(left: &Left) -> String {
    let at_least = if left.all_known { "" } else { "at least " };
    match left.empty {
        true => format!("no call is left ({})", left.known_by),
        false => format!("{at_least}{} calls are left ({})", left.calls, left.known_by),
    }
}

/// Time between two looks of `--wait`.
const LOOK: Duration = Duration::from_millis(500);

fn wait(
    ask: &mut dyn FnMut(&str, Map<String, Value>) -> Outcome,
    first: Answer,
    arguments: &Arguments,
) -> Outcome {
    if !arguments.flag("wait") {
        return Ok(first);
    }
    let (_, server) = arguments.server("server")?;
    let quiet = arguments.number("quiet").unwrap_or(QUIET.as_secs());
    errln!("{}", first.text);
    errln!(
        "waiting until no call is left; if calls are not counted, until nothing was sent to the server for {quiet} s (--quiet)"
    );
    let end = arguments.number("timeout").map(|seconds| Instant::now() + Duration::from_secs(seconds));
    loop {
        let given = Map::from_iter([("server".to_owned(), Value::from(server.to_string()))]);
        let left: Left = match ask("left", given) {
            Ok(answer) => serde_json::from_value(answer.document["left"].clone()).unwrap_or_default(),
            // A server that the configuration no longer names leaves by itself when it is empty.
            Err(refused) if refused.why == RefusalKind::NotFound => Left { empty: true, ..Left::default() },
            Err(refused) => return Err(refused),
        };
        let quiet = arguments.number("quiet").is_some_and(|quiet| left.quiet_seconds >= quiet);
        if left.empty || (left.calls == 0 && quiet) {
            let text = format!("server {server} is drained: no call is left");
            return Ok(Answer { text, document: json!({ "server": server, "drained": true, "left": left }) });
        }
        if end.is_some_and(|end| Instant::now() >= end) {
            let what = format!("server {server} still has calls: {}", words(&left));
            return Err(Refused::new(
                RefusalKind::Conflict,
                what,
                "the server goes on draining; wait longer, or `undrain` it",
            ));
        }
        std::thread::sleep(LOOK);
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use crate::ctl::RefusalKind;
    use crate::ctl::testing::Owner;

    #[test]
    fn a_drained_server_gets_no_new_calls_until_it_is_resumed() {
        let owner = Owner::of_two();
        let state = |owner: &Owner| {
            let report = owner.ask("status", json!({})).unwrap().document;
            report["servers"][0]["state"].as_str().unwrap().to_owned()
        };
        assert_eq!(state(&owner), "active");
        let server = json!({ "server": "127.0.0.1:7000" });
        let drained = owner.ask("drain", server.clone()).unwrap();
        assert_eq!(drained.document["left"]["calls"], 0);
        // Nothing counts calls here, so the answer says that there may be more.
        assert_eq!(drained.document["left"]["all_known"], false);
        assert_eq!(state(&owner), "known calls only");
        owner.ask("undrain", server.clone()).unwrap();
        assert_eq!(state(&owner), "active");
        assert_eq!(owner.ask("left", server).unwrap().document["left"]["empty"], false);
        let refused = owner.ask("drain", json!({ "server": "127.0.0.1:7002" })).err().unwrap();
        assert_eq!(refused.why, RefusalKind::NotFound);
    }
}
