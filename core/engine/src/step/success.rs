//! A 2xx to the INVITE of a leg (RFC 3261 §13.2.2.4, RFC 6026).

use sip::headers::address;
use sip::{Message, Name, Reject};
use state::Millis;

use super::{Change, Counted, Effect, Look, Step, cancelling, ending, failure, first_timer, hanging_up};
use crate::record::{Leg, LegState, Mode, Record};
use crate::text;

/// Why the other legs of a call are cancelled (RFC 3326).
pub(super) const ELSEWHERE: &[u8] = b"SIP;cause=200;text=\"Call completed elsewhere\"";

pub(super) fn of(
    look: &Look<'_>,
    record: &Record,
    leg: &Leg,
    invite: &Message<'_>,
    response: &Message<'_>,
) -> Option<Step> {
    if record.mode == Mode::Proxy {
        return has_passed(look, record, leg);
    }
    let caller = record.legs.first()?;
    let tag = address::tag(response.first_value(Name::To)?).ok()?.unwrap_or_default();
    match (leg.state, caller.state) {
        (LegState::Calling | LegState::Early, LegState::Calling | LegState::Early) => {
            confirm(look, record, leg, (invite, response), tag)
        }
        (LegState::Calling | LegState::Early | LegState::Cancelling, _) => {
            unwanted(look, record, answered(look, leg.clone(), response, tag), response)
        }
        // The caller may have come back over another connection, and told another engine.
        (LegState::Confirmed, _) if leg.remote_tag.eq_ignore_ascii_case(tag) && !look.checked => {
            Some(Step::Check)
        }
        (LegState::Confirmed, _) if leg.remote_tag.eq_ignore_ascii_case(tag) => {
            Some(Step::Done(vec![to_caller(look, record, caller, invite, response)?]))
        }
        (LegState::Ending, _) if leg.remote_tag.eq_ignore_ascii_case(tag) => {
            again(look, record, leg, response)
        }
        _ => {
            let is_this = |fork: &&Leg| {
                fork.is_fork() && fork.origin() == leg.number && fork.remote_tag.eq_ignore_ascii_case(tag)
            };
            if let Some(fork) = record.legs.iter().find(is_this) {
                return again(look, record, fork, response);
            }
            let number = record.legs.iter().map(|leg| leg.number).max()?.checked_add(1)?;
            let fork = Leg { number, ..leg.clone() }.fork_of(leg.number);
            let fork = answered(look, fork, response, tag);
            (number <= crate::names::LEG_MAX).then(|| unwanted(look, record, fork, response))?
        }
    }
}

/// A 2xx of a branch of a proxy has passed to the caller. The first one ends the call for the proxy: it cancels the other
/// branches at once (RFC 3261 §16.7, step 10), and the record stays until they have answered.
fn has_passed(look: &Look<'_>, record: &Record, leg: &Leg) -> Option<Step> {
    if !leg.is_open() {
        return None;
    }
    let mut next = look.next(record);
    let mut first = vec![Effect::Answered(leg.number)];
    let mut then = Vec::new();
    next.legs.iter_mut().find(|other| other.number == leg.number)?.state = LegState::Closed;
    if record.legs.first()?.state != LegState::Closed {
        first.extend(cancelling::cancel_all(look, &mut next, record, ELSEWHERE));
        then.push(Effect::Count(Counted::Confirmed));
        next.answer = Box::default();
    }
    Some(ending::gone(look, &next, then).after(first))
}

/// The first 2xx of a call.
fn confirm(
    look: &Look<'_>,
    record: &Record,
    leg: &Leg,
    (invite, response): (&Message<'_>, &Message<'_>),
    tag: &[u8],
) -> Option<Step> {
    let mut next = look.next_without_messages(record);
    next.legs.first_mut()?.state = LegState::Confirmed;
    let own = next.legs.iter_mut().find(|other| other.number == leg.number)?;
    *own = Leg { state: LegState::Confirmed, ..answered(look, leg.clone(), response, tag) };
    next.story.rang_ms = look.soft.rang_at.map_or(0, |at| record.story_ms(at));
    next.story.answered_ms = record.story_ms(look.micros);
    let mut then = vec![
        Effect::Answered(leg.number),
        Effect::Count(Counted::Confirmed),
        to_caller(look, record, record.legs.first()?, invite, response)?,
    ];
    then.extend(cancelling::cancel_all(look, &mut next, record, ELSEWHERE));
    // Whoever takes the call over sends the INVITE of a leg that is being cancelled once more, byte for byte.
    next.invite = match next.legs[1..].iter().any(Leg::is_open) {
        true => record.invite.clone(),
        false => text::kept(invite).into(),
    };
    let ((), wants) = look.tell(&mut next, |application, call| application.answered(call));
    if wants.hangs_up {
        hanging_up::hang_up(look, record, &mut next, &mut then)?;
    }
    let wake = Some(first_timer(&next)).filter(|wake| *wake != Millis::MAX);
    Some(Step::write(Change::Put { record: next, wake }, then).emitting(wants.effects))
}

/// A dialog that nobody wants is acknowledged and ended.
fn unwanted(look: &Look<'_>, record: &Record, leg: Leg, response: &Message<'_>) -> Option<Step> {
    let mut next = look.next(record);
    let leg = Leg { state: LegState::Ending, ..leg };
    let mut then = vec![Effect::Answered(leg.number)];
    then.extend(ending::ends_of(&look.text(record), &leg, text::sequence(response)?)?);
    match next.legs.iter_mut().find(|other| other.number == leg.number) {
        Some(own) => *own = leg,
        None => next.legs.push(leg),
    }
    let is_waiting = matches!(next.legs.first()?.state, LegState::Calling | LegState::Cancelling);
    if is_waiting && !next.legs[1..].iter().any(Leg::is_open) {
        then.extend(failure::fail(look, record, &mut next, Some(&Reject::request_terminated()))?);
    }
    let wake = Some(look.wake_after(look.settings.timers.f()));
    Some(Step::write(Change::Put { record: next, wake }, then))
}

/// A copy of a 2xx that was acknowledged: the ACK was lost.
fn again(look: &Look<'_>, record: &Record, leg: &Leg, response: &Message<'_>) -> Option<Step> {
    let [ack, _] = ending::ends_of(&look.text(record), leg, text::sequence(response)?)?;
    Some(Step::Done(vec![ack]))
}

/// What the caller gets of a response to the INVITE of a leg.
pub(super) fn to_caller(
    look: &Look<'_>,
    record: &Record,
    caller: &Leg,
    invite: &Message<'_>,
    response: &Message<'_>,
) -> Option<Effect> {
    let bytes = look.text(record).to_caller(caller, invite, response)?;
    Some(Effect::Send { bytes, target: sip::answer::target(invite, caller.flow?) })
}

/// The leg with what a 2xx says of the other side (RFC 3261 §12.1.2).
pub(super) fn answered(look: &Look<'_>, leg: Leg, response: &Message<'_>, tag: &[u8]) -> Leg {
    Leg {
        remote_tag: tag.into(),
        target: text::uri_of(response, Name::Contact).unwrap_or_else(|| leg.target.clone()),
        routes: text::routes_of_dialog(look.settings, response, true),
        ..leg
    }
}
