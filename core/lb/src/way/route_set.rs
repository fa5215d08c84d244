//! The route set of a request as it arrives: our own entries are read, the next entry is found, and a strict router's changes
//! are undone (RFC 3261 §16.4). Reading changes nothing; [`RouteSet::write`] writes what is left of the Routes.

use std::ops::Range;

use sip::headers::address;
use sip::{Edits, Name, Reject, Uri};

use crate::connections::own::OwnAddresses;
use crate::signed::flow_token::{self, FlowToken};
use crate::signed::keyring::KeyRing;
use crate::signed::tag::{self, Tag};
use crate::way::request::Request;

/// The Path entry of a registered telephone at the front of a route set.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Along {
    /// There is none.
    #[default]
    Nothing,
    /// There is one, but not one of ours.
    Forged,
    Flow(FlowToken),
}

#[derive(Debug, Default)]
pub(crate) struct RouteSet<'m> {
    /// The tag of our topmost entry, if this farm made it for this call.
    pub tag: Option<Tag>,
    /// There was a tag, but we did not make it.
    pub forged: bool,
    /// Our topmost entry, if it is the Path entry of a registered telephone.
    pub along: Along,
    /// The listener that our last entry names: a request to a client leaves by it.
    pub leaves_by: Option<u8>,
    /// The Request-URI names us.
    pub request_uri_ours: bool,
    /// The Request-URI is an entry of ours, and no Route says whom the request is for.
    nowhere: bool,
    /// Whom the request is for, if its Request-URI does not say it: the URI that a strict router put behind the last Route,
    /// or the Request-URI without the parts that led it to us.
    uri: Option<Uri<'m>>,
    /// If that URI is the last Route: the range of the Route in the message, with the comma before it.
    last: Option<Range<u32>>,
    /// The first Route that is not ours, and where it begins.
    route: Option<(Uri<'m>, u32)>,
    /// That Route has no `lr`: the request is written for a strict router (RFC 3261 §16.6 step 6).
    strict: bool,
    /// If it is strict: where the Route behind it begins.
    second: Option<u32>,
    /// Our entries that were read.
    passed: Passed<'m>,
}

/// Our entries at the front of a route set.
#[derive(Debug, Default)]
struct Passed<'m> {
    /// How many of them have a tag.
    tagged: u8,
    /// The tag of the first.
    tag: Option<&'m [u8]>,
}

impl<'m> Passed<'m> {
    /// A second entry of ours belongs to the same passage only if it has the same tag (we wrote two because the sides
    /// differ). Another tag means another passage through us, which comes later.
    fn takes(&self, tag: Option<&[u8]>) -> bool {
        self.tagged == 0 || (self.tagged == 1 && tag == self.tag)
    }
}

