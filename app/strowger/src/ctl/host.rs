//! What verbs know of the process around the tables. Fixed when the load manager starts.

use std::path::PathBuf;

use std::sync::Arc;

use arc_swap::ArcSwap;

use base::Time;
use config::Tokens;
use fcaps::FaultLog;
use lb::shared::Shared;
use net::Clock;
use net::worker::Handle;

use crate::ctl::http::counters::ApiCounters;
use crate::lb::certificates::Certificates;
use crate::lb::choices::ChoiceLog;
use crate::lb::converged::Front;

pub(crate) struct Host {
    pub(crate) clock: Clock,
    pub(crate) started: Time,
    /// As it was at the start: what cannot change, such as the notes of choices, is read here without waiting.
    pub(crate) shared: Arc<Shared>,
    pub(crate) workers: Vec<Handle>,
    pub(crate) faults: FaultLog,
    /// Which a reload reads anew.
    pub(crate) certificates: Certificates,
    /// Choices of servers, line by line.
    pub(crate) choices: ChoiceLog,
    /// Who may do what by HTTP.
    pub(crate) tokens: ArcSwap<Tokens>,
    pub(crate) api: ApiCounters,
    /// HTTP to the servers; `None`: none.
    pub(crate) converged: Option<Arc<Front>>,
    /// What telling other load managers and hearing them came to.
    pub(crate) peers: Option<Arc<crate::lb::peers::Peers>>,
    /// The file that a reload reads; `None`: started from the short form.
    pub(crate) file: Option<PathBuf>,
}
