//! Messages for a call that has no record: it is gone, or there never was one.

use sip::headers::{address, cseq, via};
use sip::{Message, Method, Name, Reject};

use crate::names::{OwnVia, Tag};
use crate::record::{Leg, Mode, Record, Tombstone};
use crate::step::{
    Effect, Event, Look, Step, answer_effect, back, begins, ends_of, late_failure, mark, of_invite,
};
use crate::text::{self, Text};

/// A late message of a call that is gone.
pub(super) fn of_tombstone(look: &Look<'_>, tombstone: &Tombstone, event: &Event<'_>) -> Vec<Effect> {
    match *event {
        Event::Request { method: Method::Ack, .. } => Vec::new(),
        // Each copy of the 2xx passes.
        Event::Request { method: Method::Invite, .. }
            if begins(event) && tombstone.status < 300 && look.settings.mode == Mode::Proxy =>
        {
            Vec::new()
        }
        Event::Request { request, flow, method: Method::Invite } if begins(event) => {
            // The caller has its answer already. After an answered call that ended there is none that it could use.
            let status = if tombstone.status < 300 { 487 } else { tombstone.status };
            let call_id = request.first_value(Name::CallId).unwrap_or_default();
            let tag = Tag::of(look.key, 0, tombstone.birth).text(&look.settings.secret, call_id);
            vec![answer_effect(request, flow, &Reject::with_status(status), &tag)]
        }
        Event::Request { request, flow, method: Method::Bye }
            if tombstone.bye != 0 && mark(look, request) == tombstone.bye =>
        {
            vec![answer_effect(request, flow, &Reject::with_status(tombstone.bye_status), b"")]
        }
        Event::Request { request, flow, .. } => {
            vec![answer_effect(request, flow, &Reject::no_such_transaction(), b"")]
        }
        Event::Response { response } => late_answer(look, tombstone, response).unwrap_or_default(),
        Event::Timer(_) | Event::TakeOver => Vec::new(),
    }
}

/// A response after the end of the call: to a BYE that crossed another; a failure, whose ACK was lost; or a 2xx to an INVITE of
/// ours, whose dialog is ended.
fn late_answer(look: &Look<'_>, tombstone: &Tombstone, response: &Message<'_>) -> Option<Vec<Effect>> {
    let sequence = cseq::parse(response.first_value(Name::CSeq)?)?;
    let status = response.status()?;
    if sequence.token != b"INVITE" {
        return (status >= 200).then(|| relayed(look, response))?;
    }
    if status >= 300 {
        return Some(vec![late_failure(look, tombstone.birth, response)?]);
    }
    if status < 200 {
        return None;
    }
    let (from, to) = (response.first_value(Name::From)?, response.first_value(Name::To)?);
    let call_id = response.first_value(Name::CallId)?;
    let own = Tag::read(&look.settings.secret, address::tag(from).ok()??, call_id)?;
    let leg = Leg {
        number: own.leg,
        call_id: call_id.into(),
        remote_tag: address::tag(to).ok()?.unwrap_or_default().into(),
        local: text::without_tag(from),
        remote: text::without_tag(to),
        ..Leg::default()
    };
    let record = Record { birth: tombstone.birth, ..Record::default() };
    let text = Text { settings: look.settings, key: look.key, record: &record };
    let target = text::uri_of(response, Name::Contact)?;
    let leg = Leg { target, routes: text::routes_of_dialog(look.settings, response, true), ..leg };
    ends_of(&text, &leg, sequence.number).map(Vec::from)
}

/// The answer to a request that was passed on before the call ended.
fn relayed(look: &Look<'_>, response: &Message<'_>) -> Option<Vec<Effect>> {
    let branch = OwnVia::read(&via::top(response)?.ok()?)?.branch;
    let method = cseq::parse(response.first_value(Name::CSeq)?)?.token;
    if let Some(bye) = look.soft.byes.iter().find(|bye| bye.branch == branch) {
        return Some(vec![Effect::ByeAnswered(bye.leg)]);
    }
    let relay = look.soft.relay(&branch, method)?;
    Some(vec![Effect::Relayed(relay.id), back(look, relay, response)?])
}

/// A message for a key that the store has nothing under.
pub(super) fn of_nothing(look: &Look<'_>, event: &Event<'_>, looked_again: bool) -> Step {
    match *event {
        Event::Request { request, flow, .. } if begins(event) => of_invite(look, request, flow),
        Event::Request { method: Method::Ack, .. } => Step::Done(Vec::new()),
        // Its INVITE may be on its way through another engine.
        Event::Request { method: Method::Cancel, .. } if !looked_again => Step::Later,
        Event::Request { request, flow, .. } => {
            let reject = Reject::no_such_transaction();
            Step::Done(vec![answer_effect(request, flow, &reject, b"")])
        }
        Event::Response { response } => {
            let late = response.status().is_some_and(|status| status >= 200);
            Step::Done(late.then(|| relayed(look, response)).flatten().unwrap_or_default())
        }
        Event::Timer(crate::step::Timer::Unanswered(id)) => Step::Done(vec![Effect::Relayed(id)]),
        Event::Timer(crate::step::Timer::UnwantedStays(leg)) => Step::Done(vec![Effect::ByeAnswered(leg)]),
        Event::Timer(crate::step::Timer::Silent(leg)) => Step::Done(vec![Effect::OptionsAnswered(leg)]),
        Event::Timer(_) | Event::TakeOver => Step::Done(Vec::new()),
    }
}

/// The record is one that only a newer build reads, and no engine of that build lives now. What came over UDP is sent again, until
/// one may be back.
pub(super) fn of_foreign(event: &Event<'_>) -> Step {
    match *event {
        Event::Request { request, flow, method } if method != Method::Ack && flow.transport.is_reliable() => {
            Step::Done(vec![answer_effect(request, flow, &Reject::no_server(1), b"")])
        }
        _ => Step::Done(Vec::new()),
    }
}