impl<'m> RouteSet<'m> {
    /// Reads the route set of a request.
    pub(crate) fn take(
        &mut self,
        request: &Request<'m>,
        own: &OwnAddresses,
        keys: &KeyRing,
    ) -> Result<(), Reject> {
        let ours = own.find(request.uri);
        self.request_uri_ours = ours.is_some();
        let is_entry = |uri: &Uri<'_>| {
            uri.parameter(tag::PARAMETER).is_some() || uri.parameter(flow_token::PARAMETER).is_some()
        };
        if let Some(listener) = ours.filter(|_| is_entry(request.uri)) {
            self.pass(request.uri, listener, request, keys);
            self.undo_strict_router(request, own)?;
        } else if ours.is_some() && request.uri.parameter(b"maddr").is_some() {
            // The Request-URI without the parameters and the port that led it to us.
            let uri = Uri { port: None, parameters: b"", ..*request.uri };
            self.request_uri_ours = own.find(&uri).is_some();
            self.uri = Some(uri);
        }
        self.read_routes(request, own, keys)
    }

    /// Where the request, which this set was taken from, goes if it goes to a client.
    pub(crate) fn next<'s>(&'s self, request: &'s Request<'m>) -> Option<&'s Uri<'m>> {
        match &self.route {
            Some((uri, _)) => Some(uri),
            None if self.nowhere => None,
            None => Some(self.uri(request)),
        }
    }

    /// The request is for us, and says of no server that it is to get it.
    pub(crate) fn is_meant_for_us(&self) -> bool {
        self.request_uri_ours && self.route.is_none()
    }

    /// The next Route, if it stays in the request as it is.
    pub(crate) fn next_route(&self) -> Option<&Uri<'m>> {
        self.route.as_ref().filter(|_| !self.strict).map(|(uri, _)| uri)
    }

    /// Whether a Route at this place stays in the request as it is.
    pub(crate) fn keeps(&self, place: u32) -> bool {
        let from_next = self.route.as_ref().is_some_and(|(_, start)| *start <= place);
        from_next && !self.strict && self.last.as_ref().is_none_or(|last| place < last.start)
    }

    /// Whom the request is for: its Request-URI, the URI that a strict router put behind the last Route, or the Request-URI
    /// without the `maddr` that led it to us (RFC 3261 §16.4).
    pub(crate) fn uri<'s>(&'s self, request: &'s Request<'m>) -> &'s Uri<'m> {
        self.uri.as_ref().unwrap_or(request.uri)
    }

    /// The Request-URI or the topmost Route, as written, is `sips:`.
    pub(crate) fn is_secure(&self, request: &Request<'_>) -> bool {
        self.uri(request).secure || self.route.as_ref().is_some_and(|(uri, _)| uri.secure)
    }

    fn read_routes(
        &mut self,
        request: &Request<'m>,
        own: &OwnAddresses,
        keys: &KeyRing,
    ) -> Result<(), Reject> {
        let message = request.message;
        let last = self.last.as_ref().map(|place| place.end);
        for header in message.all(Name::Route) {
            let field = message.value(header);
            // The entry exactly as we wrote it: most peers send it back so.
            if let Some((listener, tag)) = own.route(field)
                && last.is_none()
                && self.route.is_none()
                && self.passed.takes(Some(tag))
            {
                self.pass_tagged(tag, listener, request, keys);
                continue;
            }
            for value in address::values(field) {
                let value = value.map_err(|_| Reject::bad_request("Bad Route"))?;
                let place = message.range_of(value.bytes);
                if last == Some(place.end) {
                    return Ok(());
                }
                if self.route.is_some() {
                    self.second = Some(place.start);
                    return Ok(());
                }
                let uri = Uri::parse(value.uri).map_err(|_| Reject::bad_request("Bad Route"))?;
                let ours = own.find(&uri).filter(|_| self.passed.takes(uri.parameter(tag::PARAMETER)));
                if let Some(listener) = ours {
                    self.pass(&uri, listener, request, keys);
                    continue;
                }
                self.strict = uri.parameter(b"lr").is_none();
                self.route = Some((uri, place.start));
                if !self.strict {
                    return Ok(());
                }
            }
        }
        Ok(())
    }

    /// Reads an entry of ours.
    fn pass(&mut self, uri: &Uri<'m>, listener: u8, request: &Request<'m>, keys: &KeyRing) {
        // An entry without a tag comes from a client that uses us as its outbound proxy, and says nothing.
        if let Some(tag) = uri.parameter(tag::PARAMETER) {
            return self.pass_tagged(tag, listener, request, keys);
        }
        if self.passed.tagged == 0
            && let Some(token) = uri.parameter(flow_token::PARAMETER)
        {
            self.along = FlowToken::read(keys, token).map_or(Along::Forged, Along::Flow);
        }
        self.leaves_by = Some(listener);
    }

    fn pass_tagged(&mut self, tag: &'m [u8], listener: u8, request: &Request<'m>, keys: &KeyRing) {
        if self.passed.tagged == 0 {
            self.passed.tag = Some(tag);
            self.tag = Tag::read(keys, tag, request.call, request.call_id);
            self.forged = self.tag.is_none();
        }
        self.passed.tagged += 1;
        self.leaves_by = Some(listener);
    }

    /// A strict router put our entry into the Request-URI and the real Request-URI behind the last Route.
    fn undo_strict_router(&mut self, request: &Request<'m>, own: &OwnAddresses) -> Result<(), Reject> {
        let message = request.message;
        let mut last = None;
        for header in message.all(Name::Route) {
            let mut before = header.value_start;
            for value in address::values(message.value(header)) {
                let value = value.map_err(|_| Reject::bad_request("Bad Route"))?;
                let end = message.range_of(value.bytes).end;
                last = Some((value.uri, before..end));
                before = end;
            }
        }
        let Some((uri, place)) = last else {
            // A peer took our entry for a contact. A tag in it still says where the request goes.
            self.nowhere = true;
            return Ok(());
        };
        let uri = Uri::parse(uri).map_err(|_| Reject::bad_request("Bad Route"))?;
        self.request_uri_ours = own.find(&uri).is_some();
        (self.uri, self.last) = (Some(uri), Some(place));
        Ok(())
    }

    /// Leaves in `edits` the changes that take our entries out, undo a strict router before us, and serve one behind us.
    pub(crate) fn write(&self, request: &Request<'_>, edits: &mut Edits) {
        let message = request.message;
        let kept = if self.strict { self.second } else { self.route.as_ref().map(|(_, start)| *start) };
        let mut behind = message.headers_start();
        for header in message.all(Name::Route) {
            behind = header.end;
            let from = match kept {
                Some(kept) if kept < header.value_end => kept.max(header.value_start),
                Some(_) | None => header.value_end,
            };
            let is_here = |last: &&Range<u32>| (header.value_start..header.value_end).contains(&last.start);
            let until = self.last.as_ref().filter(is_here).map_or(header.value_end, |last| last.start);
            if from >= until {
                edits.delete(header.start..header.end);
                continue;
            }
            if from > header.value_start {
                edits.delete(header.value_start..from);
            }
            if until < header.value_end {
                edits.delete(until..header.value_end);
            }
        }
        let strict = self.route.as_ref().filter(|_| self.strict).map(|(route, _)| route.bytes);
        if strict.is_some() || self.uri.is_some() {
            edits.replace(message.range_of(request.uri.bytes), |text| match strict {
                Some(strict) => text.extend_from_slice(strict),
                None => self.write_uri(request, text),
            });
        }
        if strict.is_some() {
            edits.insert(behind, |text| {
                text.extend_from_slice(b"Route: <");
                self.write_uri(request, text);
                text.extend_from_slice(b">\r\n");
            });
        }
    }

    /// [`RouteSet::uri`] as text.
    fn write_uri(&self, request: &Request<'_>, text: &mut Vec<u8>) {
        if self.uri.is_none() || self.last.is_some() {
            return text.extend_from_slice(self.uri(request).bytes);
        }
        let Uri { bytes, port, parameters, .. } = *request.uri;
        // A URI with `maddr` has parameters; before them are a semicolon and maybe a port.
        let mut front = &bytes[..parameters.as_ptr() as usize - bytes.as_ptr() as usize - 1];
        if port.is_some() {
            let colon = front.iter().rposition(|byte| *byte == b':').unwrap_or(front.len());
            front = &front[..colon];
        }
        text.extend_from_slice(front);
        let led_here = |parameter: &&[u8]| {
            let name = parameter.split(|byte| *byte == b'=').next().unwrap_or_default();
            name.eq_ignore_ascii_case(b"maddr") || name.eq_ignore_ascii_case(b"transport")
        };
        for parameter in parameters.split(|byte| *byte == b';').filter(|parameter| !led_here(parameter)) {
            text.push(b';');
            text.extend_from_slice(parameter);
        }
    }
}
