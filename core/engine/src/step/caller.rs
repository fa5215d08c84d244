//! What the caller sends while there is no call yet: INVITE, its copies, CANCEL, ACK (RFC 3261 §13.3, §9.2, §17.2.1).

use sip::headers::address;
use sip::{Flow, Message, Name, Reject, Start};
use state::Header;
use state::planted::{self, Bug};

use super::{
    Change, Counted, Effect, Look, Step, answer, answer_effect, cancelling, dialog, ending, first_timer,
    returned,
};
use crate::application::{Invitation, Verdict};
use crate::names::{self, Offset};
use crate::record::{Leg, LegState, Mode, Record, Story};
use crate::text::{self, Written};

/// A call begins.
pub(super) fn invite(look: &Look<'_>, request: &Message<'_>, flow: Flow) -> Step {
    let refuse = |reject: Reject| {
        let step = answer(request, flow, &reject);
        match step {
            Some(Step::Done(mut effects)) => {
                effects.push(Effect::Count(Counted::Refused));
                Step::Done(effects)
            }
            other => other.unwrap_or_else(Step::nothing),
        }
    };
    let Some(mut record) = record_of(look, request, flow) else {
        return refuse(Reject::bad_request("Missing Contact"));
    };
    let (verdict, wants) = look.tell(&mut record, |application, call| {
        call.begin(application);
        application.invited(call, &Invitation { request })
    });
    let added = match verdict {
        Verdict::Forward => add_legs(look, &mut record, request, &look.settings.to),
        Verdict::Call(targets) => add_legs(look, &mut record, request, &targets),
        Verdict::Refuse(reject) => return refuse(reject),
    };
    if added.is_none() {
        return refuse(Reject::bad_request("Bad From or To"));
    }
    if record.legs.len() < 2 {
        return refuse(Reject::server_error("No Destination"));
    }
    if record.mode == Mode::Proxy && text::breadth(request) < record.legs.len() as u32 - 1 {
        return refuse(Reject::with_status(440));
    }
    let text = look.text(&record);
    let mut then: Vec<Effect> = Vec::with_capacity(record.legs.len() + 1);
    for leg in &record.legs[1..] {
        match text.invite(leg, request) {
            Some(written) => then.push(Effect::Invite(leg.number, written)),
            None => return refuse(Reject::server_error("Destination Has No Address")),
        }
    }
    then.push(Effect::Count(Counted::Begun));
    if let Some(bytes) = text.own_answer(&record.legs[0], request, &Reject::trying()) {
        then.push(Effect::Send { bytes, target: sip::answer::target(request, flow) });
    }
    let wake = look.wake_after(look.settings.timers.b()).min(first_timer(&record));
    Step::write(Change::Create { record, wake }, then).emitting(wants.effects)
}

/// The record of a new call, with the caller's side. `None`: the INVITE has no Contact.
fn record_of(look: &Look<'_>, request: &Message<'_>, flow: Flow) -> Option<Record> {
    let value = |name| request.first_value(name);
    let (from, to) = (value(Name::From)?, value(Name::To)?);
    let mut caller = Leg {
        call_id: value(Name::CallId)?.into(),
        remote_tag: address::tag(from).ok().flatten().unwrap_or_default().into(),
        remote_sequence: text::sequence(request)?,
        flow: Some(flow),
        ..Leg::default()
    };
    if look.settings.mode == Mode::B2bua {
        caller.local = text::without_tag(to);
        caller.remote = text::without_tag(from);
        caller.target = text::uri_of(request, Name::Contact)?;
        caller.routes = text::routes_of_dialog(look.settings, request, false);
    }
    Some(Record {
        header: Header { owner: look.settings.engine, ..Header::default() },
        birth: look.micros,
        mode: look.settings.mode,
        story: Story { made_by: look.settings.engine, ..Story::default() },
        legs: vec![caller],
        invite: request.bytes()[..request.end() as usize].into(),
        ..Record::default()
    })
}

/// The legs that ring. A proxy keeps what it must know to write CANCEL and ACK, whose fields are those of the INVITE.
fn add_legs(
    look: &Look<'_>,
    record: &mut Record,
    request: &Message<'_>,
    targets: &[Box<[u8]>],
) -> Option<()> {
    let (settings, value) = (look.settings, |name| request.first_value(name));
    let Start::Request { uri, .. } = request.start() else { return None };
    let (call_id, from, to) = (value(Name::CallId)?, value(Name::From)?, value(Name::To)?);
    let from_tag = address::tag(from).ok().flatten().unwrap_or_default();
    record.legs.reserve_exact(targets.len());
    for (number, target) in (1..=names::LEG_MAX).zip(targets) {
        let leg = match record.mode {
            Mode::B2bua => Leg {
                call_id: names::call_id_of_leg(&settings.secret, call_id, from_tag, number)[..].into(),
                local: text::without_tag(from),
                remote: text::without_tag(to),
                offset: Offset::start(text::sequence(request)?),
                ..Leg::default()
            },
            Mode::Proxy => {
                Leg { call_id: call_id.into(), local: from.into(), remote: to.into(), ..Leg::default() }
            }
        };
        record.legs.push(Leg {
            number,
            target: text::request_uri(target, uri),
            routes: settings.route.iter().cloned().collect(),
            ..leg
        });
    }
    Some(())
}

