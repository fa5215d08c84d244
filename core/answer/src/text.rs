//! The messages that the server writes.

use std::io::Write as _;
use std::net::SocketAddr;

use sip::headers::{address, via};
use sip::text::{write_decimal, write_host};
use sip::{Flow, Host, Message, Name, Reject, Target, Transport, Uri};

use super::Address;

/// Methods that are understood, for Allow (RFC 3261 §20.5).
pub(super) const ALLOW: &str = "INVITE, ACK, BYE, CANCEL, OPTIONS, REGISTER, UPDATE, INFO, MESSAGE, NOTIFY";

/// What an answer without body ends with.
const NO_BODY: &[u8] = b"Content-Length: 0\r\n\r\n";

/// The port of SIP where none is written (RFC 3261 §18.2.2).
const SIP_PORT: u16 = 5060;

pub(super) fn reject(status: u16) -> Reject {
    let reason = match status {
        100 => "Trying",
        180 => "Ringing",
        200 => "OK",
        302 => "Moved Temporarily",
        405 => "Method Not Allowed",
        408 => "Request Timeout",
        420 => "Bad Extension",
        480 => "Temporarily Unavailable",
        481 => "Call/Transaction Does Not Exist",
        486 => "Busy Here",
        487 => "Request Terminated",
        500 => "Server Internal Error",
        503 => "Service Unavailable",
        600 => "Busy Everywhere",
        603 => "Decline",
        _ => "Refused",
    };
    Reject { status, reason, retry_after: None }
}

/// Where an answer to this request goes (RFC 3261 §18.2.2, RFC 3581 §4).
pub(super) fn answer_target(request: &Message<'_>, flow: Flow) -> Target {
    if let Some(id) = flow.connection {
        return Target::Connection { listener: flow.listener, id, to: flow.remote, or_connect: false };
    }
    let port = match via::top(request) {
        Some(Ok(via)) if via.rport.is_none() && via.port != Some(0) => via.port.unwrap_or(SIP_PORT),
        _ => flow.remote.port(),
    };
    Target::Datagram { listener: flow.listener, to: SocketAddr::new(flow.remote.ip(), port) }
}

/// An answer with `fields` before its body.
pub(super) fn answer(
    request: &Message<'_>,
    remote: SocketAddr,
    (status, tag): (u16, u64),
    fields: impl FnOnce(&mut Vec<u8>),
    body: &str,
) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(request.bytes().len() + 512);
    sip::answer::write(request, &reject(status), remote, tag, &mut bytes);
    let end = bytes.len() - NO_BODY.len();
    bytes.truncate(end);
    fields(&mut bytes);
    let _ = write!(bytes, "Content-Length: {}\r\n\r\n{body}", body.len());
    bytes
}

/// Fields of an answer that makes or changes a dialog: Record-Route as it came (RFC 3261 §12.1.1), and our Contact.
pub(super) fn dialog_fields(request: &Message<'_>, own: Address, out: &mut Vec<u8>) {
    for header in request.all(Name::RecordRoute) {
        out.extend_from_slice(&request.bytes()[header.start as usize..header.end as usize]);
    }
    out.extend_from_slice(b"Contact: <sip:answer@");
    write_address(own.address, out);
    let _ = write!(out, ";transport={}>\r\nAllow: {ALLOW}\r\n", own.transport.uri_token());
}

fn write_address(address: SocketAddr, out: &mut Vec<u8>) {
    write_host(address.ip(), out);
    out.push(b':');
    write_decimal(u64::from(address.port()), out);
}

/// A session description that takes one audio stream and sends nothing.
pub(super) fn session(own: SocketAddr) -> String {
    let (kind, ip) = (if own.is_ipv4() { "IP4" } else { "IP6" }, own.ip());
    format!(
        "v=0\r\no=answer 1 1 IN {kind} {ip}\r\ns=-\r\nc=IN {kind} {ip}\r\nt=0 0\r\n\
         m=audio 9 RTP/AVP 0\r\na=rtpmap:0 PCMU/8000\r\na=recvonly\r\n"
    )
}

