//! Answers that the load manager gives itself, without state (RFC 3261 §8.2.6, §8.2.7, §16.3).

use std::net::SocketAddr;

use crate::headers::{address, via};
use crate::message::{Header, Message, Name};
use crate::status::Reject;
use crate::text::{trim, write_decimal, write_hex};

/// Appends the response to `request` to `out`: Vias (with `received`/`rport` in the topmost), From, To (with `to_tag`
/// when it had none), Call-ID and CSeq copied as they came; Unsupported for a 420, Retry-After where given, Content-Length 0.
///
/// A field that the request does not have is left out; of one that it has twice, the first is copied; one that is
/// no address or no Via is copied unchanged. The same `to_tag` must be given for a repeated request (RFC 3261 §8.2.7): make it a
/// hash of the request.
pub fn write(request: &Message<'_>, reject: &Reject, remote: SocketAddr, to_tag: u64, out: &mut Vec<u8>) {
    out.extend_from_slice(b"SIP/2.0 ");
    write_decimal(u64::from(reject.status), out);
    out.push(b' ');
    out.extend_from_slice(reject.reason.as_bytes());
    out.extend_from_slice(b"\r\n");

    let mut vias = request.all(Name::Via);
    if let Some(header) = vias.next() {
        let value = request.value(header);
        match via::first(value) {
            Ok(top) => {
                out.extend_from_slice(b"Via: ");
                top.write_marked(value, remote, out);
                out.extend_from_slice(b"\r\n");
            }
            Err(via::BadVia) => copy(request, header, out),
        }
    }
    for header in vias {
        copy(request, header, out);
    }
    if let Some(from) = request.first(Name::From) {
        copy(request, from, out);
    }
    if let Some(to) = request.first(Name::To) {
        let value = request.value(to);
        out.extend_from_slice(b"To: ");
        out.extend_from_slice(value);
        // A 100 has the To of the request (RFC 3261 §8.2.6.2).
        if reject.status > 100 && address::parse(value).is_ok_and(|to| to.tag().is_none()) {
            out.extend_from_slice(b";tag=");
            write_hex(to_tag, out);
        }
        out.extend_from_slice(b"\r\n");
    }
    for name in [Name::CallId, Name::CSeq] {
        if let Some(header) = request.first(name) {
            copy(request, header, out);
        }
    }
    if *reject == Reject::bad_extension() {
        unsupported(request, out);
    }
    if let Some(seconds) = reject.retry_after {
        out.extend_from_slice(b"Retry-After: ");
        write_decimal(u64::from(seconds), out);
        out.extend_from_slice(b"\r\n");
    }
    out.extend_from_slice(b"Content-Length: 0\r\n\r\n");
}

/// The whole field, its line end included.
fn copy(request: &Message<'_>, header: &Header, out: &mut Vec<u8>) {
    out.extend_from_slice(&request.bytes()[header.start as usize..header.end as usize]);
}

/// All option tags of Proxy-Require (RFC 3261 §16.3, step 5; §20.40).
fn unsupported(request: &Message<'_>, out: &mut Vec<u8>) {
    let mut separator: &[u8] = b"Unsupported: ";
    for header in request.all(Name::ProxyRequire) {
        let tags = request.value(header).split(|&byte| byte == b',').map(trim);
        for tag in tags.filter(|tag| !tag.is_empty()) {
            out.extend_from_slice(separator);
            out.extend_from_slice(tag);
            separator = b", ";
        }
    }
    if separator == b", " {
        out.extend_from_slice(b"\r\n");
    }
}
