//! The parts of a farm behind the load manager, engines and processes of the state tier, as verbs see them. They have no tables
//! with one owner: a verb is carried out in the thread that asks, from counters and from what the workers publish.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use arc_swap::ArcSwapOption;
use config::{Api, Tokens};
use serde_json::{Map, Value};

use super::asked::Asked;
use super::http;
use super::http::counters::ApiCounters;
use super::records::Records;
use super::socket::{ControlSocket, explained};
use super::{Arguments, Outcome, RefusalKind, Refused, VERBS, verb};
use crate::report::role::Report;
use crate::report::status::Counter;

/// See the head of this module.
pub(crate) trait Part: Send + Sync {
    /// `engine`, `state`: the name of its role.
    fn role(&self) -> &'static str;
    fn report(&self) -> Report;
    /// Why it can serve no new call now. `None`: it can.
    fn not_ready(&self) -> Option<&'static str>;
    fn counters(&self) -> Vec<Counter>;
    /// The records of calls, over connections of their own.
    fn records(&self) -> io::Result<Box<dyn Records>>;
    /// The partition of a caller's Call-ID, if this part knows the farm's secret.
    fn partition_of(&self, call_id: &str) -> Option<u8>;
}

/// The place where verbs are asked of a part.
pub(crate) struct PartDesk<P> {
    part: P,
    tokens: Arc<Tokens>,
    api: Arc<ApiCounters>,
}

impl<P: Part> PartDesk<P> {
    /// `api`: shared with the part, which shows it among its counters.
    pub(crate) fn new(part: P, tokens: Tokens, api: Arc<ApiCounters>) -> PartDesk<P> {
        PartDesk { part, tokens: Arc::new(tokens), api }
    }
}

/// Where a part can be asked.
#[derive(Clone, Debug, Default)]
pub(crate) struct ControlOptions {
    /// The control socket.
    pub(crate) socket: Option<PathBuf>,
    pub(crate) api: Option<Api>,
}

impl ControlOptions {
    /// Opens what is wanted. The socket is served until it is dropped, the HTTP API until the process ends.
    pub(crate) fn open<P: Part + 'static>(
        &self,
        part: P,
        counters: Arc<ApiCounters>,
    ) -> io::Result<Option<ControlSocket>> {
        let tokens = self.api.as_ref().map(|api| api.tokens.clone()).unwrap_or_default();
        let desk: Arc<dyn Asked> = Arc::new(PartDesk::new(part, tokens, counters));
        let open = |path: &PathBuf| {
            ControlSocket::serve(path, Arc::clone(&desk)).map_err(|error| explained(path, &error))
        };
        let socket = self.socket.as_ref().map(open).transpose()?;
        if let Some(api) = &self.api {
            let certificate = Arc::new(ArcSwapOption::from_pointee(api.https.clone()));
            let address = http::serve(api.listen, api.open_metrics, certificate, desk)?;
            tracing::info!("HTTP API at {}://{address}/", http::certificate::scheme(api.https.as_ref()));
        }
        Ok(socket)
    }
}

impl<P: Part> Asked for PartDesk<P> {
    fn ask(&self, name: &str, given: Map<String, Value>) -> Outcome {
        let role = self.part.role();
        let Some((verb, work)) = verb(name).and_then(|verb| Some((verb, verb.part?))) else {
            let names: Vec<&str> =
                VERBS.iter().filter(|verb| verb.part.is_some()).map(|verb| verb.name).collect();
            let what = format!("this is the role `{role}`, which has no verb `{name}`");
            let remedy = format!("its verbs are {}; ask the load manager for others", names.join(", "));
            return Err(Refused::new(RefusalKind::NotFound, what, remedy));
        };
        work(&self.part, &Arguments::read(verb, given)?)
    }

    fn tokens(&self) -> Arc<Tokens> {
        Arc::clone(&self.tokens)
    }

    fn api(&self) -> &ApiCounters {
        &self.api
    }
}

#[cfg(test)]
mod tests {
    use engine::record::{Leg, LegState, Record, Tombstone};
    use serde_json::json;
    use state::{Header, Key, Millis};

    use super::*;
    use crate::ctl::records::Piece;

    /// A part with these records, all in partition 7.
    struct Fake(Vec<(Key, Box<[u8]>)>);

