//! The verbs, one in each file; the list is in `ctl`.

pub(super) mod add;
pub(super) mod call;
pub(super) mod calls;
pub(super) mod choices;
pub(super) mod counters;
pub(super) mod drain;
pub(super) mod hand_over;
pub(super) mod left;
pub(super) mod limits;
pub(super) mod log;
pub(super) mod policy;
pub(super) mod ready;
pub(super) mod reload;
pub(super) mod remove;
pub(super) mod status;
pub(super) mod undrain;
pub(super) mod weight;
pub(super) mod why;

use serde::Serialize;

use super::{Answer, NO_CALLS, Outcome, RefusalKind, Refused};

/// A document, and its text for people.
fn answered(text: String, document: &impl Serialize) -> Outcome {
    let document = serde_json::to_value(document).map_err(|error| {
        Refused::new(RefusalKind::Impossible, error.to_string(), "this is a defect: report it")
    })?;
    Ok(Answer { text, document })
}

/// A load manager keeps no calls.
fn not_here() -> Refused {
    let remedy = "ask an engine or the state tier: --control with its socket, or its HTTP API";
    Refused::new(RefusalKind::NotFound, NO_CALLS, remedy)
}

/// The state tier could not be read.
fn unread(error: &std::io::Error) -> Refused {
    let remedy = "`strowger status` says what is wrong; ask again in a moment";
    Refused::new(RefusalKind::Busy, format!("the records cannot be read: {error}"), remedy)
}
