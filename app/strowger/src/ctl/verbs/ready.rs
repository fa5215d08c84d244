//! `ready`: whether it can serve a new call now. Health checks of others ask it by HTTP, without a token: the answer names
//! nothing that a stranger may not know.

use serde_json::json;

use crate::ctl::{Answer, Method, Outcome, RefusalKind, Refused, Route, Verb};

pub(crate) const VERB: Verb = Verb {
    name: "ready",
    about: "Tell whether it can serve a new call now",
    parameters: &[],
    route: Route { method: Method::Get, path: "/readyz" },
    read: |_, _| Ok(Box::new(|context| answer(context.control.not_ready().map(lb::shared::NotReady::words)))),
    part: Some(|part, _| answer(part.not_ready())),
    follow: None,
};

fn answer(not_ready: Option<&str>) -> Outcome {
    match not_ready {
        None => {
            Ok(Answer { text: "ready: it can serve a new call\n".into(), document: json!({ "ready": true }) })
        }
        Some(why) => Err(Refused::new(
            RefusalKind::Conflict,
            format!("not ready: {why}"),
            "`strowger status` says more",
        )),
    }
}
