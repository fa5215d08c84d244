//! The promises that must hold after every run, one file each. A checker looks at the records of all nodes and reports
//! violations.

mod counters_agree;
mod every_call_ends;
mod hung_up_from_both_sides;
mod no_stray;
mod nothing_left;
mod one_server;
#[cfg(test)]
mod planted;
mod registered;
mod rings_once;
mod strangers_change_nothing;

use crate::farm::Farm;

type Checker = fn(&Farm) -> Vec<String>;

/// Checkers with the names of their promises.
const ALL: [(&str, Checker); 9] = [
    ("counters agree", counters_agree::check),
    ("every call ends", every_call_ends::check),
    ("hung up from both sides", hung_up_from_both_sides::check),
    ("no stray", no_stray::check),
    ("nothing left", nothing_left::check),
    ("one server", one_server::check),
    ("registered", registered::check),
    ("rings once", rings_once::check),
    ("strangers change nothing", strangers_change_nothing::check),
];

/// All violations in a run. Calls that failed by chance alone are excused.
pub fn all(farm: &Farm) -> Vec<String> {
    let mut wrong = Vec::new();
    let unlucky = farm.unlucky();
    for (name, check) in ALL {
        wrong.extend(check(farm).into_iter().map(|line| format!("{name}: {line}")));
    }
    wrong.retain(|line| !unlucky.iter().any(|call_id| line.contains(call_id)));
    wrong
}
