//! What every request says that leaves: our Via, our URI, and how far it may still go.

use sip::headers::max_forwards;
use sip::{Message, Name};

use crate::names::{Branch, OwnVia};
use crate::settings::{Address, Hop, Settings};

/// RFC 3261 §8.1.1.6.
pub(super) const MAX_FORWARDS: u8 = 70;

/// The value of our Via.
pub(super) fn write_own_via(settings: &Settings, branch: Branch, hop: Hop, out: &mut Vec<u8>) {
    let own = OwnVia { branch, engine: Some(settings.engine) };
    let sent_by = settings.address(hop.listener).map_or(&b""[..], |own| &own.sent_by);
    own.write(hop.transport.via_token(), sent_by, settings.route.is_some(), out);
}

/// The URI of a listener.
pub(super) fn write_own_uri(own: &Address, out: &mut Vec<u8>) {
    out.extend_from_slice(if own.transport.is_secure() { b"sips:" } else { b"sip:" });
    out.extend_from_slice(&own.sent_by);
    if own.transport.is_reliable() && !own.transport.is_secure() {
        out.extend_from_slice(b";transport=");
        out.extend_from_slice(own.transport.uri_token().as_bytes());
    }
}

/// Max-Forwards of a request that is passed on (RFC 7332 §5): a loop through several engines must end.
pub(super) fn one_less(request: &Message<'_>) -> u8 {
    let said = request.first_value(Name::MaxForwards).and_then(max_forwards::parse);
    said.map_or(MAX_FORWARDS, |hops| hops.saturating_sub(1))
}
