//! A failure of a leg, and what the caller gets when no leg is left (RFC 3261 §13.2.2.3, §16.7).

use sip::headers::{address, via};
use sip::{Edits, Message, Name, Reject};

use super::{Change, Counted, Effect, Look, Step, cancelling, ending, with_stored};
use crate::names::{OwnVia, Tag};
use crate::record::{Leg, LegState, Mode, Record};
use crate::text;

/// A final response of 300 to 699 to the INVITE of a leg.
pub(super) fn of(look: &Look<'_>, record: &Record, leg: &Leg, response: &Message<'_>) -> Option<Step> {
    let tag = address::tag(response.first_value(Name::To)?).ok()?.unwrap_or_default();
    let text = look.text(record);
    let ack = with_stored(&record.invite, |invite| text.ack_to_failure(leg, invite, tag))?;
    let ack = Effect::Send { bytes: ack.bytes, target: ack.target };
    if !leg.is_open() {
        return Some(Step::Done(vec![ack]));
    }
    close(look, record, leg, Said::Response(response), vec![ack])
}

/// The ACK to a failure of a leg that is gone, or whose call is gone: an earlier ACK was lost. It goes the way of the INVITE.
pub(crate) fn late(look: &Look<'_>, birth: u64, response: &Message<'_>) -> Option<Effect> {
    let value = |name| response.first_value(name);
    let (from, to, call_id) = (value(Name::From)?, value(Name::To)?, value(Name::CallId)?);
    let top = via::top(response)?.ok()?;
    let branch = OwnVia::read(&top)?.branch;
    let mode = look.settings.mode;
    // That we have sent such an INVITE, our tag proves; the branch, if it is a proxy's.
    let (number, local) = match mode {
        Mode::B2bua => {
            let own = Tag::read(&look.settings.secret, address::tag(from).ok()??, call_id)?;
            (own.leg, text::without_tag(from))
        }
        Mode::Proxy => {
            let below = via::below(response, &top)?.ok()?;
            let is_ours = text::is_of_proxy(look.settings, response, branch, &below);
            (branch.leg, is_ours.then(|| from.into())?)
        }
    };
    let target = look.settings.to.get(usize::from(number).checked_sub(1)?)?;
    let leg = Leg {
        number,
        call_id: call_id.into(),
        local,
        remote: text::without_tag(to),
        target: text::request_uri(target, address::parse(to).ok()?.uri),
        routes: look.settings.route.iter().cloned().collect(),
        ..Leg::default()
    };
    let record = Record { birth, mode, ..Record::default() };
    let tag = address::tag(to).ok()?.unwrap_or_default();
    let ack = look.text(&record).late_ack(&leg, branch, text::sequence(response)?, tag)?;
    Some(Effect::Send { bytes: ack.bytes, target: ack.target })
}

/// How a leg has failed.
#[derive(Clone, Copy)]
pub(super) enum Said<'s> {
    Response(&'s Message<'s>),
    Own(Reject),
}

impl Said<'_> {
    fn status(self) -> u16 {
        match self {
            Said::Response(response) => response.status().unwrap_or_default(),
            Said::Own(reject) => reject.status(),
        }
    }
}

/// A leg is over. `then`: what leaves for it once that is written.
pub(super) fn close(
    look: &Look<'_>,
    record: &Record,
    leg: &Leg,
    said: Said<'_>,
    mut then: Vec<Effect>,
) -> Option<Step> {
    let mut next = look.next(record);
    next.legs.iter_mut().find(|other| other.number == leg.number)?.state = LegState::Closed;
    then.push(Effect::Answered(leg.number));
    let caller = record.legs.first()?;
    if !matches!(caller.state, LegState::Calling | LegState::Early | LegState::Cancelling) {
        return Some(ending::without_leg(look, next, then));
    }
    if is_better(said.status(), ending::status_of(&record.answer)) {
        next.answer = with_stored(&record.invite, |invite| {
            let text = look.text(record);
            match said {
                Said::Response(response) => text.to_caller(caller, invite, response),
                Said::Own(reject) => text.own_answer(caller, invite, &reject),
            }
        })?
        .into();
    } else if let Said::Response(response) = said
        && let Some(answer) = with_challenges(&record.answer, response)
    {
        next.answer = answer.into();
    }
    if said.status() >= 600 {
        then.extend(cancelling::cancel_all(look, &mut next, record, b""));
    }
    if !next.legs[1..].iter().any(Leg::is_open) {
        let own = match record.mode {
            Mode::B2bua => (caller.state == LegState::Cancelling).then(Reject::request_terminated),
            // That one branch has no room does not mean that we have none (RFC 3261 §16.7, step 6).
            Mode::Proxy => (ending::status_of(&next.answer) == 503).then(|| Reject::with_status(500)),
        };
        then.extend(fail(look, record, &mut next, own.as_ref())?);
    }
    let wake = Some(look.wake_after(look.settings.timers.h()));
    Some(Step::write(Change::Put { record: next, wake }, then))
}