/// A copy of the INVITE.
pub(super) fn invite_again(
    look: &Look<'_>,
    record: &Record,
    request: &Message<'_>,
    flow: Flow,
) -> Option<Step> {
    let caller = record.legs.first()?;
    if !is_of_caller(caller, request) {
        return answer(request, flow, &Reject::server_error("Call-ID in Use"));
    }
    if let Some(step) = returned::returned(look, record, request, flow) {
        return Some(step);
    }
    let target = sip::answer::target(request, flow);
    match caller.state {
        // After the 2xx it says that nothing need be repeated: a load manager may hold the copy. The callee repeats its 2xx, and
        // each copy passes.
        LegState::Calling | LegState::Early | LegState::Confirmed => answer(request, flow, &Reject::trying()),
        LegState::Failed => Some(Step::Done(vec![Effect::Send { bytes: record.answer.to_vec(), target }])),
        LegState::Cancelling | LegState::Ending | LegState::Closed => None,
    }
}

pub(super) fn cancel(look: &Look<'_>, record: &Record, request: &Message<'_>, flow: Flow) -> Option<Step> {
    let caller = record.legs.first()?;
    if !is_of_caller(caller, request) {
        return answer(request, flow, &Reject::no_such_transaction());
    }
    let tag = look.text(record).tag(caller);
    let ok = answer_effect(request, flow, &Reject::ok(), &tag);
    match caller.state {
        LegState::Calling | LegState::Early => {
            let reason = request.headers().iter().find(|header| is_reason(request.name(header)));
            cancelling::give_up(
                look,
                record,
                vec![ok],
                reason.map_or(&b""[..], |header| request.value(header)),
            )
        }
        _ => Some(Step::Done(vec![ok])),
    }
}

fn is_reason(name: &[u8]) -> bool {
    name.eq_ignore_ascii_case(b"reason")
}

/// An ACK ends a failed call, or passes to the callee.
pub(super) fn ack(look: &Look<'_>, record: &Record, request: &Message<'_>) -> Option<Step> {
    let caller = record.legs.first()?;
    if caller.state == LegState::Failed {
        return is_of_caller(caller, request).then(|| ending::gone(look, record, vec![Effect::FailureOver]));
    }
    if matches!(caller.state, LegState::Calling | LegState::Early) && is_of_refusal(look, caller, request) {
        return refused(look, record);
    }
    let (from, to) = dialog::of(look, record, request)?;
    // The ACK to a failure of a later INVITE ends here.
    if from.number == 0 && text::sequence(request)? != from.remote_sequence {
        return None;
    }
    if to.state != LegState::Confirmed && !planted::is(Bug::StaleAck) {
        // Another engine may have confirmed the call: the record in memory does not name the callee's dialog.
        return (!look.checked).then_some(Step::Check);
    }
    let Written { bytes, target, .. } = look.text(record).relay(to, request)?;
    Some(Step::Done(vec![Effect::Send { bytes, target }]))
}

/// A copy of the INVITE was refused without a record, while the store was out of reach; the caller has no transaction any longer.
fn is_of_refusal(look: &Look<'_>, caller: &Leg, request: &Message<'_>) -> bool {
    let tag = request.first_value(Name::To).and_then(|to| address::tag(to).ok()).flatten();
    tag == Some(&*text::stray_tag(&look.settings.secret, request)) && is_of_caller(caller, request)
}

/// Nobody waits for the call: it ends at its callees.
fn refused(look: &Look<'_>, record: &Record) -> Option<Step> {
    let mut next = look.next(record);
    let first = cancelling::cancel_all(look, &mut next, record, b"");
    next.legs.first_mut()?.state = LegState::Closed;
    Some(ending::gone(look, &next, first))
}

/// The key finds the record; Call-ID and tag prove that the message is of its caller.
fn is_of_caller(caller: &Leg, request: &Message<'_>) -> bool {
    let tag = request.first_value(Name::From).and_then(|from| address::tag(from).ok()).flatten();
    request.first_value(Name::CallId) == Some(&caller.call_id)
        && tag.unwrap_or_default().eq_ignore_ascii_case(&caller.remote_tag)
}
