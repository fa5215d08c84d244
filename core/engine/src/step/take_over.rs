//! What an engine does with the call of a dead one: it repeats what the other side may not have got.

use state::planted::{self, Bug};

use super::{Change, Counted, Effect, Look, Step, asking, ending, hanging_up, timer, with_stored};
use crate::record::{Leg, LegState, Record};
use crate::text;

/// The call has a new owner. Nothing leaves before that is written: who runs timer B must be who hears the answer. A confirmed
/// call needs nothing; whoever gets its next message goes on with it.
pub(super) fn of(look: &Look<'_>, record: &Record) -> Option<Step> {
    let mut then = Vec::new();
    for leg in record.legs.iter().skip(1) {
        match leg.state {
            LegState::Cancelling if planted::is(Bug::CancelForgotten) => {}
            LegState::Calling | LegState::Early | LegState::Cancelling => {
                let text = look.text(record);
                let written = with_stored(&record.invite, |invite| text.invite(leg, invite));
                then.extend(written.map(|written| Effect::Invite(leg.number, written)));
            }
            LegState::Ending if leg.is_hung_up() => then.extend(hanging_up::bye(look, record, leg)),
            LegState::Ending => then.extend(ends_of(look, record, leg)?),
            LegState::Confirmed | LegState::Failed | LegState::Closed => {}
        }
    }
    let caller = record.legs.first()?;
    if caller.state == LegState::Failed {
        let target = with_stored(&record.answer, |answer| Some(sip::answer::target(answer, caller.flow?)))?;
        then.push(Effect::Fail { bytes: record.answer.to_vec(), target });
    }
    if caller.state == LegState::Ending {
        then.extend(hanging_up::bye(look, record, caller));
    }
    if then.is_empty() {
        return match record.timers.iter().find(|timer| timer.due <= look.millis()) {
            Some(due) => timer::of_application(look, record, due.id),
            None => asking::ask(look, record),
        };
    }
    then.push(Effect::Count(Counted::TakenOver));
    let wake = Some(look.wake_after(look.settings.timers.b()));
    let mut next = look.next(record);
    next.story.taken_over = record.story.taken_over.saturating_add(1);
    next.story.taken_over_ms = record.story_ms(look.micros);
    let change = Change::Put { record: next, wake };
    Some(Step::write(change, then))
}

/// The ACK is sent again whether or not the callee has it.
fn ends_of(look: &Look<'_>, record: &Record, leg: &Leg) -> Option<[Effect; 2]> {
    let sequence = with_stored(&record.invite, |invite| leg.offset.out(text::sequence(invite)?))?;
    ending::ends_of(&look.text(record), leg, sequence)
}
