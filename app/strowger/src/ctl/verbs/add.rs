//! `add`: a server joins the farm.

use lb::settings::ServerEntry;
use serde_json::json;
use sip::Transport;

use super::weight::WEIGHT;
use crate::ctl::{
    Answer, Method, Parameter, ParameterKind, ParameterPlace, RefusalKind, Refused, Route, Verb,
};

pub(crate) const VERB: Verb = Verb {
    name: "add",
    about: "Add a server to the farm; it gets its share of new calls",
    parameters: &[
        Parameter {
            name: "server",
            kind: ParameterKind::Server,
            place: ParameterPlace::Body,
            required: true,
            help: "[udp:|tcp:]ADDRESS:PORT of the new server",
        },
        Parameter { required: false, ..WEIGHT },
    ],
    route: Route { method: Method::Post, path: "/v1/servers" },
    read: |_, arguments| {
        let (transport, address) = arguments.server("server")?;
        let weight = arguments.number("weight").unwrap_or(1) as u32;
        Ok(Box::new(move |context| {
            let listeners = &context.control.shared().settings.listeners;
            let has_udp = listeners.iter().any(|listener| listener.transport == Transport::Udp);
            let transport = transport.unwrap_or(if has_udp { Transport::Udp } else { Transport::Tcp });
            let reaches = |listener: &lb::settings::Listener| {
                listener.transport == transport && listener.advertise.is_ipv4() == address.is_ipv4()
            };
            if !listeners.iter().any(reaches) {
                let token = transport.uri_token();
                let what =
                    format!("{address} needs a listener for {token} of its IP version, and there is none");
                let remedy = format!("add a listener {token}:… to the configuration and restart");
                return Err(Refused::new(RefusalKind::Impossible, what, remedy));
            }
            if context.control.row(context.now, address).is_some() {
                let what = format!("server {address} is already in the farm");
                return Err(Refused::new(
                    RefusalKind::Conflict,
                    what,
                    "`weight` changes its share; `undrain` gives it new calls again",
                ));
            }
            let entry = ServerEntry { weight, ..ServerEntry::at(address, transport) };
            context.control.table_mut().add(context.now, &entry).map_err(|refusal| {
                Refused::new(RefusalKind::Conflict, refusal.to_string(), "`status` shows the server table")
            })?;
            let text = format!("server {address} added, {}, weight {weight}", transport.uri_token());
            context.control.note(&text);
            let document = json!({ "server": address, "transport": transport.uri_token(), "weight": weight });
            Ok(Answer { text, document })
        }))
    },
    part: None,
    follow: None,
};
