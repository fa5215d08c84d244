//! What is asked again, and what the answer means then.
//!
//! A command whose answer was lost may have taken effect. It is sent again as it was. A write that finds what it would have written
//! has taken effect, and counts as done.

use crate::command::{Answer, Command, Del};
use crate::header::Header;

/// Whether a command whose answer was lost is sent again. The others are asked again by the asker, with a newer time in them.
pub(super) fn is_repeated(command: &Command) -> bool {
    match command {
        Command::Create(_)
        | Command::Put(_)
        | Command::Del(_)
        | Command::Peek { .. }
        | Command::Wake { .. }
        | Command::OwnedBy(_)
        | Command::List(_)
        | Command::Find { .. }
        | Command::Count { .. }
        | Command::Drained { .. } => true,
        Command::Due(_) | Command::Mark(_) | Command::Drain { .. } => false,
    }
}

/// What the answer to a command that was sent before means for its asker.
///
/// The whole record is compared, not only its stamp: an asker that was told nothing may have made another record with the same
/// stamp since, and must not take one for the other.
pub(super) fn of_repeated(command: &Command, answer: Answer) -> Answer {
    match (command, answer) {
        (Command::Create(create), Answer::Refused(Some(there))) if there == create.record => Answer::Done,
        (Command::Put(put), Answer::Refused(Some(there))) if there == put.record => Answer::Done,
        (Command::Del(del), Answer::Refused(there)) if is_left_by(del, there.as_deref()) => Answer::Done,
        // The voter is counted, whether by this command or by an earlier one.
        (Command::Count { .. }, Answer::Counted(false)) => Answer::Counted(true),
        (_, answer) => answer,
    }
}

/// Whether a del has left this, or nothing.
fn is_left_by(del: &Del, there: Option<&[u8]>) -> bool {
    let Some(there) = there else { return true };
    let Some(mut tombstone) = del.tombstone.clone() else { return false };
    Header::mark_as_tombstone(&mut tombstone);
    *tombstone == *there
}