    impl Records for Fake {
        fn list(&mut self, partition: u8, _after: Millis, _limit: u32) -> io::Result<Piece> {
            let records = if partition == 7 { self.0[..1].to_vec() } else { Vec::new() };
            Ok((records, None))
        }

        fn get(&mut self, key: Key) -> io::Result<Option<Box<[u8]>>> {
            Ok(self.0.iter().find(|(known, _)| *known == key).map(|(_, record)| record.clone()))
        }
    }

    impl Part for Fake {
        fn role(&self) -> &'static str {
            "engine"
        }

        fn report(&self) -> Report {
            Report::Engine(Box::default())
        }

        fn not_ready(&self) -> Option<&'static str> {
            self.0.is_empty().then_some("the state tier is out of reach")
        }

        fn counters(&self) -> Vec<Counter> {
            vec![Counter { name: "engine_begun".into(), value: 3 }]
        }

        fn records(&self) -> io::Result<Box<dyn Records>> {
            Ok(Box::new(Fake(self.0.clone())))
        }

        /// A wrong one, as that of a callee's Call-ID: the call is found by reading all.
        fn partition_of(&self, _call_id: &str) -> Option<u8> {
            Some(8)
        }
    }

    /// A call that is up under the key 7…, and one that is gone under 8….
    fn desk() -> PartDesk<Fake> {
        let leg = |number, call_id: &str| Leg {
            number,
            state: LegState::Confirmed,
            call_id: call_id.as_bytes().into(),
            ..Leg::default()
        };
        let record = Record { legs: vec![leg(0, "a"), leg(1, "b")], ..Record::default() };
        let (mut up, mut gone) = (Vec::new(), Vec::new());
        record.write(&mut up);
        Tombstone { status: 486, ..Tombstone::default() }.write(&Header::default(), &mut gone);
        let records = vec![(Key([7; 12]), up.into()), (Key([8; 12]), gone.into())];
        PartDesk::new(Fake(records), Tokens::default(), Arc::default())
    }

    fn ask(verb: &str, arguments: Value) -> Outcome {
        desk().ask(verb, arguments.as_object().cloned().unwrap_or_default())
    }

    #[test]
    fn calls_are_listed_by_state_and_engine() {
        let keys = |arguments: Value| {
            let document = ask("calls", arguments).unwrap().document;
            document["calls"].as_array().map_or(0, Vec::len)
        };
        assert_eq!(keys(json!({})), 1);
        assert_eq!(keys(json!({ "state": "up", "engine": 0 })), 1);
        assert_eq!(keys(json!({ "state": "ringing" })), 0);
        assert_eq!(keys(json!({ "engine": 5 })), 0);
        assert_eq!(ask("calls", json!({ "state": "asleep" })).unwrap_err().why, RefusalKind::Bad);
    }

    #[test]
    fn a_call_is_found_by_its_key_and_by_the_call_id_of_either_side() {
        let key = Key([7; 12]).to_string();
        for id in [&key, "a", "b"] {
            let document = ask("call", json!({ "id": id })).unwrap().document;
            assert_eq!((&document[0]["key"], &document[0]["state"]), (&json!(key), &json!("up")), "{id}");
        }
        let gone = ask("call", json!({ "id": Key([8; 12]).to_string() })).unwrap();
        assert!(gone.text.contains("is gone") && gone.text.contains("486"), "{}", gone.text);
        assert_eq!(ask("call", json!({ "id": "c" })).unwrap_err().why, RefusalKind::NotFound);
    }

    #[test]
    fn what_only_a_load_manager_does_is_refused_with_the_verbs_that_there_are() {
        let refused = ask("drain", json!({ "server": "127.0.0.1:5060" })).unwrap_err();
        assert_eq!(refused.why, RefusalKind::NotFound);
        assert!(refused.remedy.contains("status, counters, ready, log, calls, call"), "{}", refused.remedy);
        assert_eq!(ask("counters", json!({})).unwrap().document["engine_begun"], 3);
        assert_eq!(ask("status", json!({})).unwrap().document["role"], "engine");
        assert_eq!(ask("ready", json!({})).unwrap().document, json!({ "ready": true }));
        let desk = PartDesk::new(Fake(Vec::new()), Tokens::default(), Arc::default());
        let refused = desk.ask("ready", Map::new()).unwrap_err();
        assert_eq!(
            (refused.why, &*refused.what),
            (RefusalKind::Conflict, "not ready: the state tier is out of reach")
        );
    }
}
