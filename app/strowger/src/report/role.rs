//! What any running part of a farm tells about itself. The key `role` of the document says which part it is.

use serde::{Deserialize, Serialize};

use crate::report::engine::{self, EngineReport};
use crate::report::state::{self, StateReport};
use crate::report::status::StatusReport;
use crate::report::text;

/// See the head of this module.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "role", rename_all = "lowercase")]
pub(crate) enum Report {
    Lb(Box<StatusReport>),
    Engine(Box<EngineReport>),
    State(Box<StateReport>),
}

impl Report {
    /// What is wrong now, each with its effect. Empty: all is well.
    pub(crate) fn wrong(&self) -> Vec<String> {
        match self {
            Report::Lb(report) => report.wrong(),
            Report::Engine(report) => report.wrong.clone(),
            Report::State(report) => report.wrong.clone(),
        }
    }

    pub(crate) fn for_people(&self) -> String {
        match self {
            Report::Lb(report) => text::for_people(report),
            Report::Engine(report) => engine::for_people(report),
            Report::State(report) => state::for_people(report),
        }
    }
}
