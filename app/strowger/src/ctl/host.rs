//! What verbs know of the process around the tables. All of it is fixed when the load manager starts.

use std::path::PathBuf;

use std::sync::Arc;

use arc_swap::ArcSwap;

use base::Time;
use config::Tokens;
use fcaps::FaultLog;
use lb::shared::Shared;
use net::Clock;
use net::worker::Handle;

use crate::ctl::http::certificate::Certificate;
use crate::ctl::http::counters::ApiCounters;
use crate::lb::certificates::Certificates;
use crate::lb::choices::ChoiceLog;
use crate::lb::converged::Front;
use crate::lb::hand_over::Giving;

pub(crate) struct Host {
    pub(crate) clock: Clock,
    pub(crate) started: Time,
    /// The configuration at the start: what cannot change, such as the notes of choices, is read from here without waiting.
    pub(crate) shared: Arc<Shared>,
    pub(crate) workers: Vec<Handle>,
    pub(crate) faults: FaultLog,
    /// A reload reads these files again.
    pub(crate) certificates: Certificates,
    /// The log of choices of servers.
    pub(crate) choices: ChoiceLog,
    /// Who may do what by HTTP.
    pub(crate) tokens: ArcSwap<Tokens>,
    pub(crate) api: ApiCounters,
    /// The certificate of the HTTP API.
    pub(crate) https: Certificate,
    /// HTTP to the servers. `None`: there is none.
    pub(crate) converged: Option<Arc<Front>>,
    /// Counts of notices told and heard.
    pub(crate) peers: Option<Arc<crate::lb::peers::Peers>>,
    /// The file that a reload reads. `None`: the load manager was started with options alone.
    pub(crate) file: Option<PathBuf>,
    /// All that another process gets that takes the place of this one. `None`: there are no sockets.
    pub(crate) giving: Option<Giving>,
}

impl Host {
    /// Another process has taken the place of this one.
    pub(crate) fn is_over(&self) -> bool {
        self.giving.as_ref().is_some_and(|giving| giving.over.is_so())
    }
}
