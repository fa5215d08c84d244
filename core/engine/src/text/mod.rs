//! The messages of a call, as functions of the farm's secret, the record and what came: an engine that does the same again
//! writes the same bytes.

mod passing;
mod requests;
mod responses;

use state::Key;

use crate::names::{Branch, Incoming, OwnVia, Tag};
use crate::record::{Leg, Record};
use crate::settings::{Address, Hop, Settings};

pub(crate) use passing::{kept, request_uri, routes_of_dialog, uri_of, without_tag};
pub(crate) use requests::{Written, sequence};
pub(crate) use responses::{Response, respond};

/// Methods that the engine understands, for Allow (RFC 3261 §20.5).
pub(crate) const ALLOW: &str = "INVITE, ACK, BYE, CANCEL, OPTIONS, INFO, MESSAGE, NOTIFY";

/// What writes the messages of one call.
#[derive(Clone, Copy)]
pub(crate) struct Text<'a> {
    pub(crate) settings: &'a Settings,
    pub(crate) key: Key,
    pub(crate) record: &'a Record,
}

impl<'a> Text<'a> {
    /// Our tag on a leg. The forks of a leg share it, since they answer one request.
    pub(crate) fn tag(&self, leg: &Leg) -> [u8; Tag::LENGTH] {
        Tag::of(self.key, leg.origin(), self.record.birth).text(&self.settings.secret, &leg.call_id)
    }

    pub(crate) fn branch(&self, leg: &Leg, incoming: &Incoming<'_>) -> Branch {
        Branch::of(&self.settings.secret, self.key, leg.origin(), self.record.birth, incoming)
    }

    fn own_via(&self, branch: Branch, hop: Hop, out: &mut Vec<u8>) {
        let own = OwnVia { branch, engine: Some(self.settings.engine) };
        let sent_by = self.settings.address(hop.listener).map_or(&b""[..], |own| &own.sent_by);
        own.write(hop.transport.via_token(), sent_by, self.settings.route.is_some(), out);
    }
}

/// The value of our Contact.
pub(crate) fn contact(own: &Address, out: &mut Vec<u8>) {
    out.extend_from_slice(if own.transport.is_secure() { b"<sips:" } else { b"<sip:" });
    out.extend_from_slice(&own.sent_by);
    if own.transport.is_reliable() && !own.transport.is_secure() {
        out.extend_from_slice(b";transport=");
        out.extend_from_slice(own.transport.uri_token().as_bytes());
    }
    out.push(b'>');
}
