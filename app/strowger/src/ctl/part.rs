//! The parts of a farm behind the load manager, engines and processes of the state tier, as verbs see them. They have no tables
//! with one owner: a verb is carried out in the thread that asks, from counters and from what the workers publish.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

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
            let address = http::serve(api.listen, api.open_metrics, desk)?;
            tracing::info!("HTTP API at http://{address}/");
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
