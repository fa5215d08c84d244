//! `left`: the number of known calls left at a server.

use serde_json::json;

use super::drain::{SERVER, words};
use crate::ctl::{Answer, Method, Refused, Route, Verb};

pub(crate) const VERB: Verb = Verb {
    name: "left",
    about: "Show how many known calls are left at a server, and how that is known",
    parameters: &[SERVER],
    route: Route { method: Method::Get, path: "/v1/servers/{server}/left" },
    read: |_, arguments| {
        let (_, server) = arguments.server("server")?;
        Ok(Box::new(move |context| {
            let left = context.control.left_at(context.now, server).ok_or(Refused::no_server(server))?;
            Ok(Answer { text: words(&left), document: json!({ "server": server, "left": left }) })
        }))
    },
    part: None,
    follow: None,
};
