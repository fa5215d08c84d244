//! Calls that are up for long: nobody may be there any longer, and no BYE will come. Both sides are asked with an OPTIONS within
//! their dialog (RFC 3261 §11, §12.2.1.2); if one of them has the call no longer, it ends.

use state::Millis;

use super::{Change, Effect, Look, Step, dialog, hanging_up};
use crate::names::Leg as LegNumber;
use crate::record::{Leg, LegState, Mode, Record};
use crate::settings::Settings;

/// When the sides of a call that is up are asked next.
pub(crate) fn due(settings: &Settings, record: &Record) -> Option<Millis> {
    let is_up = record.mode == Mode::B2bua && sides(record).count() == 2;
    let last = record.asked.max(record.birth / 1000);
    is_up.then(|| last + settings.silence_max.as_millis() as Millis)
}

fn sides(record: &Record) -> impl Iterator<Item = &Leg> {
    record.legs.iter().filter(|leg| leg.state == LegState::Confirmed)
}

/// Asks both sides, if it is time. It is written, so that what passes later has larger numbers, and no other engine asks too.
pub(super) fn ask(look: &Look<'_>, record: &Record) -> Option<Step> {
    due(look.settings, record).filter(|due| *due <= look.millis())?;
    let mut next = look.next(record);
    next.asked = look.millis();
    let confirmed = next.legs.iter_mut().filter(|leg| leg.state == LegState::Confirmed);
    confirmed.for_each(|leg| leg.offset = leg.offset.after_own());
    let options = |leg: &Leg| Some(Effect::Options(leg.number, dialog::own(look, record, leg, "OPTIONS")?));
    let then = sides(record).filter_map(options).collect();
    Some(Step::write(Change::Put { record: next, wake: None }, then))
}

/// A side has answered. Whatever it says but these two, it is there (RFC 3261 §12.2.1.2).
pub(super) fn answered(look: &Look<'_>, record: &Record, leg: LegNumber, status: u16) -> Option<Step> {
    match status {
        ..200 => None,
        408 | 481 => gone(look, record, leg),
        _ => Some(Step::Done(vec![Effect::OptionsAnswered(leg)])),
    }
}

/// A side has the call no longer, or says nothing: the call ends for both.
pub(super) fn gone(look: &Look<'_>, record: &Record, leg: LegNumber) -> Option<Step> {
    let mut then = vec![Effect::OptionsAnswered(leg)];
    if sides(record).count() != 2 {
        return Some(Step::Done(then));
    }
    let mut next = look.next(record);
    hanging_up::hang_up(look, record, &mut next, &mut then)?;
    let wake = Some(look.wake_after(look.settings.timers.f()));
    Some(Step::write(Change::Put { record: next, wake }, then))
}
