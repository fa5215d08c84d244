//! Responses of ours: what the other leg answered, and what we answer ourselves.

use std::net::SocketAddr;

use sip::headers::{address, via};
use sip::write::With;
use sip::{Message, Name, Reject, Start, Writer};

use super::forward::without_own_via;
use super::passing::pass;
use super::{Text, contact};
use crate::record::{Leg, Mode};
use crate::settings::Address;

/// What a response says besides the fields of its request.
#[derive(Clone, Copy)]
pub(crate) struct Response<'r> {
    pub(crate) status: u16,
    pub(crate) reason: &'r str,
    /// Our tag, for a To without one; empty in a 100.
    pub(crate) tag: &'r [u8],
    /// Our Contact, in a response that makes or changes a dialog.
    pub(crate) contact: Option<&'r Address>,
    /// The answer of the other leg, whose fields and body pass.
    pub(crate) passed: Option<Message<'r>>,
    /// Fields of our own.
    pub(crate) fields: &'r [(&'static str, &'r str)],
    pub(crate) retry_after: Option<u32>,
}

impl<'r> Response<'r> {
    /// An answer of our own.
    pub(crate) fn own(reject: &'r Reject, tag: &'r [u8]) -> Response<'r> {
        Response {
            status: reject.status(),
            reason: reject.reason(),
            tag,
            contact: None,
            passed: None,
            fields: &[],
            retry_after: reject.retry_after(),
        }
    }

    /// The answer of the other leg.
    pub(crate) fn passed(response: Message<'r>, tag: &'r [u8]) -> Response<'r> {
        let (status, reason) = match response.start() {
            Start::Response { status, reason, .. } => (status, std::str::from_utf8(reason)),
            Start::Request { .. } => (500, Ok("")),
        };
        let reason = reason.unwrap_or_default();
        Response {
            status,
            reason,
            tag,
            contact: None,
            passed: Some(response),
            fields: &[],
            retry_after: None,
        }
    }
}

/// Writes a response to a request; `remote`: where the request came from.
pub(crate) fn respond(request: &Message<'_>, remote: SocketAddr, response: &Response<'_>, out: &mut Vec<u8>) {
    let mut writer = Writer::response(out, response.status, response.reason);
    for (at, header) in request.all(Name::Via).enumerate() {
        let value = request.value(header);
        let top = if at == 0 { via::first(value).ok() } else { None };
        writer = match top {
            Some(top) => writer.via(With(|out: &mut Vec<u8>| top.write_marked(value, remote, out))),
            None => writer.copy_field(request, header),
        };
    }
    writer = writer.copy_first(request, Name::From);
    let without_tag = |value: &&[u8]| address::tag(value) == Ok(None);
    writer = match request.first_value(Name::To).filter(without_tag) {
        Some(value) if !response.tag.is_empty() => {
            writer.to(With(|out: &mut Vec<u8>| out.extend([value, b";tag=", response.tag].concat())))
        }
        _ => writer.copy_first(request, Name::To),
    };
    writer = writer.copy_first(request, Name::CallId).copy_first(request, Name::CSeq);
    if let Some(own) = response.contact {
        writer = writer.copy(request, Name::RecordRoute);
        writer = writer.contact(With(|out: &mut Vec<u8>| contact(own, out)));
        writer = writer.field("Allow", super::ALLOW);
    }
    for (name, value) in response.fields {
        writer = writer.field(name, *value);
    }
    if let Some(seconds) = response.retry_after {
        writer = writer.field("Retry-After", seconds);
    }
    match response.passed {
        Some(passed) => {
            // A redirection, and the methods that a 405 allows, are for the caller as the callee said them.
            let status = passed.status().unwrap_or_default();
            let writer =
                if (300..400).contains(&status) { writer.copy(&passed, Name::Contact) } else { writer };
            pass(writer, &passed).finish_copied(passed.body())
        }
        None => writer.finish(),
    };
}

impl Text<'_> {
    /// What the caller gets of a response to a leg's INVITE.
    pub(crate) fn to_caller(
        self,
        caller: &Leg,
        invite: &Message<'_>,
        response: &Message<'_>,
    ) -> Option<Vec<u8>> {
        if self.record.mode == Mode::Proxy {
            return without_own_via(response);
        }
        let (flow, tag) = (caller.flow?, self.tag(caller));
        let opens = response.status().is_some_and(|status| (101..300).contains(&status));
        let passed = Response {
            contact: self.settings.address(flow.listener).filter(|_| opens),
            ..Response::passed(*response, &tag)
        };
        let mut out = Vec::with_capacity(1024);
        respond(invite, flow.remote, &passed, &mut out);
        Some(out)
    }

    /// An answer of our own to the caller's INVITE.
    pub(crate) fn own_answer(&self, caller: &Leg, invite: &Message<'_>, reject: &Reject) -> Option<Vec<u8>> {
        let (flow, tag) = (caller.flow?, self.tag(caller));
        let tag = if reject.status() == 100 { &b""[..] } else { &tag };
        let mut out = Vec::with_capacity(512);
        respond(invite, flow.remote, &Response::own(reject, tag), &mut out);
        Some(out)
    }
}
