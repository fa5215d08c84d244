//! `drain`: a server gets no new calls and keeps those that are known.

use serde_json::json;

use crate::ctl::{Answer, Kind, Method, Parameter, Place, Refused, Route, Verb};

pub(super) const SERVER: Parameter = Parameter {
    name: "server",
    kind: Kind::Server,
    place: Place::Path,
    required: true,
    help: "ADDRESS:PORT of the server, as `status` lists it",
};

pub(crate) const VERB: Verb = Verb {
    name: "drain",
    about: "No new calls for a server; it keeps those that are known",
    parameters: &[SERVER],
    route: Route { method: Method::Post, path: "/v1/servers/{server}/drain" },
    read: |_, arguments| {
        let (_, server) = arguments.server("server")?;
        Ok(Box::new(move |context| {
            if !context.control.table_mut().drain(context.now, server, true) {
                return Err(Refused::no_server(server));
            }
            context.control.note(&format!("server {server} drained by an operator"));
            let text = format!("server {server} drains: no new calls, known ones go on");
            Ok(Answer { text, document: json!({ "server": server, "drained": true }) })
        }))
    },
    follow: None,
};

#[cfg(test)]
mod tests {
    use serde_json::json;

    use crate::ctl::Why;
    use crate::ctl::testing::Owner;

    #[test]
    fn a_drained_server_gets_no_new_calls_until_it_is_resumed() {
        let owner = Owner::of_two();
        let state = |owner: &Owner| {
            let report = owner.ask("status", json!({})).unwrap().document;
            report["servers"][0]["state"].as_str().unwrap().to_owned()
        };
        assert_eq!(state(&owner), "active");
        owner.ask("drain", json!({ "server": "127.0.0.1:7000" })).unwrap();
        assert_eq!(state(&owner), "known calls only");
        owner.ask("undrain", json!({ "server": "127.0.0.1:7000" })).unwrap();
        assert_eq!(state(&owner), "active");
        let refused = owner.ask("drain", json!({ "server": "127.0.0.1:7002" })).err().unwrap();
        assert_eq!(refused.why, Why::NotFound);
    }
}