/// A BYE to the caller, and where it goes: along the route that the INVITE recorded (RFC 3261 §12.2.1.1).
pub(super) fn bye(
    invite: &Message<'_>,
    flow_target: Target,
    addresses: &[Address],
    (own_tag, sequence, branch): (&[u8], u32, u64),
) -> Option<(Vec<u8>, Target)> {
    let value = |name| invite.first_value(name);
    let contact = address::first(value(Name::Contact)?).ok()?.uri;
    let first_hop = invite
        .all(Name::RecordRoute)
        .next()
        .and_then(|header| address::first(invite.value(header)).ok())
        .map_or(contact, |route| route.uri);
    let target = hop_target(first_hop, flow_target, addresses)?;
    let own = addresses.get(usize::from(listener_of(target)))?;
    let mut bytes = Vec::with_capacity(512);
    bytes.extend_from_slice(b"BYE ");
    bytes.extend_from_slice(contact);
    let _ = write!(bytes, " SIP/2.0\r\nVia: SIP/2.0/{} ", own.transport.via_token());
    write_address(own.address, &mut bytes);
    let _ = write!(bytes, ";branch=z9hG4bK{branch:016x};rport\r\nMax-Forwards: 70\r\n");
    for header in invite.all(Name::RecordRoute) {
        field(b"Route", invite.value(header), &mut bytes);
    }
    bytes.extend_from_slice(b"From: ");
    let to = value(Name::To)?;
    bytes.extend_from_slice(to);
    if address::parse(to).ok()?.tag().is_none() {
        bytes.extend_from_slice(b";tag=");
        bytes.extend_from_slice(own_tag);
    }
    bytes.extend_from_slice(b"\r\n");
    field(b"To", value(Name::From)?, &mut bytes);
    field(b"Call-ID", value(Name::CallId)?, &mut bytes);
    let _ = write!(bytes, "CSeq: {sequence} BYE\r\nContent-Length: 0\r\n\r\n");
    Some((bytes, target))
}

fn field(name: &[u8], value: &[u8], out: &mut Vec<u8>) {
    for part in [name, b": ", value, b"\r\n"] {
        out.extend_from_slice(part);
    }
}

fn listener_of(target: Target) -> u8 {
    match target {
        Target::Datagram { listener, .. }
        | Target::Connection { listener, .. }
        | Target::Stream { listener, .. } => listener,
    }
}

/// On a stream the call's own connection; else where the URI says, which must be an address.
fn hop_target(uri: &[u8], flow_target: Target, addresses: &[Address]) -> Option<Target> {
    if let Target::Connection { listener, id, to, .. } = flow_target {
        return Some(Target::Connection { listener, id, to, or_connect: true });
    }
    let uri = Uri::parse(uri).ok()?;
    let Host::Ip(ip) = uri.host else { return None };
    let to = SocketAddr::new(ip, uri.port.unwrap_or(SIP_PORT));
    let by_stream =
        uri.parameter(b"transport").is_some_and(|transport| transport.eq_ignore_ascii_case(b"tcp"));
    if by_stream {
        let listener = addresses.iter().position(|own| own.transport == Transport::Tcp)?;
        return Some(Target::Stream { listener: u8::try_from(listener).ok()?, to });
    }
    Some(Target::Datagram { listener: listener_of(flow_target), to })
}

/// Whether a request wants an extension (RFC 3261 §8.2.2.3); there are none here.
pub(super) fn required(request: &Message<'_>) -> Option<Vec<u8>> {
    let values: Vec<&[u8]> = request.all(Name::Require).map(|header| request.value(header)).collect();
    let joined = values.join(&b", "[..]);
    (!joined.iter().all(|byte| b" ,\t\r\n".contains(byte))).then_some(joined)
}
