//! STUN on the UDP port of SIP: the answer to a Binding request. By it, a client keeps its way through a NAT open and learns
//! whether that way has changed (RFC 5626 §4.4.2, §8; messages of RFC 5389 §6).
//!
//! Requests are not authenticated, because this usage does not require it. So an answer is never much longer than its
//! request: a forged source gains nothing.

use std::net::{IpAddr, SocketAddr};

const HEADER: usize = 20;
const COOKIE: [u8; 4] = [0x21, 0x12, 0xA4, 0x42];

const BINDING_REQUEST: u16 = 0x0001;
const BINDING_SUCCESS: u16 = 0x0101;
const BINDING_ERROR: u16 = 0x0111;

const ERROR_CODE: u16 = 0x0009;
const UNKNOWN_ATTRIBUTES: u16 = 0x000A;
const XOR_MAPPED_ADDRESS: u16 = 0x0020;

/// Attributes below this must be understood (RFC 5389 §15).
const OPTIONAL_FROM: u16 = 0x8000;
/// Attributes that may be in a request and need no answer here: addresses, credentials, and errors.
const KNOWN: [u16; 8] = [0x0001, 0x0006, 0x0008, 0x0009, 0x000A, 0x0014, 0x0015, 0x0020];
/// Unknown attributes that the answer lists: each costs its sender four bytes and us two.
const TOLD_MAX: usize = 8;

/// Whether a datagram is STUN: no SIP message begins with its first byte (RFC 5626 §8).
pub fn is_meant(datagram: &[u8]) -> bool {
    datagram.len() >= HEADER && datagram[0] < 2 && datagram[4..8] == COOKIE
}

/// Appends the answer to a Binding request that came from `remote`. False: it is not a Binding request, or not well formed.
pub fn answer(datagram: &[u8], remote: SocketAddr, out: &mut Vec<u8>) -> bool {
    if !is_meant(datagram) {
        return false;
    }
    let word = |at: usize| u16::from_be_bytes([datagram[at], datagram[at + 1]]);
    let length = usize::from(word(2));
    if word(0) != BINDING_REQUEST || !length.is_multiple_of(4) || length != datagram.len() - HEADER {
        return false;
    }
    let mut unknown = Vec::new();
    let mut at = HEADER;
    while at < datagram.len() {
        let (kind, size) = (word(at), usize::from(word(at + 2)));
        at += 4 + size.next_multiple_of(4);
        if at > datagram.len() {
            return false;
        }
        if kind < OPTIONAL_FROM && !KNOWN.contains(&kind) && unknown.len() < TOLD_MAX {
            unknown.push(kind);
        }
    }
    let transaction = &datagram[8..HEADER];
    let start = out.len();
    let kind = if unknown.is_empty() { BINDING_SUCCESS } else { BINDING_ERROR };
    out.extend_from_slice(&kind.to_be_bytes());
    out.extend_from_slice(&[0, 0]);
    out.extend_from_slice(&COOKIE);
    out.extend_from_slice(transaction);
    if unknown.is_empty() {
        write_mapped_address(remote, transaction, out);
    } else {
        // RFC 5389 §7.3.1: 420 and the list of unknown attributes.
        attribute(ERROR_CODE, &[0, 0, 4, 20], out);
        let told: Vec<u8> = unknown.iter().flat_map(|kind| kind.to_be_bytes()).collect();
        attribute(UNKNOWN_ATTRIBUTES, &told, out);
    }
    let body = (out.len() - start - HEADER) as u16;
    out[start + 2..start + 4].copy_from_slice(&body.to_be_bytes());
    true
}

