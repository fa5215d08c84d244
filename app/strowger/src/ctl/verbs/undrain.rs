//! `undrain`: a drained server gets new calls again.

use serde_json::json;

use super::drain::SERVER;
use crate::ctl::{Answer, Method, Refused, Route, Verb};

pub(crate) const VERB: Verb = Verb {
    name: "undrain",
    about: "Give a drained server new calls again",
    parameters: &[SERVER],
    route: Route { method: Method::Post, path: "/v1/servers/{server}/undrain" },
    read: |_, arguments| {
        let (_, server) = arguments.server("server")?;
        Ok(Box::new(move |context| {
            if !context.control.table_mut().drain(context.now, server, false) {
                return Err(Refused::no_server(server));
            }
            context.control.note(&format!("server {server} resumed by an operator"));
            let text = format!("server {server} gets new calls again");
            Ok(Answer { text, document: json!({ "server": server, "drained": false }) })
        }))
    },
    part: None,
    follow: None,
};
