//! `weight`: a server's share of new calls.

use lb::farm::server_table::WEIGHT_MAX;
use serde_json::json;

use super::drain::SERVER;
use crate::ctl::{Answer, Method, Parameter, ParameterKind, ParameterPlace, Refused, Route, Verb};

pub(super) const WEIGHT: Parameter = Parameter {
    name: "weight",
    kind: ParameterKind::Number(1, WEIGHT_MAX as u64),
    place: ParameterPlace::Body,
    required: true,
    help: "Share of new calls, relative to the other servers, 1 to 1000; for no new calls, `drain` the server",
};

pub(crate) const VERB: Verb = Verb {
    name: "weight",
    about: "Change a server's share of new calls; known calls stay where they are",
    parameters: &[SERVER, WEIGHT],
    route: Route { method: Method::Put, path: "/v1/servers/{server}/weight" },
    read: |_, arguments| {
        let (_, server) = arguments.server("server")?;
        let weight = arguments.number("weight").unwrap_or(1) as u32;
        Ok(Box::new(move |context| {
            let Some(row) = context.control.row(context.now, server) else {
                return Err(Refused::no_server(server));
            };
            context.control.table_mut().set_weight(server, weight);
            let text = format!("server {server}: weight {} is now {weight}", row.weight);
            context.control.note(&text);
            Ok(Answer { text, document: json!({ "server": server, "weight": weight, "before": row.weight }) })
        }))
    },
    part: None,
    follow: None,
};
