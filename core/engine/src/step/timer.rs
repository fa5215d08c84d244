//! Timers that have run out (RFC 3261 §17, §16.8).

use sip::Reject;
use state::Millis;

use super::failure::{self, Said};
use super::{
    Change, Effect, Look, Step, Timer, asking, cancelling, ending, first_timer, hanging_up, with_stored,
    within,
};
use crate::names::Leg as LegNumber;
use crate::record::{LegState, Record};

pub(super) fn over(look: &Look<'_>, record: &Record, timer: Timer) -> Option<Step> {
    let open = |number: LegNumber| record.legs.iter().find(|leg| leg.number == number && leg.is_open());
    match timer {
        Timer::NoAnswer(number) => {
            failure::close(look, record, open(number)?, Said::Own(Reject::timeout()), Vec::new())
        }
        Timer::NotCancelled(number) => {
            let said = Said::Own(Reject::request_terminated());
            failure::close(look, record, open(number)?, said, Vec::new())
        }
        Timer::Rang => rang(look, record),
        Timer::NoAck => {
            let failed = record.legs.first()?.state == LegState::Failed;
            failed.then(|| ending::gone(look, record, vec![Effect::FailureOver]))
        }
        Timer::Unanswered(id) => within::unanswered(look, record, id),
        Timer::OfApplication(id) => of_application(look, record, id),
        Timer::UnwantedStays(leg) => ending::unwanted_over(look, record, leg),
        Timer::Silent(leg) => asking::gone(look, record, leg),
    }
}

/// A timer of the application: it counts once, by the write that takes it out of the record.
pub(super) fn of_application(look: &Look<'_>, record: &Record, id: u32) -> Option<Step> {
    let mut next = look.next(record);
    let at = next.timers.iter().position(|timer| timer.id == id && timer.due <= look.millis())?;
    let timer = next.timers.remove(at);
    let ((), wants) = look.tell(&mut next, |application, call| application.timer(call, id, &timer.info));
    let mut then = Vec::new();
    let mut wake = first_timer(&next);
    if wants.hangs_up {
        hanging_up::hang_up(look, record, &mut next, &mut then)?;
        wake = wake.min(look.wake_after(look.settings.timers.f()));
    }
    let wake = Some(wake).filter(|wake| *wake != Millis::MAX);
    Some(Step::write(Change::Put { record: next, wake }, then).emitting(wants.effects))
}

/// The call has rung too long: the caller gets 408 when the callees are cancelled (RFC 3261 §16.8).
fn rang(look: &Look<'_>, record: &Record) -> Option<Step> {
    let caller = record.legs.first()?;
    if !matches!(caller.state, LegState::Calling | LegState::Early) {
        return None;
    }
    let mut next = look.next(record);
    let then = cancelling::cancel_all(look, &mut next, record, b"");
    next.answer = with_stored(&record.invite, |invite| {
        look.text(record).own_answer(caller, invite, &Reject::timeout())
    })?
    .into();
    let wake = Some(look.wake_after(look.settings.timers.b()));
    Some(Step::write(Change::Put { record: next, wake }, then))
}
