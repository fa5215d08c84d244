//! What must hold after every run, one file per promise. A checker looks at what all saw and says what was wrong.

mod every_call_ends;
mod no_stray;
mod nothing_left;
mod one_server;

use crate::farm::Farm;

type Checker = fn(&Farm) -> Vec<String>;

/// By the name of the promise.
const ALL: [(&str, Checker); 4] = [
    ("every call ends", every_call_ends::check),
    ("no stray", no_stray::check),
    ("nothing left", nothing_left::check),
    ("one server", one_server::check),
];

/// All that is wrong with a run; empty if nothing is.
pub fn all(farm: &Farm) -> Vec<String> {
    let mut wrong = Vec::new();
    for (name, check) in ALL {
        wrong.extend(check(farm).into_iter().map(|line| format!("{name}: {line}")));
    }
    wrong
}
