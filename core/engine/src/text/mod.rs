//! The messages of a call, as functions of the farm's secret, the record and what came: an engine that does the same again
//! writes the same bytes.

mod forward;
mod own;
mod passing;
mod requests;
mod responses;
mod routes;

use sip::{Message, Name};
use state::Key;
use state::planted::{self, Bug};

use crate::names::{Branch, Incoming, Tag};
use crate::record::{Leg, Mode, Record};
use crate::secret::FarmSecret;
use crate::settings::{Address, Hop, Settings};

pub(crate) use forward::{Forward, branch_without_record, breadth, has_user, is_of_proxy, without_own_via};
pub(crate) use passing::{kept, request_uri, routes_of_dialog, uri_of, without_tag};
pub(crate) use requests::{Written, sequence};
pub(crate) use responses::{Response, respond};
pub(crate) use routes::Routes;

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
        Tag::of(self.key, leg.origin(), self.birth(Bug::TagDrawn)).text(&self.settings.secret, &leg.call_id)
    }

    pub(crate) fn branch(&self, leg: &Leg, incoming: &Incoming<'_>) -> Branch {
        let birth = match self.record.mode {
            Mode::B2bua => self.birth(Bug::BranchDrawn),
            // A 2xx passes at engines that do not have the record.
            Mode::Proxy => 0,
        };
        Branch::of(&self.settings.secret, self.key, leg.origin(), birth, incoming)
    }

    fn birth(&self, drawn: Bug) -> u64 {
        let own = if planted::is(drawn) { self.settings.engine } else { 0 };
        self.record.birth ^ u64::from(own)
    }

    fn hop(&self, leg: &Leg) -> Option<Hop> {
        self.settings.hop(&leg.routes, &leg.target)
    }
}

/// The value of our Contact.
pub(crate) fn contact(own: &Address, out: &mut Vec<u8>) {
    out.push(b'<');
    own::write_own_uri(own, out);
    out.push(b'>');
}

/// A To tag for answers without a record: copies of a request get the same (RFC 3261 §8.2.7).
pub(crate) fn stray_tag(secret: &FarmSecret, request: &Message<'_>) -> Vec<u8> {
    let value = |name| request.first_value(name).unwrap_or_default();
    let mut tag = Vec::new();
    sip::text::write_hex(secret.mark(value(Name::CallId), value(Name::From)), &mut tag);
    tag
}
