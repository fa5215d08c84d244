//! Answers that the load manager gives itself, without state (RFC 3261 §8.2.6, §8.2.7, §16.3).

use std::net::SocketAddr;

use memchr::memchr;

use crate::extensions::{self, Passing};
use crate::flow::{Flow, SIP_PORT, Target, Transport};
use crate::headers::{address, via};
use crate::message::{Message, Name};
use crate::status::Reject;
use crate::text::write_hex;
use crate::write::{With, Writer};

/// Appends the response to `request` to `out`: Vias (with `received`/`rport` in the topmost), From, To (with `to_tag`
/// when it had none), Call-ID and CSeq copied as they came; Unsupported for a 420, Retry-After where given, Content-Length 0.
///
/// A field that the request does not have is left out. If the request has a field twice, the first is copied. A field that
/// is not an address or a Via is copied unchanged. A repeated request must get the same `to_tag` (RFC 3261 §8.2.7): make it
/// a hash of the request.
pub fn write(request: &Message<'_>, reject: &Reject, remote: SocketAddr, to_tag: u64, out: &mut Vec<u8>) {
    begin(request, reject, remote, to_tag, out).finish();
}

/// As [`write()`]; a 420 does not name these extensions, because they pass.
pub fn write_with(
    request: &Message<'_>,
    reject: &Reject,
    remote: SocketAddr,
    to_tag: u64,
    passing: &Passing,
    out: &mut Vec<u8>,
) {
    begin_with(request, reject, remote, to_tag, passing, out).finish();
}

/// As [`write()`], up to the fields that the caller adds before the body.
pub fn begin<'a>(
    request: &Message<'_>,
    reject: &Reject,
    remote: SocketAddr,
    to_tag: u64,
    out: &'a mut Vec<u8>,
) -> Writer<'a> {
    begin_with(request, reject, remote, to_tag, &Passing::NONE, out)
}

fn begin_with<'a>(
    request: &Message<'_>,
    reject: &Reject,
    remote: SocketAddr,
    to_tag: u64,
    passing: &Passing,
    out: &'a mut Vec<u8>,
) -> Writer<'a> {
    let mut writer = Writer::response(out, reject.status(), reject.reason());
    let plain = |value: &&[u8]| memchr(0, value).is_none();
    for (at, header) in request.all(Name::Via).enumerate() {
        let value = request.value(header);
        let top = if at == 0 { Some(value).filter(plain) } else { None };
        writer = match top.and_then(|value| via::first(value).ok()) {
            Some(top) => writer.via(With(|out: &mut Vec<u8>| top.write_marked(value, remote, out))),
            None => writer.copy_field(request, header),
        };
    }
    writer = writer.copy_first(request, Name::From);
    // A 100 has the To of the request (RFC 3261 §8.2.6.2).
    let without_tag = |value: &&[u8]| address::parse(value).is_ok_and(|to| to.tag().is_none());
    let to = request.first_value(Name::To).filter(plain).filter(without_tag);
    writer = match to.filter(|_| reject.status() > 100) {
        Some(value) => writer.to(With(|out: &mut Vec<u8>| {
            out.extend_from_slice(value);
            out.extend_from_slice(b";tag=");
            write_hex(to_tag, out);
        })),
        None => writer.copy_first(request, Name::To),
    };
    writer = writer.copy_first(request, Name::CallId).copy_first(request, Name::CSeq);
    if *reject == Reject::bad_extension() && extensions::refused(request, passing).next().is_some() {
        writer = writer.field("Unsupported", With(|out: &mut Vec<u8>| unsupported(request, passing, out)));
    }
    match reject.retry_after() {
        Some(seconds) => writer.field("Retry-After", seconds),
        None => writer,
    }
}

/// Where an answer to this request goes (RFC 3261 §18.2.2, RFC 3581 §4). If the request's TCP connection has ended, the answer
/// takes another. With TLS it does not: no rule says whose certificate the other connection would have to show.
pub fn target(request: &Message<'_>, flow: Flow) -> Target {
    let (listener, top) = (flow.listener, via::top(request).and_then(Result::ok));
    let port = top.filter(|via| via.port != Some(0)).map(|via| via.port.unwrap_or(SIP_PORT));
    let to = |port| SocketAddr::new(flow.remote.ip(), port);
    if let Some(id) = flow.connection {
        return match port.filter(|_| flow.transport == Transport::Tcp) {
            Some(port) => Target::Connection { listener, id, to: to(port), or_connect: true },
            None => Target::Connection { listener, id, to: flow.remote, or_connect: false },
        };
    }
    let port = port.filter(|_| top.is_some_and(|via| via.rport.is_none()));
    Target::Datagram { listener, to: to(port.unwrap_or(flow.remote.port())) }
}

fn unsupported(request: &Message<'_>, passing: &Passing, out: &mut Vec<u8>) {
    for (at, tag) in extensions::refused(request, passing).enumerate() {
        if at > 0 {
            out.extend_from_slice(b", ");
        }
        out.extend_from_slice(tag);
    }
}