/// The caller's INVITE has failed: with the best answer so far, or with one of our own.
pub(super) fn fail(
    look: &Look<'_>,
    record: &Record,
    next: &mut Record,
    own: Option<&Reject>,
) -> Option<[Effect; 2]> {
    let caller = record.legs.first()?;
    let target = with_stored(&record.invite, |invite| {
        if let Some(reject) = own {
            next.answer = look.text(record).own_answer(caller, invite, reject)?.into();
        }
        next.invite = text::kept(invite).into();
        Some(sip::answer::target(invite, caller.flow?))
    })?;
    next.legs.first_mut()?.state = LegState::Failed;
    let bytes = next.answer.to_vec();
    Some([Effect::Fail { bytes, target }, Effect::Count(Counted::Failed)])
}

/// A challenge with those of another branch: the caller may have to answer all of them (RFC 3261 §16.7, step 7).
fn with_challenges(answer: &[u8], response: &Message<'_>) -> Option<Vec<u8>> {
    let is_challenge = |status: u16| matches!(status, 401 | 407);
    if !is_challenge(ending::status_of(answer)) || !response.status().is_some_and(is_challenge) {
        return None;
    }
    let challenges = response.headers().iter().filter(|header| {
        let name = response.name(header);
        CHALLENGES.iter().any(|known| name.eq_ignore_ascii_case(known))
    });
    let more: usize = challenges.clone().map(|header| (header.end - header.start) as usize).sum();
    if more == 0 || answer.len() + more > sip::message::MESSAGE_BYTES_MAX {
        return None;
    }
    with_stored(answer, |answer| {
        let mut edits = Edits::new();
        edits.insert(answer.headers().last()?.end, |text| {
            for header in challenges {
                text.extend_from_slice(&response.bytes()[header.start as usize..header.end as usize]);
            }
        });
        let mut bytes = Vec::new();
        edits.write_into(answer.bytes(), answer.end(), &mut bytes);
        Some(bytes)
    })
}

const CHALLENGES: [&[u8]; 2] = [b"www-authenticate", b"proxy-authenticate"];

/// Whether a failure says more to the caller than the best one so far (RFC 3261 §16.7, step 6).
fn is_better(new: u16, best: u16) -> bool {
    fn rank(status: u16) -> u16 {
        match status {
            0 => u16::MAX,
            600.. => 0,
            300..400 => 1,
            401 | 407 => 2,
            415 | 420 | 484 => 3,
            408 => 5,
            // Our own CANCEL led to it.
            487 => 8,
            400..500 => 4,
            503 => 7,
            _ => 6,
        }
    }
    rank(new) < rank(best)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_caller_gets_the_answer_that_says_most() {
        for (best, others) in [
            (603, &[486, 302, 401, 503, 408, 0][..]),
            (302, &[486, 404, 503, 0]),
            (407, &[486, 404, 408, 500]),
            (486, &[408, 503, 500, 487, 0]),
            (500, &[503, 487]),
            (487, &[0]),
        ] {
            for other in others {
                assert!(is_better(best, *other) && !is_better(*other, best), "{best} {other}");
            }
            assert!(!is_better(best, best), "the first of two stays");
        }
    }
}
