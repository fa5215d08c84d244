//! The header of the PROXY protocol, versions 1 and 2 (HAProxy, doc/proxy-protocol.txt): who is behind a connection that a proxy for
//! TCP has opened. Only its length is taken on trust, and that has a bound.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// The longest header that is read: addresses of version 2 and some room for what proxies add behind them. Version 1 has 107 bytes
/// at most.
pub const HEADER_MAX: usize = 1024;
const LINE_MAX: usize = 107;

const SIGNATURE: &[u8; 12] = b"\r\n\r\n\0\r\nQUIT\n";
const FRONT: usize = 16;

/// What the first bytes of a connection say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Introduction {
    /// The header is not complete.
    Partial,
    /// The header is so long. `None`: the proxy speaks for itself, as in its health checks, or does not say for whom.
    Of { length: usize, client: Option<SocketAddr> },
    /// There is no such header.
    Wrong,
}

/// Reads the header at the front of `bytes`.
pub fn read(bytes: &[u8]) -> Introduction {
    let same = |expected: &[u8]| bytes.iter().zip(expected).all(|(byte, expected)| byte == expected);
    if same(SIGNATURE) {
        return if bytes.len() < SIGNATURE.len() { Introduction::Partial } else { binary(bytes) };
    }
    if same(b"PROXY ") { line(bytes) } else { Introduction::Wrong }
}

/// Version 1: `PROXY TCP4 192.0.2.1 192.0.2.2 40000 5060` and CRLF.
fn line(bytes: &[u8]) -> Introduction {
    let Some(end) = bytes.iter().take(LINE_MAX).position(|byte| *byte == b'\n') else {
        return if bytes.len() < LINE_MAX { Introduction::Partial } else { Introduction::Wrong };
    };
    let text = bytes[..end].strip_suffix(b"\r").and_then(|line| std::str::from_utf8(line).ok());
    let Some(text) = text else { return Introduction::Wrong };
    let words: Vec<&str> = text.split(' ').collect();
    let length = end + 1;
    let client = match words[..] {
        ["PROXY", "UNKNOWN", ..] => None,
        ["PROXY", family @ ("TCP4" | "TCP6"), from, to, from_port, to_port] => {
            let (Some(client), Some(own)) = (place(from, from_port), place(to, to_port)) else {
                return Introduction::Wrong;
            };
            if client.is_ipv4() != (family == "TCP4") || own.is_ipv4() != client.is_ipv4() {
                return Introduction::Wrong;
            }
            Some(client)
        }
        _ => return Introduction::Wrong,
    };
    Introduction::Of { length, client }
}

fn place(ip: &str, port: &str) -> Option<SocketAddr> {
    let is_number = port.bytes().all(|byte| byte.is_ascii_digit());
    let ip: IpAddr = ip.parse().ok()?;
    port.parse().ok().filter(|_| is_number).map(|port| SocketAddr::new(ip, port))
}

