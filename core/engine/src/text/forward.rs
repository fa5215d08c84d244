//! A request as a proxy passes it on (RFC 3261 §16.6), and a response as it goes back (§16.7): what came, with few changes.

use sip::headers::via;
use sip::text::{decimal, write_decimal};
use sip::{Edits, Flow, Message, Name, Start, Uri};

use super::Text;
use super::own::{one_less, write_own_uri, write_own_via};
use super::requests::{Written, sequence};
use super::routes::Routes;
use crate::names::{Branch, ENTRY, Incoming, Leg, NO_LEG, WayBack, entry};
use crate::record::{self, Record};
use crate::settings::{Hop, Settings};

/// Branches that a request may have at the same time: the largest number, and that of a request that says none (RFC 5393
/// §5.3.3).
const MAX_BREADTH: u32 = 60;

/// What a request gets when it is passed on.
pub(crate) struct Forward<'f> {
    pub(crate) settings: &'f Settings,
    pub(crate) request: &'f Message<'f>,
    pub(crate) flow: Flow,
    pub(crate) branch: Branch,
    pub(crate) hop: Hop,
    /// Where it goes, if not to its Request-URI.
    pub(crate) uri: Option<&'f [u8]>,
    pub(crate) own: &'f Routes<'f>,
    /// Routes that it gets.
    pub(crate) routes: &'f [Box<[u8]>],
    /// The key in our Record-Route entry: of a request that may begin a dialog.
    pub(crate) entry: Option<state::Key>,
    pub(crate) breadth: u32,
}

impl Forward<'_> {
    pub(crate) fn write(&self) -> Option<Written> {
        let Forward { settings, request, hop, branch, .. } = *self;
        let Start::Request { uri, .. } = request.start() else { return None };
        let mut edits = Edits::new();
        if let Some(new) = self.uri.or(self.own.uri) {
            edits.replace(request.range_of(uri), |text| text.extend_from_slice(new));
        }
        edits.insert(request.headers_start(), |text| {
            text.extend_from_slice(b"Via: ");
            write_own_via(settings, branch, hop, text);
            text.extend_from_slice(b"\r\n");
            self.write_entries(text);
            for route in self.routes {
                line(b"Route: ", route, text);
            }
        });
        self.own.write(request, &mut edits);
        via::top(request)?.ok()?.mark(request, self.flow.remote, &mut edits);
        number(request, Name::MaxForwards, b"Max-Forwards: ", one_less(request).into(), &mut edits);
        number(request, Name::MaxBreadth, b"Max-Breadth: ", self.breadth, &mut edits);
        // A message on a stream has a length (RFC 3261 §18.3).
        if request.first(Name::ContentLength).is_none() {
            let length = request.body().len() as u32;
            number(request, Name::ContentLength, b"Content-Length: ", length, &mut edits);
        }
        let mut bytes = Vec::with_capacity(request.end() as usize + 512);
        edits.write_into(request.bytes(), request.end(), &mut bytes);
        Some(Written { bytes, target: hop.target(), branch, reliable: hop.transport.is_reliable() })
    }

    /// One entry; two if the request leaves by another listener than it came by: each side finds us at its own (RFC 5658).
    fn write_entries(&self, text: &mut Vec<u8>) {
        let (Some(key), Some(call_id)) = (self.entry, self.request.first_value(Name::CallId)) else { return };
        let value = entry(&self.settings.secret, key, call_id);
        let mut add = |listener| {
            let Some(own) = self.settings.address(listener) else { return };
            text.extend_from_slice(b"Record-Route: <");
            write_own_uri(own, text);
            text.extend_from_slice(b";lr;");
            text.extend_from_slice(ENTRY);
            text.push(b'=');
            text.extend_from_slice(&value);
            text.extend_from_slice(b">\r\n");
        };
        add(self.hop.listener);
        if self.hop.listener != self.flow.listener {
            add(self.flow.listener);
        }
    }
}

impl Text<'_> {
    /// The INVITE of a branch of a proxy. `None`: the branch has no address.
    pub(super) fn forwarded(&self, leg: &record::Leg, invite: &Message<'_>) -> Option<Written> {
        let forward = Forward {
            settings: self.settings,
            request: invite,
            flow: self.record.legs.first()?.flow?,
            branch: self.invite_branch(leg, invite)?,
            hop: self.hop(leg)?,
            uri: Some(&leg.target),
            own: &Routes::read(self.settings, invite)?,
            routes: &leg.routes,
            entry: Some(self.key),
            breadth: share(self.record, leg, invite),
        };
        forward.write()
    }
}

