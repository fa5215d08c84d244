//! The Routes of a request that is passed on (RFC 3261 §16.4): our own entries are taken out, and what a strict router has
//! changed is undone.

use sip::headers::address;
use sip::{Edits, Message, Name, Start, Uri};

use crate::names::{ENTRY, read_entry};
use crate::settings::Settings;

/// See the head of this module.
#[derive(Debug, Default)]
pub(crate) struct Routes<'m> {
    /// An entry of ours proves that the request is of a dialog that began through this farm.
    pub(crate) proven: bool,
    /// An entry looks like one of ours, and is not.
    pub(crate) forged: bool,
    /// The URI that the request goes to, if Routes are left.
    pub(crate) next: Option<&'m [u8]>,
    /// The Request-URI, if it is not the one that came.
    pub(crate) uri: Option<&'m [u8]>,
    /// The values that stay.
    kept: Vec<&'m [u8]>,
    /// The URI that a strict router behind us finds in the last Route (RFC 3261 §16.6, step 6).
    last: Option<&'m [u8]>,
    is_changed: bool,
}

impl<'m> Routes<'m> {
    /// `None`: a Route is none.
    pub(crate) fn read(settings: &Settings, request: &Message<'m>) -> Option<Routes<'m>> {
        let Start::Request { uri, .. } = request.start() else { return None };
        let call_id = request.first_value(Name::CallId)?;
        let mut routes = Routes::default();
        let mut values = Vec::new();
        for header in request.all(Name::Route) {
            for value in address::values(request.value(header)) {
                values.push(value.ok()?);
            }
        }
        // A strict router before us has put our entry in the place of the Request-URI, which is the last Route now.
        if routes.takes(settings, Uri::parse(uri).ok().as_ref(), call_id, false) {
            routes.uri = Some(values.pop()?.uri);
            routes.is_changed = true;
        }
        let mut left = values.iter().peekable();
        while let Some(value) = left.peek() {
            let uri = Uri::parse(value.uri).ok()?;
            if !routes.takes(settings, Some(&uri), call_id, true) {
                routes.next = Some(value.uri);
                let is_strict = uri.parameter(b"lr").is_none();
                if is_strict {
                    left.next();
                    routes.last = Some(routes.uri.unwrap_or(request_uri(request)));
                    routes.uri = routes.next;
                    routes.is_changed = true;
                }
                break;
            }
            routes.is_changed = true;
            left.next();
        }
        routes.kept = left.map(|value| value.bytes).collect();
        Some(routes)
    }

    /// Whether this is an entry of ours. Only as a Route may it lack the proof: some user agents have us as their outbound
    /// proxy.
    fn takes(
        &mut self,
        settings: &Settings,
        uri: Option<&Uri<'_>>,
        call_id: &[u8],
        without_proof: bool,
    ) -> bool {
        let Some(uri) = uri else { return false };
        match uri.parameter(ENTRY) {
            Some(text) if read_entry(&settings.secret, text, call_id).is_some() => {
                self.proven = true;
                true
            }
            Some(_) if settings.is_own(uri) => {
                self.forged = true;
                false
            }
            Some(_) => false,
            None => without_proof && settings.is_own(uri),
        }
    }

    /// Leaves in `edits` what becomes of the Route fields.
    pub(crate) fn write(&self, request: &Message<'_>, edits: &mut Edits) {
        if !self.is_changed {
            return;
        }
        let fields = request.all(Name::Route);
        fields.for_each(|header| edits.delete(header.start..header.end));
        edits.insert(request.headers_start(), |text| {
            let mut add = |parts: [&[u8]; 3]| {
                text.extend_from_slice(b"Route: ");
                parts.iter().for_each(|part| text.extend_from_slice(part));
                text.extend_from_slice(b"\r\n");
            };
            self.kept.iter().for_each(|value| add([b"", value, b""]));
            if let Some(last) = self.last {
                add([b"<", last, b">"]);
            }
        });
    }
}

fn request_uri<'m>(request: &Message<'m>) -> &'m [u8] {
    match request.start() {
        Start::Request { uri, .. } => uri,
        Start::Response { .. } => b"",
    }
}
