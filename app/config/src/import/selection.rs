//! How another program chooses among its destinations, in the load manager's words.

use crate::import::remark::Remarks;

/// See the head of this module.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Selected {
    /// `selection.kind`.
    pub(super) kind: &'static str,
    /// Priorities decide who gets calls; otherwise they only order the attempts.
    pub(super) by_priority: bool,
}

/// Notes an algorithm that nobody named. `place` is what was read; the script is that of the program.
pub(super) fn note_guess(algorithm: u64, because: &str, place: &str, script: &str, remarks: &mut Remarks) {
    remarks.add(
        0,
        format!(
            "the algorithm stands in the script, not in this {place}: taken as {algorithm}, as {because}"
        ),
        format!("look for ds_select_dst in {script}, and give `--algorithm N` if it has another"),
    );
}

/// Notes what an algorithm does that the load manager does not, and what to do instead. `own`: what holds for one program; the
/// numbers that mean the same to Kamailio's and to OpenSIPS's dispatcher stand here.
pub(super) fn note_unlike(algorithm: u64, own: Option<(&str, &str)>, remarks: &mut Remarks) {
    let unlike = match algorithm {
        1 | 2 | 3 | 5 | 7 => Some((
            "hashes the user; the load manager hashes the Call-ID, so the calls of one user reach several servers",
            "move only if each server can take each call; registrations do go by user (`register.to`)",
        )),
        6 => Some(("chooses by chance; the load manager takes turns", "nothing")),
        _ => own,
    };
    if let Some((what, instead)) = unlike {
        remarks.add(0, format!("algorithm {algorithm} {what}"), instead);
    }
}
