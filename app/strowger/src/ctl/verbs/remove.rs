//! `remove`: a server leaves the farm for good.

use lb::farm::condition::Condition;
use serde_json::json;

use super::drain::SERVER;
use crate::ctl::{
    Answer, Method, Parameter, ParameterKind, ParameterPlace, RefusalKind, Refused, Route, Verb,
};

pub(crate) const VERB: Verb = Verb {
    name: "remove",
    about: "Remove a drained or failed server from the farm",
    parameters: &[
        SERVER,
        Parameter {
            name: "force",
            kind: ParameterKind::Flag,
            place: ParameterPlace::Body,
            required: false,
            help: "Remove a server in use, too: other servers take over its known calls, and calls that they do not know fail",
        },
    ],
    route: Route { method: Method::Delete, path: "/v1/servers/{server}" },
    read: |_, arguments| {
        let (_, server) = arguments.server("server")?;
        let force = arguments.flag("force");
        Ok(Box::new(move |context| {
            let Some(row) = context.control.row(context.now, server) else {
                return Err(Refused::no_server(server));
            };
            if row.condition == Condition::Active && !force {
                let what = format!("server {server} is active: its known calls would be lost");
                let remedy = format!("`strowger ctl drain {server} --wait` first, or --force");
                return Err(Refused::new(RefusalKind::Conflict, what, remedy));
            }
            context.control.table_mut().remove(server);
            let text = format!("server {server} removed");
            context.control.note(&text);
            Ok(Answer { text, document: json!({ "server": server, "removed": true }) })
        }))
    },
    part: None,
    follow: None,
};
