//! Legs that nobody wants an answer from any longer (RFC 3261 §9.1).

use super::{Change, Effect, Look, Step, with_stored};
use crate::record::{Leg, LegState, Record};
use crate::text::Written;

/// The caller does not want the call any longer: every leg is cancelled. `then`: what the caller gets first.
pub(super) fn give_up(
    look: &Look<'_>,
    record: &Record,
    mut then: Vec<Effect>,
    reason: &[u8],
) -> Option<Step> {
    let mut next = look.next(record);
    next.legs.first_mut()?.state = LegState::Cancelling;
    then.extend(cancel_all(look, &mut next, record, reason));
    let wake = Some(look.wake_after(look.settings.timers.b()));
    Some(Step::write(Change::Put { record: next, wake }, then))
}

/// Cancels all legs that wait for an answer. A CANCEL leaves only behind a provisional response (RFC 3261 §9.1).
pub(super) fn cancel_all(look: &Look<'_>, next: &mut Record, record: &Record, reason: &[u8]) -> Vec<Effect> {
    let mut effects = Vec::new();
    for at in 1..next.legs.len() {
        if !matches!(next.legs[at].state, LegState::Calling | LegState::Early) {
            continue;
        }
        next.legs[at].state = LegState::Cancelling;
        next.reason = reason.into();
        let leg = &next.legs[at];
        if look.soft.client(leg.number).is_some_and(|client| client.heard && client.cancel.is_none())
            && let Some(written) = cancel_of(look, record, leg, reason)
        {
            effects.push(Effect::Cancel(leg.number, written));
        }
    }
    effects
}

pub(super) fn cancel_of(look: &Look<'_>, record: &Record, leg: &Leg, reason: &[u8]) -> Option<Written> {
    with_stored(&record.invite, |invite| look.text(record).cancel(leg, invite, reason))
}
