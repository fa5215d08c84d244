//! The route set of a request as it arrives: our own entries are taken out and read, what is next is found, and what a
//! strict router did to the request is undone (RFC 3261 §16.4).

use sip::headers::address;
use sip::{Edits, Name, Reject, Uri};

use crate::connections::own::OwnAddresses;
use crate::signed::flow_token::{self, FlowToken};
use crate::signed::keyring::KeyRing;
use crate::signed::tag::{self, Tag};
use crate::way::request::Request;

/// The Path entry of a registered telephone in front of a route set.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Along {
    /// There is none.
    #[default]
    Nothing,
    /// There is one, but not one of ours.
    Forged,
    Flow(FlowToken),
}

/// Where a request goes if it goes to a client.
#[derive(Debug, Default)]
pub(crate) enum Next<'m> {
    /// Nothing says it.
    #[default]
    Nowhere,
    RequestUri,
    /// The next Route, or what a strict router put behind the last.
    Route(Uri<'m>),
}

#[derive(Debug, Default)]
pub(crate) struct RouteSet<'m> {
    /// The tag of our topmost entry, if it is one of this farm's for this call.
    pub tag: Option<Tag>,
    /// There was a tag, but not one of ours.
    pub forged: bool,
    /// What our topmost entry says if it is the Path entry of a registered telephone.
    pub along: Along,
    /// The listener that our last entry names: by it the request leaves towards a client.
    pub leaves_by: Option<u8>,
    /// The Request-URI names us.
    pub request_uri_ours: bool,
    /// The next Route, else the Request-URI.
    pub next: Next<'m>,
    /// The next Route lacks `lr`: the request is written for a strict router (RFC 3261 §16.6 step 6).
    pub next_is_strict: Option<&'m [u8]>,
}

impl<'m> RouteSet<'m> {
    /// Reads the set of a request; leaves in `edits` what takes our entries out.
    pub(crate) fn take(
        &mut self,
        request: &Request<'m>,
        own: &OwnAddresses,
        keys: &KeyRing,
        edits: &mut Edits,
    ) -> Result<(), Reject> {
        self.request_uri_ours = own.find(request.uri).is_some();
        if self.request_uri_ours && request.uri.parameter(tag::PARAMETER).is_some() {
            self.undo_strict_router(request, own, keys, edits)
        } else {
            self.next = Next::RequestUri;
            self.pop_ours(request, own, keys, edits)
        }
    }

