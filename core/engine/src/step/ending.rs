//! How records go: after BYE, after the ACK to a failure, and when nobody answers.

use super::{Change, Counted, Effect, Look, Step, with_stored};
use crate::names::Leg as LegNumber;
use crate::record::{Leg, LegState, Mode, Record, Tombstone};
use crate::text::{self, Text, Written};

/// The caller's side of the call is over.
pub(super) fn gone(look: &Look<'_>, record: &Record, then: Vec<Effect>) -> Step {
    closed(
        look,
        record,
        Tombstone {
            birth: record.birth,
            status: status(record),
            bye: record.bye,
            bye_status: record.bye_status,
        },
        then,
    )
}

/// A BYE has its final answer: the dialogs of both sides are over. `bye`: the BYE as it came, and that answer.
pub(super) fn ended(look: &Look<'_>, record: &Record, bye: (u64, u16), mut then: Vec<Effect>) -> Step {
    let (bye, bye_status) = bye;
    let tombstone = Tombstone { birth: record.birth, status: status(record), bye, bye_status };
    then.push(Effect::Count(Counted::Ended));
    closed(look, record, tombstone, then)
}

/// While a leg waits for its final answer, or a BYE of ours for its own, the record stays.
fn closed(look: &Look<'_>, record: &Record, tombstone: Tombstone, then: Vec<Effect>) -> Step {
    let mut emitted = Vec::new();
    let change = if record.legs.iter().skip(1).any(is_pending) {
        let mut next = look.next(record);
        (next.bye, next.bye_status) = (tombstone.bye, tombstone.bye_status);
        for leg in &mut next.legs {
            if !is_pending(leg) || leg.number == 0 {
                leg.state = LegState::Closed;
            }
        }
        Change::Put { record: next, wake: Some(look.wake_after(look.settings.timers.f())) }
    } else {
        let mut seen = record.of_application();
        let ((), wants) = look.tell(&mut seen, |application, call| application.ended(call));
        emitted = wants.effects;
        Change::Del { tombstone }
    };
    Step::write(change, then).emitting(emitted)
}

fn is_pending(leg: &Leg) -> bool {
    leg.is_open() || leg.state == LegState::Ending
}

/// The last status that the caller has got, for copies of its INVITE.
fn status(record: &Record) -> u16 {
    match status_of(&record.answer) {
        0 => 200,
        status => status,
    }
}

/// A leg is over that nobody waits for; `next` has it closed. The record goes with the last one.
pub(super) fn without_leg(look: &Look<'_>, mut next: Record, then: Vec<Effect>) -> Step {
    // Of a proxy all branches stay: each has a share of the breadth.
    next.legs.retain(|leg| leg.number == 0 || leg.state != LegState::Closed || next.mode == Mode::Proxy);
    let is_over = next.legs.first().is_some_and(|caller| caller.state == LegState::Closed);
    if is_over && !next.legs.iter().any(is_pending) {
        return gone(look, &next, then);
    }
    if !next.legs.iter().skip(1).any(Leg::is_open)
        && let Some(kept) = with_stored(&next.invite, |invite| Some(text::kept(invite)))
    {
        next.invite = kept.into();
    }
    Step::write(Change::Put { record: next, wake: None }, then)
}

/// A BYE of ours is answered, or nobody answers it.
pub(super) fn unwanted_over(look: &Look<'_>, record: &Record, leg: LegNumber) -> Option<Step> {
    let mut next = look.next(record);
    let then = vec![Effect::ByeAnswered(leg)];
    match next.legs.iter_mut().find(|other| other.number == leg) {
        Some(own) => own.state = LegState::Closed,
        None => return Some(Step::Done(then)),
    }
    Some(without_leg(look, next, then))
}

/// ACK and BYE of a dialog that nobody wants (RFC 3261 §13.2.2.4). `sequence`: of the INVITE that made it.
pub(crate) fn ends_of(text: &Text<'_>, leg: &Leg, sequence: u32) -> Option<[Effect; 2]> {
    let Written { bytes, target, .. } = text.own(leg, "ACK", sequence)?;
    let bye = text.own(leg, "BYE", sequence + 1)?;
    Some([Effect::Send { bytes, target }, Effect::Bye(leg.number, bye)])
}

/// The status of a stored response; 0: there is none.
pub(super) fn status_of(answer: &[u8]) -> u16 {
    let digits = answer.get(8..11).and_then(|digits| std::str::from_utf8(digits).ok());
    digits.and_then(|digits| digits.parse().ok()).unwrap_or_default()
}