/// Version 2: signature, version and command, family, length, addresses, additions.
fn binary(bytes: &[u8]) -> Introduction {
    let Some(front) = bytes.first_chunk::<FRONT>() else { return Introduction::Partial };
    let (command, family) = (front[12], front[13]);
    let length = FRONT + usize::from(u16::from_be_bytes([front[14], front[15]]));
    if command >> 4 != 2 || length > HEADER_MAX {
        return Introduction::Wrong;
    }
    let Some(addresses) = bytes.get(FRONT..length) else { return Introduction::Partial };
    let client = match (command & 0x0F, family) {
        // LOCAL: whatever stands behind it is skipped.
        (0, _) => None,
        (1, 0x11) => match addresses.first_chunk::<12>() {
            Some(&[a, b, c, d, _, _, _, _, high, low, _, _]) => {
                Some(SocketAddr::from((Ipv4Addr::new(a, b, c, d), u16::from_be_bytes([high, low]))))
            }
            None => return Introduction::Wrong,
        },
        (1, 0x21) => match addresses.first_chunk::<36>() {
            Some(both) => {
                let mut ip = [0; 16];
                ip.copy_from_slice(&both[..16]);
                Some(SocketAddr::from((Ipv6Addr::from(ip), u16::from_be_bytes([both[32], both[33]]))))
            }
            None => return Introduction::Wrong,
        },
        // Not TCP over IP: the receiver is to use the addresses of the connection.
        (1, _) => None,
        _ => return Introduction::Wrong,
    };
    Introduction::Of { length, client }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn v2(command: u8, family: u8, addresses: &[u8]) -> Vec<u8> {
        let length = (addresses.len() as u16).to_be_bytes();
        [&SIGNATURE[..], &[command, family], &length, addresses].concat()
    }

    fn of(text: &str) -> Option<SocketAddr> {
        Some(text.parse().unwrap())
    }

    /// Headers of both versions, and whom they name.
    fn good() -> Vec<(Vec<u8>, Option<SocketAddr>)> {
        let four = [192, 0, 2, 1, 192, 0, 2, 2, 0x9C, 0x40, 0x13, 0xC4];
        let mut six = [0u8; 36];
        six[..4].copy_from_slice(&[0x20, 0x01, 0x0D, 0xB8]);
        (six[15], six[32], six[33]) = (1, 0x9C, 0x40);
        let with_additions = [&four[..], &[0x04, 0, 3, b'a', b'b', b'c']].concat();
        vec![
            (b"PROXY TCP4 192.0.2.1 192.0.2.2 40000 5060\r\n".to_vec(), of("192.0.2.1:40000")),
            (b"PROXY TCP6 2001:db8::1 2001:db8::2 40000 5060\r\n".to_vec(), of("[2001:db8::1]:40000")),
            (b"PROXY UNKNOWN\r\n".to_vec(), None),
            (b"PROXY UNKNOWN ffff::1 ffff::2 1 2\r\n".to_vec(), None),
            (v2(0x21, 0x11, &four), of("192.0.2.1:40000")),
            (v2(0x21, 0x11, &with_additions), of("192.0.2.1:40000")),
            (v2(0x21, 0x21, &six), of("[2001:db8::1]:40000")),
            (v2(0x20, 0x00, &[]), None),
            (v2(0x20, 0x11, &four), None),
            (v2(0x21, 0x31, &[0; 216]), None),
        ]
    }

    #[test]
    fn both_versions_name_the_client_and_each_part_of_a_header_is_partial() {
        for (header, client) in good() {
            let behind = [&header[..], b"INVITE sip:a"].concat();
            assert_eq!(read(&behind), Introduction::Of { length: header.len(), client }, "{header:?}");
            for part in 0..header.len() {
                assert_eq!(read(&header[..part]), Introduction::Partial, "{part} bytes of {header:?}");
            }
        }
    }

    #[test]
    fn a_changed_byte_never_makes_a_header_longer_than_what_came() {
        for (header, _) in good() {
            for at in 0..header.len() {
                for byte in [0, 1, b' ', b'\r', b'\n', b'9', b':', 0x21, 0x7F, 0xFF] {
                    let mut bytes = [&header[..], b"INVITE"].concat();
                    bytes[at] = byte;
                    for end in 0..=bytes.len() {
                        if let Introduction::Of { length, .. } = read(&bytes[..end]) {
                            assert!(length <= end && length > 0, "{length} of {end}: {bytes:?}");
                        }
                    }
                }
            }
        }
    }

    #[test]
    fn what_is_no_header_is_wrong() {
        let long = format!("PROXY UNKNOWN {}\r\n", "x".repeat(LINE_MAX));
        for bytes in [
            &b"INVITE sip:bob@example.com SIP/2.0\r\n"[..],
            b"\r\n\r\n\r\n",
            b"\x16\x03\x01",
            b"PROXY TCP4 192.0.2.1 192.0.2.2 40000\r\n",
            b"PROXY TCP4 192.0.2.1 192.0.2.2 40000 70000\r\n",
            b"PROXY TCP4 192.0.2.1 192.0.2.2 +4 5060\r\n",
            b"PROXY TCP6 192.0.2.1 192.0.2.2 40000 5060\r\n",
            b"PROXY TCP4 192.0.2.1 2001:db8::1 40000 5060\r\n",
            b"PROXY TCP4 lb 192.0.2.2 40000 5060\r\n",
            b"PROXY UDP4 192.0.2.1 192.0.2.2 40000 5060\r\n",
            b"PROXY TCP4 192.0.2.1 192.0.2.2 40000 5060\n",
            b"PROXY TCP4  192.0.2.1 192.0.2.2 40000 5060\r\n",
            long.as_bytes(),
            &v2(0x11, 0x11, &[0; 12]),
            &v2(0x22, 0x11, &[0; 12]),
            &v2(0x21, 0x11, &[0; 11]),
            &v2(0x21, 0x21, &[0; 12]),
            &v2(0x21, 0x11, &[0; HEADER_MAX]),
        ] {
            assert_eq!(read(bytes), Introduction::Wrong, "{}", String::from_utf8_lossy(bytes));
        }
    }
}
