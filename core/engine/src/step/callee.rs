//! What a callee answers (RFC 3261 §13.2.2): to the INVITE of its leg, and to what passed from the caller.

use sip::headers::{cseq, via};
use sip::{Message, Name};

use super::{Effect, Look, Step, asking, cancelling, ending, failure, success, with_stored, within};
use crate::names::OwnVia;
use crate::record::{Leg, LegState, Mode, Record};

pub(super) fn response(look: &Look<'_>, record: &Record, response: &Message<'_>) -> Option<Step> {
    let branch = OwnVia::read(&via::top(response)?.ok()?)?.branch;
    let method = cseq::parse(response.first_value(Name::CSeq)?)?.token;
    match method {
        b"INVITE" => {
            let Some(leg) = record.legs.iter().find(|leg| leg.number == branch.leg && !leg.is_fork()) else {
                let late = response.status()? >= 300;
                return late.then(|| failure::late(look, record.birth, response)).flatten().map(done);
            };
            let text = look.text(record);
            let status = response.status()?;
            with_stored(&record.invite, |invite| {
                if leg.number == 0 || text.invite_branch(leg, invite)? != branch {
                    return None;
                }
                match status {
                    100..200 => provisional(look, record, leg, invite, response),
                    200..300 => success::of(look, record, leg, invite, response),
                    _ => failure::of(look, record, leg, response),
                }
            })
        }
        b"CANCEL" => {
            let waits = look.soft.client(branch.leg)?.cancel.is_some();
            let is_final = response.status()? >= 200;
            (waits && is_final).then(|| Step::Done(vec![Effect::CancelAnswered(branch.leg)]))
        }
        method => match look.soft.byes.iter().find(|bye| bye.branch == branch && method == b"BYE") {
            Some(_) if response.status()? < 200 => None,
            Some(bye) => ending::unwanted_over(look, record, bye.leg),
            None if method == b"OPTIONS"
                && let Some(options) = look.soft.options.iter().find(|options| options.branch == branch) =>
            {
                asking::answered(look, record, options.leg, response.status()?)
            }
            None => within::response(look, record, response, look.soft.relay(&branch, method)?),
        },
    }
}

/// A provisional response: the caller hears of it, unless it has given up.
fn provisional(
    look: &Look<'_>,
    record: &Record,
    leg: &Leg,
    invite: &Message<'_>,
    response: &Message<'_>,
) -> Option<Step> {
    let caller = record.legs.first()?;
    let mut effects = vec![Effect::Heard(leg.number)];
    match leg.state {
        LegState::Calling | LegState::Early => {
            if response.status()? > 100 && caller.state == LegState::Calling {
                effects.extend(success::to_caller(look, record, caller, invite, response));
                effects.extend(look.soft.rang_at.is_none().then_some(Effect::Rings));
                // RFC 3261 §16.7, step 2.
                effects.extend((record.mode == Mode::Proxy).then_some(Effect::RingsOn));
            }
        }
        LegState::Cancelling => {
            let is_sent = look.soft.client(leg.number).is_some_and(|client| client.cancel.is_some());
            if !is_sent && let Some(written) = cancelling::cancel_of(look, record, leg, &record.reason) {
                effects.push(Effect::Cancel(leg.number, written));
            }
        }
        LegState::Confirmed | LegState::Ending | LegState::Failed | LegState::Closed => return None,
    }
    Some(Step::Done(effects))
}

fn done(effect: Effect) -> Step {
    Step::Done(vec![effect])
}