    /// Where the request, which this set was taken from, goes if it goes to a client.
    pub(crate) fn next<'s>(&'s self, request: &'s Request<'m>) -> Option<&'s Uri<'m>> {
        match &self.next {
            Next::Nowhere => None,
            Next::RequestUri => Some(request.uri),
            Next::Route(uri) => Some(uri),
        }
    }

    fn pop_ours(
        &mut self,
        request: &Request<'m>,
        own: &OwnAddresses,
        keys: &KeyRing,
        edits: &mut Edits,
    ) -> Result<(), Reject> {
        let message = request.message;
        let mut first_tag: Option<&[u8]> = None;
        let mut popped = 0;
        for header in message.all(Name::Route) {
            let field = message.value(header);
            // As we wrote it, which is how most send it back.
            if let Some((listener, tag)) = own.route(field)
                && (popped == 0 || (popped == 1 && first_tag == Some(tag)))
            {
                if popped == 0 {
                    first_tag = Some(tag);
                    self.read_tag(first_tag, request, keys);
                }
                popped += 1;
                self.leaves_by = Some(listener);
                edits.delete(header.start..header.end);
                continue;
            }
            for value in address::values(field) {
                let value = value.map_err(|_| Reject::bad_request("Bad Route"))?;
                let uri = Uri::parse(value.uri).map_err(|_| Reject::bad_request("Bad Route"))?;
                let parameter = uri.parameter(tag::PARAMETER);
                // A second entry of ours belongs to the same passage only when it bears the same tag (we wrote two
                // because the sides differ); another tag is another passage through us, and its turn comes later.
                let ours = own.find(&uri).filter(|_| popped == 0 || (popped == 1 && parameter == first_tag));
                let Some(listener) = ours else {
                    let from = message.range_of(value.bytes).start;
                    if from > header.value_start {
                        edits.delete(header.value_start..from);
                    }
                    self.next = Next::Route(uri);
                    self.next_is_strict = uri.parameter(b"lr").is_none().then_some(value.bytes);
                    return Ok(());
                };
                // One without a tag is a client's that has us for its outbound proxy, and says nothing.
                if parameter.is_some() {
                    if popped == 0 {
                        first_tag = parameter;
                        self.read_tag(parameter, request, keys);
                    }
                    popped += 1;
                } else if popped == 0
                    && let Some(token) = uri.parameter(flow_token::PARAMETER)
                {
                    self.along = FlowToken::read(keys, token).map_or(Along::Forged, Along::Flow);
                }
                self.leaves_by = Some(listener);
            }
            edits.delete(header.start..header.end);
        }
        Ok(())
    }

    /// A strict router put our entry into the Request-URI and the real one behind the last Route.
    fn undo_strict_router(
        &mut self,
        request: &Request<'m>,
        own: &OwnAddresses,
        keys: &KeyRing,
        edits: &mut Edits,
    ) -> Result<(), Reject> {
        let message = request.message;
        self.read_tag(request.uri.parameter(tag::PARAMETER), request, keys);
        self.leaves_by = own.find(request.uri);
        let mut last = None;
        for header in message.all(Name::Route) {
            let mut before = header.value_start;
            for value in address::values(message.value(header)) {
                let value = value.map_err(|_| Reject::bad_request("Bad Route"))?;
                let range = message.range_of(value.bytes);
                last = Some((header, value.uri, before..range.end));
                before = range.end;
            }
        }
        let Some((header, target, range)) = last else {
            // The tag in a Request-URI without a Route: a peer that took our entry for a contact. It still says where.
            return Ok(());
        };
        let uri = Uri::parse(target).map_err(|_| Reject::bad_request("Bad Route"))?;
        edits.replace(message.range_of(request.uri.bytes), |text| text.extend_from_slice(target));
        if range.start == header.value_start {
            edits.delete(header.start..header.end);
        } else {
            edits.delete(range);
        }
        self.request_uri_ours = own.find(&uri).is_some();
        self.next = Next::Route(uri);
        Ok(())
    }

    fn read_tag(&mut self, parameter: Option<&[u8]>, request: &Request<'_>, keys: &KeyRing) {
        if let Some(parameter) = parameter {
            self.tag = Tag::read(keys, parameter, request.call, request.call_id);
            self.forged = self.tag.is_none();
        }
    }
}

/// RFC 3261 §16.6 step 6: the strict router's URI becomes the Request-URI, and the Request-URI the last Route.
pub(crate) fn write_for_strict_router(request: &Request<'_>, route: &[u8], edits: &mut Edits) {
    let message = request.message;
    let Ok(address) = address::parse(route) else { return };
    edits.replace(message.range_of(request.uri.bytes), |text| text.extend_from_slice(address.uri));
    let Some(header) = message.all(Name::Route).find(|header| holds(message.value(header), route)) else {
        return;
    };
    let from = message.range_of(route);
    let rest = &message.bytes()[from.end as usize..header.value_end as usize];
    if rest.is_empty() {
        edits.delete(header.start..header.end);
    } else {
        let comma = rest.iter().position(|byte| *byte == b',').map_or(rest.len(), |at| at + 1);
        edits.delete(from.start..from.end + comma as u32);
    }
    let end = message.all(Name::Route).last().map_or(message.headers_start(), |last| last.end);
    edits.insert(end, |text| {
        text.extend_from_slice(b"Route: <");
        text.extend_from_slice(request.uri.bytes);
        text.extend_from_slice(b">\r\n");
    });
}

fn holds(field: &[u8], part: &[u8]) -> bool {
    field.as_ptr_range().contains(&part.as_ptr())
}
