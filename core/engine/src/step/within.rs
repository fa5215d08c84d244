//! Requests within a dialog: they pass to the other leg, and their answers come back (RFC 3261 §12.2).

use sip::headers::via;
use sip::{Flow, Message, Method, Name, Reject};

use state::planted::{self, Bug};

use super::{
    Effect, Look, Step, answer, answer_effect, cancelling, dialog, ending, response_effect, with_stored,
};
use crate::record::{Leg, LegState, Record};
use crate::soft::{Asked, Relay};
use crate::text::{self, Response};

pub(super) fn request(
    look: &Look<'_>,
    record: &Record,
    request: &Message<'_>,
    flow: Flow,
    method: Method,
) -> Option<Step> {
    let Some((from, to)) = dialog::of(look, record, request) else {
        return answer(request, flow, &Reject::no_such_transaction());
    };
    match method {
        // A change of the session is not passed on so far; the call stays up.
        Method::Invite => return answer(request, flow, &Reject::with_status(488)),
        Method::Update | Method::Prack | Method::Refer | Method::Subscribe | Method::Register => {
            return Some(Step::Done(vec![not_allowed(request, flow)]));
        }
        _ => {}
    }
    if matches!(from.state, LegState::Ending | LegState::Closed) {
        let is_bye = method == Method::Bye;
        let reject = if is_bye { Reject::ok() } else { Reject::no_such_transaction() };
        return answer(request, flow, &reject);
    }
    if from.state != LegState::Confirmed || to.state != LegState::Confirmed {
        return early(look, record, request, flow, (from, method));
    }
    let text = look.text(record);
    let token = via_token(request)?;
    if look.soft.relay(&text.relay_branch(to, request)?, token).is_some() {
        // A copy: the request has left, and this engine repeats it by itself.
        return Some(Step::nothing());
    }
    if !look.checked && !planted::is(Bug::NoCheck) {
        return Some(Step::Check);
    }
    let asked = Asked { method: token.into(), request: text::kept(request), flow };
    Some(Step::Done(vec![Effect::Relay(Box::new(asked), text.relay(to, request)?)]))
}

fn via_token<'m>(request: &Message<'m>) -> Option<&'m [u8]> {
    match request.start() {
        sip::Start::Request { token, .. } => Some(token),
        sip::Start::Response { .. } => None,
    }
}

/// A request for a dialog that the callee has not confirmed: the caller may end it (RFC 3261 §15).
fn early(
    look: &Look<'_>,
    record: &Record,
    request: &Message<'_>,
    flow: Flow,
    (from, method): (&Leg, Method),
) -> Option<Step> {
    let is_calling = matches!(from.state, LegState::Calling | LegState::Early);
    match method {
        Method::Bye if from.number == 0 && is_calling => {
            cancelling::give_up(look, record, vec![answer_effect(request, flow, &Reject::ok(), b"")], b"")
        }
        Method::Bye if from.number == 0 => answer(request, flow, &Reject::ok()),
        _ => answer(request, flow, &Reject::no_such_transaction()),
    }
}

/// The method is none that we understand here.
pub(crate) fn not_allowed(request: &Message<'_>, flow: Flow) -> Effect {
    let reject = Reject::with_status(405);
    let response = Response { fields: &[("Allow", text::ALLOW)], ..Response::own(&reject, b"") };
    response_effect(request, flow, &response)
}

/// The answer to a request that was passed on.
pub(super) fn response(
    look: &Look<'_>,
    record: &Record,
    response: &Message<'_>,
    relay: &Relay,
) -> Option<Step> {
    let status = response.status()?;
    if status < 200 {
        return None;
    }
    let effects = vec![Effect::Relayed(relay.id), back(look, relay, response)?];
    // A challenge to a BYE ends nothing: the BYE comes again with credentials.
    if &*relay.asked.method != b"BYE" || matches!(status, 401 | 407) {
        return Some(Step::Done(effects));
    }
    let bye = with_stored(&relay.asked.request, |asked| Some(mark(look, asked)))?;
    Some(ending::ended(look, record, (bye, status), effects))
}

/// The answer as it goes back to the side that asked. The record is not needed: the call may be gone already.
pub(crate) fn back(look: &Look<'_>, relay: &Relay, response: &Message<'_>) -> Option<Effect> {
    let has_contact = response.first(Name::Contact).is_some();
    let own = look.settings.address(relay.asked.flow.listener).filter(|_| has_contact);
    with_stored(&relay.asked.request, |asked| {
        let mut bytes = Vec::with_capacity(768);
        let passed = Response { contact: own, ..Response::passed(*response, b"") };
        text::respond(asked, relay.asked.flow.remote, &passed, &mut bytes);
        Some(Effect::Send { bytes, target: sip::answer::target(asked, relay.asked.flow) })
    })
}

/// Nobody has answered a request that was passed on. No 408 goes back (RFC 4320 §4.2), but a BYE ends the call all the same.
pub(super) fn unanswered(look: &Look<'_>, record: &Record, id: u64) -> Option<Step> {
    let relay = look.soft.relays.iter().find(|relay| relay.id == id)?;
    let effects = vec![Effect::Relayed(id)];
    if &*relay.asked.method != b"BYE" {
        return Some(Step::Done(effects));
    }
    let bye = with_stored(&relay.asked.request, |asked| Some(mark(look, asked)))?;
    Some(ending::ended(look, record, (bye, 200), effects))
}

/// What tells a BYE from another: its topmost Via.
pub(crate) fn mark(look: &Look<'_>, request: &Message<'_>) -> u64 {
    let via = via::top(request).and_then(Result::ok);
    let (sent_by, branch) = via.map(|via| (via.sent_by, via.branch.unwrap_or_default())).unwrap_or_default();
    look.settings.secret.mark(&sent_by.to_ascii_lowercase(), &branch.to_ascii_lowercase())
}
