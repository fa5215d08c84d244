//! The messages that the server writes.

use std::io::Write as _;
use std::net::SocketAddr;

use sip::headers::address;
use sip::text::{write_decimal, write_host};
use sip::write::With;
use sip::{Host, Message, Name, Reject, SIP_PORT, Target, Transport, Uri, Writer};

use super::Address;

/// Methods that the server understands, for Allow (RFC 3261 §20.5).
pub(super) const ALLOW: &str = "INVITE, ACK, BYE, CANCEL, OPTIONS, REGISTER, UPDATE, INFO, MESSAGE, NOTIFY";

/// RFC 3261 §8.1.1.6.
const MAX_FORWARDS: u8 = 70;

/// Names and values of an answer's fields besides those copied from its request.
pub(super) type Fields = Vec<(&'static str, Vec<u8>)>;

/// The Contact of a request that changes the far end's address (RFC 3261 §12.2.2).
pub(super) fn remote_target(request: &Message<'_>) -> Option<Box<[u8]>> {
    Some(address::first(request.first_value(Name::Contact)?).ok()?.uri.into())
}

/// An answer with `fields` and, unless `body` is empty, a session description. The result is empty if a field contains a line
/// end.
pub(super) fn answer(
    request: &Message<'_>,
    remote: SocketAddr,
    (status, tag): (u16, u64),
    fields: &Fields,
    body: &str,
) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(request.bytes().len() + 512);
    let begun = sip::answer::begin(request, &Reject::with_status(status), remote, tag, &mut bytes);
    let whole = fields.iter().fold(begun, |answer, (name, value)| answer.field(name, &value[..]));
    if body.is_empty() {
        whole.finish();
    } else {
        whole.finish_with("application/sdp", body.as_bytes());
    }
    bytes
}

/// The Allow field.
pub(super) fn allow() -> (&'static str, Vec<u8>) {
    ("Allow", ALLOW.into())
}

/// Fields of an answer that makes or changes a dialog: the request's Record-Route (RFC 3261 §12.1.1), and our Contact.
pub(super) fn dialog_fields(request: &Message<'_>, own: Address) -> Fields {
    let routes = request.all(Name::RecordRoute).map(|header| request.value(header));
    let mut fields: Fields = routes.map(|route| ("Record-Route", route.to_vec())).collect();
    let mut contact = b"<sip:answer@".to_vec();
    write_address(own.address, &mut contact);
    let _ = write!(contact, ";transport={}>", own.transport.uri_token());
    fields.extend([("Contact", contact), allow()]);
    fields
}

fn write_address(address: SocketAddr, out: &mut Vec<u8>) {
    write_host(address.ip(), out);
    out.push(b':');
    write_decimal(u64::from(address.port()), out);
}

/// A BYE to the caller, and its target: along the route that the INVITE recorded (RFC 3261 §12.2.1.1).
pub(super) fn bye(
    invite: &Message<'_>,
    flow_target: Target,
    addresses: &[Address],
    (own_tag, sequence, branch): (&[u8], u32, u64),
    remote_target: Option<&[u8]>,
) -> Option<(Vec<u8>, Target)> {
    let value = |name| invite.first_value(name);
    let contact = match remote_target {
        Some(uri) => uri,
        None => address::first(value(Name::Contact)?).ok()?.uri,
    };
    let first_hop = invite
        .all(Name::RecordRoute)
        .next()
        .and_then(|header| address::first(invite.value(header)).ok())
        .map_or(contact, |route| route.uri);
    let target = hop_target(first_hop, flow_target, addresses)?;
    let own = addresses.get(usize::from(listener_of(target)))?;
    let to = value(Name::To)?;
    let own_tag = match address::parse(to).ok()?.tag() {
        None => [b";tag=", own_tag].concat(),
        Some(_) => Vec::new(),
    };
    let mut bytes = Vec::with_capacity(512);
    let via = |text: &mut Vec<u8>| {
        let _ = write!(text, "SIP/2.0/{} ", own.transport.via_token());
        write_address(own.address, text);
        let _ = write!(text, ";branch={};rport", branch_text(branch));
    };
    let begun = Writer::request(&mut bytes, "BYE", contact).via(With(via));
    let routes = invite.all(Name::RecordRoute).map(|header| invite.value(header));
    let routed = routes.fold(begun, |bye, route| bye.route(route)).max_forwards(MAX_FORWARDS);
    let to_whom = routed.from((to, &own_tag[..])).to(value(Name::From)?).call_id(value(Name::CallId)?);
    to_whom.cseq(sequence).finish().then_some((bytes, target))
}

pub(super) fn branch_text(branch: u64) -> String {
    format!("z9hG4bK{branch:016x}")
}

fn listener_of(target: Target) -> u8 {
    match target {
        Target::Datagram { listener, .. }
        | Target::Connection { listener, .. }
        | Target::Stream { listener, .. } => listener,
    }
}

/// The target of the next hop: on a stream the call's own connection, while it is open; otherwise the URI's address.
fn hop_target(uri: &[u8], flow_target: Target, addresses: &[Address]) -> Option<Target> {
    let uri = Uri::parse(uri).ok()?;
    let place = match uri.host {
        Host::Ip(ip) => Some(SocketAddr::new(ip, uri.port.unwrap_or(SIP_PORT))),
        Host::Name(_) => None,
    };
    if let Target::Connection { listener, id, to, .. } = flow_target {
        return Some(Target::Connection { listener, id, to: place.unwrap_or(to), or_connect: true });
    }
    let to = place?;
    let by_stream =
        uri.parameter(b"transport").is_some_and(|transport| transport.eq_ignore_ascii_case(b"tcp"));
    if by_stream {
        let listener = addresses.iter().position(|own| own.transport == Transport::Tcp)?;
        return Some(Target::Stream { listener: u8::try_from(listener).ok()?, to });
    }
    Some(Target::Datagram { listener: listener_of(flow_target), to })
}

/// The extensions that a request requires, if any (RFC 3261 §8.2.2.3); the server has none.
pub(super) fn required(request: &Message<'_>) -> Option<Vec<u8>> {
    let values: Vec<&[u8]> = request.all(Name::Require).map(|header| request.value(header)).collect();
    let joined = values.join(&b", "[..]);
    (!joined.iter().all(|byte| b" ,\t\r\n".contains(byte))).then_some(joined)
}
