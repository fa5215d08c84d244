//! Calls that end because their application wants it (RFC 3261 §15).

use sip::Reject;

use super::{Effect, Look, cancelling, dialog, with_stored};
use crate::record::{Leg, LegState, Record};

/// Ends the call that is written next. Both sides get a BYE; a caller whom nobody has answered gets 480. `then`: what leaves.
pub(super) fn hang_up(
    look: &Look<'_>,
    record: &Record,
    next: &mut Record,
    then: &mut Vec<Effect>,
) -> Option<()> {
    let caller = next.legs.first()?;
    match caller.state {
        LegState::Confirmed => {
            let sides = next.legs.iter_mut().filter(|leg| leg.state == LegState::Confirmed);
            sides.for_each(Leg::hang_up);
            let ended = next.legs.iter().filter(|leg| leg.is_hung_up());
            then.extend(ended.filter_map(|leg| bye(look, next, leg)));
        }
        LegState::Calling | LegState::Early => {
            next.answer = with_stored(&record.invite, |invite| {
                look.text(record).own_answer(caller, invite, &Reject::with_status(480))
            })?
            .into();
            then.extend(cancelling::cancel_all(look, next, record, b""));
        }
        LegState::Cancelling | LegState::Ending | LegState::Failed | LegState::Closed => {}
    }
    Some(())
}

/// The BYE of one side.
pub(super) fn bye(look: &Look<'_>, record: &Record, leg: &Leg) -> Option<Effect> {
    Some(Effect::Bye(leg.number, dialog::own(look, record, leg, "BYE")?))
}