/// RFC 5389 §15.2: address and port under the cookie and the transaction, so that no NAT on the way changes them.
fn write_mapped_address(remote: SocketAddr, transaction: &[u8], out: &mut Vec<u8>) {
    let mask = COOKIE.iter().chain(transaction);
    let port = remote.port() ^ u16::from_be_bytes([COOKIE[0], COOKIE[1]]);
    let (family, address): (u8, Vec<u8>) = match remote.ip() {
        IpAddr::V4(ip) => (1, ip.octets().to_vec()),
        IpAddr::V6(ip) => (2, ip.octets().to_vec()),
    };
    let mut value = vec![0, family];
    value.extend_from_slice(&port.to_be_bytes());
    value.extend(address.iter().zip(mask).map(|(byte, mask)| byte ^ mask));
    attribute(XOR_MAPPED_ADDRESS, &value, out);
}

fn attribute(kind: u16, value: &[u8], out: &mut Vec<u8>) {
    out.extend_from_slice(&kind.to_be_bytes());
    out.extend_from_slice(&(value.len() as u16).to_be_bytes());
    out.extend_from_slice(value);
    out.resize(out.len() + value.len().next_multiple_of(4) - value.len(), 0);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(attributes: &[u8]) -> Vec<u8> {
        let mut request = vec![0, 1];
        request.extend_from_slice(&(attributes.len() as u16).to_be_bytes());
        request.extend_from_slice(&COOKIE);
        request.extend_from_slice(b"twelve bytes");
        request.extend_from_slice(attributes);
        request
    }

    fn answered(request: &[u8], remote: &str) -> Option<Vec<u8>> {
        // Behind what lies in the outbox already.
        let mut out = b"odd".to_vec();
        let meant = answer(request, remote.parse().unwrap(), &mut out);
        assert_eq!(&out[..3], b"odd");
        meant.then(|| out.split_off(3))
    }

    #[test]
    fn a_binding_request_is_told_where_it_came_from() {
        let said = answered(&request(b""), "192.0.2.1:32853").unwrap();
        assert_eq!(said[..8], [1, 1, 0, 12, 0x21, 0x12, 0xA4, 0x42]);
        assert_eq!(&said[8..20], b"twelve bytes");
        // Port and address of the sample response in RFC 5769 §2.2.
        assert_eq!(said[20..], [0, 0x20, 0, 8, 0, 1, 0xA1, 0x47, 0xE1, 0x12, 0xA6, 0x43]);
        let said = answered(&request(b""), "[2001:db8::9]:5060").unwrap();
        let mask = [&COOKIE[..], b"twelve bytes"].concat();
        let address: Vec<u8> = said[28..].iter().zip(mask).map(|(byte, mask)| byte ^ mask).collect();
        assert_eq!(address, "2001:db8::9".parse::<std::net::Ipv6Addr>().unwrap().octets());
    }

    #[test]
    fn what_must_be_understood_and_is_not_is_named() {
        // SOFTWARE may be passed over, CHANGE-REQUEST may not: it would have us answer from elsewhere.
        assert_eq!(answered(&request(b"\x80\x22\0\x03abc\0"), "192.0.2.1:1").unwrap()[..2], [1, 1]);
        let said = answered(&request(b"\0\x03\0\x04\0\0\0\0"), "192.0.2.1:1").unwrap();
        assert_eq!(said[..4], [1, 0x11, 0, 16]);
        assert_eq!(said[20..], [0, 9, 0, 4, 0, 0, 4, 20, 0, 10, 0, 2, 0, 3, 0, 0]);
        let many: Vec<u8> = (0x10..0x13).cycle().take(300).flat_map(|kind| [0, kind, 0, 0]).collect();
        assert!(answered(&request(&many), "192.0.2.1:1").unwrap().len() <= 20 + 8 + 4 + 2 * TOLD_MAX);
    }

    #[test]
    fn anything_else_is_not_answered() {
        let good = request(b"\x80\x22\0\x04abcd");
        for length in 0..good.len() {
            assert_eq!(answered(&good[..length], "192.0.2.1:1"), None, "cut at {length}");
        }
        for (at, byte) in [(0, 1), (0, b'O'), (1, 0x11), (4, 0), (3, 4), (23, 9)] {
            let mut bad = good.clone();
            bad[at] = byte;
            assert_eq!(answered(&bad, "192.0.2.1:1"), None, "{byte} at {at}");
        }
    }
}
