//! The encapsulated response (SPEC C4): a server sends it instead of a response when the server itself names the next hop. It
//! is framed as a SIP message, so that it travels in the same streams and datagrams; docs/encapsulated-response.md specifies
//! it.
//!
//! The load manager accepts an encapsulated response only from the address of a server, with the right authenticator, around
//! a response to a request that went through a load manager of this farm. So a sender gains no way to have us send anything
//! anywhere.

use std::net::SocketAddr;
use std::ops::Range;

use heartbeat::authenticator::{self, AUTHENTICATOR_BYTES};
use sip::text::{decimal, write_decimal, write_host};
use sip::{Host, Transport, Uri};

/// How each encapsulated response begins.
const METHOD: &[u8] = b"ENCAPSULATED ";
const VERSION_LINE: &[u8] = b" SIP/2.0\r\nEncapsulation: 1\r\nAuthenticator: ";
const TYPE_LINE: &[u8] = b"\r\nContent-Type: message/sip\r\nContent-Length: ";
const END: &[u8] = b"\r\n\r\n";
/// The bytes under the authenticator begin with this: heartbeats have the same key, and begin otherwise.
const COVERED: &[u8] = b"strowger encapsulated response 1\r\n";

/// Longest next hop: an IPv6 address with port and transport.
const NEXT_HOP_BYTES_MAX: usize = 80;

/// Where the response goes from the load manager.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NextHop {
    pub address: SocketAddr,
    pub transport: Transport,
}

/// Why an encapsulated response was not accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refused {
    /// Wrong form; also a length other than that of the rest, or a response beyond a message's bounds.
    Malformed,
    /// Made with another key, or changed on the way.
    BadAuthenticator,
}

/// An accepted one: the next hop, and the range of the response in the bytes that were read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Encapsulated {
    pub next_hop: NextHop,
    pub response: Range<usize>,
}

/// Whether these bytes are meant as an encapsulated response.
#[inline]
pub fn is_meant(bytes: &[u8]) -> bool {
    bytes.starts_with(METHOD)
}

fn authenticator_of(key: &[u8], next_hop: &[u8], response: &[u8]) -> [u8; AUTHENTICATOR_BYTES] {
    authenticator::make(key, &[COVERED, next_hop, b"\r\n", response].concat())
}

/// Appends `response`, encapsulated, to `out`.
pub fn write(next_hop: NextHop, response: &[u8], key: &[u8], out: &mut Vec<u8>) {
    let mut uri = b"sip:".to_vec();
    write_host(next_hop.address.ip(), &mut uri);
    uri.push(b':');
    write_decimal(u64::from(next_hop.address.port()), &mut uri);
    uri.extend_from_slice(b";transport=");
    uri.extend_from_slice(next_hop.transport.uri_token().as_bytes());
    out.extend_from_slice(METHOD);
    out.extend_from_slice(&uri);
    out.extend_from_slice(VERSION_LINE);
    for byte in authenticator_of(key, &uri, response) {
        for digit in [byte >> 4, byte & 15] {
            out.push(b"0123456789abcdef"[usize::from(digit)]);
        }
    }
    out.extend_from_slice(TYPE_LINE);
    write_decimal(response.len() as u64, out);
    out.extend_from_slice(END);
    out.extend_from_slice(response);
}

/// Reads an encapsulated response. Its form is exact: the fields in their order, one space, no other case, nothing more.
pub fn read(bytes: &[u8], key: &[u8]) -> Result<Encapsulated, Refused> {
    let parts = Parts::of(bytes).ok_or(Refused::Malformed)?;
    let response = &bytes[parts.response.clone()];
    let covered = [COVERED, parts.next_hop, b"\r\n", response].concat();
    if !authenticator::is_right(key, &covered, &parts.authenticator) {
        return Err(Refused::BadAuthenticator);
    }
    let next_hop = next_hop_of(parts.next_hop).ok_or(Refused::Malformed)?;
    Ok(Encapsulated { next_hop, response: parts.response })
}

struct Parts<'a> {
    next_hop: &'a [u8],
    authenticator: [u8; AUTHENTICATOR_BYTES],
    response: Range<usize>,
}

impl<'a> Parts<'a> {
    fn of(bytes: &'a [u8]) -> Option<Parts<'a>> {
        let rest = bytes.strip_prefix(METHOD)?;
        let end = rest.iter().take(NEXT_HOP_BYTES_MAX + 1).position(|byte| *byte == b' ')?;
        let (next_hop, rest) = rest.split_at(end);
        let rest = rest.strip_prefix(VERSION_LINE)?;
        let (digits, rest) = rest.split_at_checked(2 * AUTHENTICATOR_BYTES)?;
        let mut authenticator = [0; AUTHENTICATOR_BYTES];
        for (byte, pair) in authenticator.iter_mut().zip(digits.chunks_exact(2)) {
            *byte = digit(pair[0])? << 4 | digit(pair[1])?;
        }
        let rest = rest.strip_prefix(TYPE_LINE)?;
        let end = rest.iter().take(6).position(|byte| *byte == b'\r')?;
        let length = length(&rest[..end])?;
        let response = rest[end..].strip_prefix(END)?;
        (length == response.len()).then(|| Parts {
            next_hop,
            authenticator,
            response: bytes.len() - response.len()..bytes.len(),
        })
    }
}

fn digit(byte: u8) -> Option<u8> {
    match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        _ => None,
    }
}

/// A number in its only allowed spelling: the bytes are signed as they are.
fn length(digits: &[u8]) -> Option<usize> {
    let plain = digits.len() == 1 || !digits.starts_with(b"0");
    decimal(digits).filter(|_| plain).map(|length| length as usize)
}

/// `sip:ADDRESS:PORT;transport=NAME`, an address of one host.
fn next_hop_of(text: &[u8]) -> Option<NextHop> {
    let uri = Uri::parse(text).ok()?;
    let Host::Ip(ip) = uri.host else { return None };
    let name = uri.parameter(b"transport")?;
    let transport = [Transport::Udp, Transport::Tcp, Transport::Tls, Transport::Ws, Transport::Wss]
        .into_iter()
        .find(|it| it.uri_token().as_bytes() == name)?;
    let port = uri.port.filter(|port| *port != 0)?;
    let is_host = !ip.is_unspecified() && !ip.is_multicast();
    (is_host && uri.user.is_none()).then(|| NextHop { address: SocketAddr::new(ip, port), transport })
}

#[cfg(test)]
mod tests;