/// The part of a branch in the breadth of the INVITE (RFC 5393 §5.3.3).
fn share(record: &Record, leg: &record::Leg, invite: &Message<'_>) -> u32 {
    let (breadth, branches) = (breadth(invite), record.legs.len().saturating_sub(1).max(1) as u32);
    breadth / branches + u32::from(u32::from(leg.number) <= breadth % branches)
}

/// Branches that a request may have at the same time.
pub(crate) fn breadth(request: &Message<'_>) -> u32 {
    let said = request.first_value(Name::MaxBreadth).map(|value| decimal(value).unwrap_or(MAX_BREADTH));
    said.map_or(MAX_BREADTH, |said| said.min(MAX_BREADTH))
}

/// The branch of a request that passes without a record: every engine makes the same one for the same request, also for its
/// CANCEL and for the ACK to its failure (RFC 3261 §16.11).
pub(crate) fn branch_without_record(
    settings: &Settings,
    request: &Message<'_>,
    flow: &Flow,
) -> Option<Branch> {
    let via = via::top(request)?.ok()?;
    let Start::Request { token, .. } = request.start() else { return None };
    branch_of_proxy(settings, (WayBack::of(flow).write(), NO_LEG), &via, (sequence(request)?, token))
}

/// Whether our Via in a response is the one that a proxy of this farm put above the Via below it.
pub(crate) fn is_of_proxy(
    settings: &Settings,
    response: &Message<'_>,
    own: Branch,
    below: &via::Via<'_>,
) -> bool {
    let cseq = response.first_value(Name::CSeq).and_then(sip::headers::cseq::parse);
    let made =
        cseq.and_then(|cseq| branch_of_proxy(settings, (own.key, own.leg), below, (cseq.number, cseq.token)));
    made == Some(own)
}

/// It depends on nothing that only the record has: so a 2xx passes at every engine.
fn branch_of_proxy(
    settings: &Settings,
    (key, leg): (state::Key, Leg),
    via: &via::Via<'_>,
    (sequence, method): (u32, &[u8]),
) -> Option<Branch> {
    let method = if matches!(method, b"ACK" | b"CANCEL") { b"INVITE" } else { method };
    let via = Some((via.sent_by, via.branch.unwrap_or_default()));
    let incoming = Incoming { sequence, method, via, remote_tag: None };
    Some(Branch::of(&settings.secret, key, leg, 0, &incoming))
}

/// A response without our Via (RFC 3261 §16.7, step 3).
pub(crate) fn without_own_via(response: &Message<'_>) -> Option<Vec<u8>> {
    let mut edits = Edits::new();
    edits.delete(via::pop(response, &via::top(response)?.ok()?)?);
    if response.first(Name::ContentLength).is_none() {
        let length = response.body().len() as u32;
        number(response, Name::ContentLength, b"Content-Length: ", length, &mut edits);
    }
    let mut bytes = Vec::with_capacity(response.end() as usize);
    edits.write_into(response.bytes(), response.end(), &mut bytes);
    Some(bytes)
}

/// Writes the one field of this name.
fn number(message: &Message<'_>, name: Name, start: &[u8], value: u32, edits: &mut Edits) {
    let mut fields = message.all(name);
    match fields.next() {
        Some(field) => {
            edits.replace(field.value_start..field.value_end, |text| write_decimal(value.into(), text));
        }
        None => edits.insert(message.headers_start(), |text| {
            text.extend_from_slice(start);
            write_decimal(value.into(), text);
            text.extend_from_slice(b"\r\n");
        }),
    }
    fields.for_each(|field| edits.delete(field.start..field.end));
}

fn line(name: &[u8], value: &[u8], text: &mut Vec<u8>) {
    text.extend_from_slice(name);
    text.extend_from_slice(value);
    text.extend_from_slice(b"\r\n");
}

/// Whether a URI names somebody, and not just a place.
pub(crate) fn has_user(uri: &[u8]) -> bool {
    Uri::parse(uri).map_or(true, |uri| uri.user.is_some())
}
