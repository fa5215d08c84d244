//! Whoever answers verbs: a load manager by its desk, an engine or a process of the state tier by itself. The control socket
//! and the HTTP API ask it and know no more of it.

use std::sync::Arc;

use config::Tokens;
use serde_json::{Map, Value};

use super::Outcome;
use super::http::counters::ApiCounters;
use crate::lb::hand_over::Giving;

/// See the head of this module.
pub(crate) trait Asked: Send + Sync {
    /// Has a verb carried out, and waits for the outcome.
    fn ask(&self, verb: &str, given: Map<String, Value>) -> Outcome;
    /// Who may do what by HTTP.
    fn tokens(&self) -> Arc<Tokens>;
    /// All that another process gets that takes the place of this one. `None`: nobody can take it.
    fn giving(&self) -> Option<&Giving> {
        None
    }
    /// Counts what is asked by HTTP.
    fn api(&self) -> &ApiCounters;
}
