//! What an operator can tell a running load manager: one set of verbs, each implemented once. `strowger ctl` reaches them
//! over the local socket, other programs over the HTTP API. Only the control thread, which owns the tables, carries out a
//! verb; askers go through the bounded [`desk`].
//!
//! A new verb is one file in `verbs` and one line in [`VERBS`]. Command line, socket, HTTP route and OpenAPI document are
//! made from it.

mod arguments;
pub(crate) mod asked;
pub(crate) mod change;
#[cfg(any(test, fuzzing))]
pub(crate) mod control_side;
pub(crate) mod desk;
pub(crate) mod difference;
mod host;
pub(crate) mod http;
pub(crate) mod part;
pub(crate) mod records;
mod refused;
pub(crate) mod report;
mod sections;
pub(crate) mod socket;
mod verbs;

pub(crate) use arguments::{Arguments, Parameter, ParameterKind, ParameterPlace};
pub(crate) use host::Host;
pub(crate) use refused::{RefusalKind, Refused};

use base::Time;
use serde_json::{Map, Value};

use crate::lb::control::Control;

/// What a load manager says when it is asked for calls.
pub(crate) const NO_CALLS: &str = "a load manager keeps no calls";

/// Every verb, in the order of help and documents.
pub(crate) const VERBS: &[Verb] = &[
    verbs::status::VERB,
    verbs::counters::VERB,
    verbs::ready::VERB,
    verbs::drain::VERB,
    verbs::undrain::VERB,
    verbs::add::VERB,
    verbs::remove::VERB,
    verbs::left::VERB,
    verbs::weight::VERB,
    verbs::policy::VERB,
    verbs::limits::VERB,
    verbs::log::VERB,
    verbs::reload::VERB,
    verbs::hand_over::VERB,
    verbs::why::VERB,
    verbs::choices::VERB,
    verbs::calls::VERB,
    verbs::call::VERB,
];

/// One verb.
pub(crate) struct Verb {
    /// One word, as on the command line.
    pub(crate) name: &'static str,
    /// One line for help and the OpenAPI document.
    pub(crate) about: &'static str,
    pub(crate) parameters: &'static [Parameter],
    pub(crate) route: Route,
    /// Checks the arguments, and does what may take long, such as reading a file, in the asking thread. The owner of the
    /// tables carries out the result, which must not wait for anything.
    pub(crate) read: fn(&Host, &Arguments) -> Result<Work, Refused>,
    /// The same at an engine or at the state tier, in the asking thread. `None`: only a load manager does it.
    pub(crate) part: Option<fn(&dyn part::Part, &Arguments) -> Outcome>,
    /// What the command line does after the answer: `--wait`.
    pub(crate) follow: Option<Follow>,
}

/// The HTTP route of the verb. A parameter with [`ParameterPlace::Path`] stands in braces in the path.
pub(crate) struct Route {
    pub(crate) method: Method,
    pub(crate) path: &'static str,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Method {
    Get,
    Post,
    Put,
    Delete,
}

impl Method {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Method::Get => "GET",
            Method::Post => "POST",
            Method::Put => "PUT",
            Method::Delete => "DELETE",
        }
    }
}

/// The work for the owner of the tables.
pub(crate) type Work = Box<dyn FnOnce(&mut Context<'_>) -> Outcome + Send>;
pub(crate) type Outcome = Result<Answer, Refused>;
/// Asks further verbs by name until the work is done or given up.
pub(crate) type Follow =
    fn(&mut dyn FnMut(&str, Map<String, Value>) -> Outcome, Answer, &Arguments) -> Outcome;

/// What a verb works on.
pub(crate) struct Context<'a> {
    pub(crate) now: Time,
    pub(crate) control: &'a mut Control,
    pub(crate) host: &'a Host,
}

impl Context<'_> {
    /// The configuration as it runs now, to change it.
    fn as_it_runs(&self) -> Result<config::Checked, Refused> {
        let starting =
            || Refused::new(RefusalKind::Busy, "the load manager is still starting", "ask again in a moment");
        self.control.as_it_runs(self.now).ok_or_else(starting)
    }
}

/// The outcome: for people, and as a document for programs.
#[derive(Clone, Debug, Default, PartialEq, serde::Serialize, serde::Deserialize)]
pub(crate) struct Answer {
    pub(crate) text: String,
    pub(crate) document: Value,
}

pub(crate) fn verb(name: &str) -> Option<&'static Verb> {
    VERBS.iter().find(|verb| verb.name == name)
}

#[cfg(test)]
pub(crate) mod testing;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn verbs_and_routes_are_told_apart() {
        for (at, verb) in VERBS.iter().enumerate() {
            for other in &VERBS[..at] {
                assert_ne!(verb.name, other.name);
                assert!(
                    (verb.route.method, verb.route.path) != (other.route.method, other.route.path),
                    "{} and {} share a route",
                    verb.name,
                    other.name
                );
            }
            for parameter in verb.parameters {
                let braces = verb.route.path.contains(&format!("{{{}}}", parameter.name));
                assert_eq!(
                    braces,
                    parameter.place == ParameterPlace::Path,
                    "{} {}",
                    verb.name,
                    parameter.name
                );
            }
        }
    }
}
