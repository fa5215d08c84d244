//! White space, lines and words of a message's text, and the few things that are written into messages: numbers and addresses.

use std::io::Write;
use std::net::IpAddr;

use memchr::memmem;

pub(crate) use crate::classes::{is_host, is_lws, is_token};
use crate::scan::{byte, host_end};
use crate::work;

/// The first offset from `at` on that holds no white space.
#[inline(always)]
pub(crate) fn skip_lws(bytes: &[u8], at: usize) -> usize {
    match bytes.get(at) {
        Some(0..=b' ') => skip_some_lws(bytes, at),
        _ => at,
    }
}

fn skip_some_lws(bytes: &[u8], mut at: usize) -> usize {
    while at < bytes.len() && is_lws(bytes[at]) {
        work::step();
        at += 1;
    }
    at
}

/// The offset behind the first CRLF from `from`; `None` where a line ends otherwise.
#[inline]
pub fn line_end(bytes: &[u8], from: usize) -> Option<usize> {
    let at = byte(bytes, from, b'\n');
    (at < bytes.len() && at > from && bytes[at - 1] == b'\r').then_some(at + 1)
}

/// Whether these bytes stand anywhere in the text.
#[inline]
pub fn holds(text: &[u8], word: &[u8]) -> bool {
    memmem::find(text, word).is_some()
}

/// The first offset from `at` on whose byte is none of those that host names have: letters, digits, `-`, `.` and `_`.
#[inline]
pub fn plain_end(bytes: &[u8], at: usize) -> usize {
    host_end(bytes, at)
}

pub(crate) fn trim(bytes: &[u8]) -> &[u8] {
    let mut end = bytes.len();
    let start = skip_lws(bytes, 0);
    while end > start && is_lws(bytes[end - 1]) {
        work::step();
        end -= 1;
    }
    &bytes[start..end]
}

/// The offset behind the closing quote of the quoted string that opens at `at`; `None` when it never closes
/// (RFC 4475 §3.1.2.6).
pub(crate) fn skip_quoted(bytes: &[u8], at: usize) -> Option<usize> {
    let mut at = at + 1;
    loop {
        work::step();
        match bytes.get(at)? {
            b'"' => return Some(at + 1),
            b'\\' => at += 2,
            _ => at += 1,
        }
    }
}

/// One or more digits and nothing else; a number above `u32::MAX` stays there (RFC 4475 §3.1.2.4).
pub fn decimal(bytes: &[u8]) -> Option<u32> {
    if bytes.is_empty() {
        return None;
    }
    work::steps(bytes.len());
    if bytes.len() <= 9 {
        return short_decimal(bytes);
    }
    let mut number = 0u64;
    for &byte in bytes {
        let digit = byte.wrapping_sub(b'0');
        if digit > 9 {
            return None;
        }
        number = (number * 10 + u64::from(digit)).min(u64::from(u32::MAX));
    }
    Some(number as u32)
}

/// The number at the beginning, whatever follows its digits.
pub fn leading_decimal(bytes: &[u8]) -> Option<u32> {
    decimal(&bytes[..bytes.iter().take_while(|byte| byte.is_ascii_digit()).count()])
}

/// As [`decimal`], of digits so few that no number is too large.
#[inline]
fn short_decimal(bytes: &[u8]) -> Option<u32> {
    let mut number = 0;
    for &byte in bytes {
        let digit = byte.wrapping_sub(b'0');
        if digit > 9 {
            return None;
        }
        number = number * 10 + u32::from(digit);
    }
    Some(number)
}

/// Appends `number` in decimal.
pub fn write_decimal(number: u64, out: &mut Vec<u8>) {
    let mut digits = [0; 20];
    let mut at = digits.len();
    let mut rest = number;
    loop {
        at -= 1;
        digits[at] = b'0' + (rest % 10) as u8;
        rest /= 10;
        if rest == 0 {
            break;
        }
    }
    out.extend_from_slice(&digits[at..]);
}

/// Appends `number` as 16 hexadecimal digits, lower case.
pub fn write_hex(number: u64, out: &mut Vec<u8>) {
    for shift in (0..16).rev() {
        out.push(b"0123456789abcdef"[(number >> (shift * 4)) as usize & 15]);
    }
}

/// Appends an address as the `received` parameter wants it: IPv6 without brackets (RFC 5118 §4.5). An IPv4-mapped IPv6 address, as a
/// dual-stack socket reports it, is written as the IPv4 address that it is.
pub fn write_ip(ip: IpAddr, out: &mut Vec<u8>) {
    match ip.to_canonical() {
        IpAddr::V4(ip) => {
            let mut text = [0; DOTTED_MAX];
            let length = dotted(ip.octets(), &mut text);
            out.extend_from_slice(&text[..length]);
        }
        IpAddr::V6(ip) => {
            let _ = write!(out, "{ip}"); // writing to a vector cannot fail
        }
    }
}

/// Four groups of three digits, each with a dot behind it; the last is not part of the text.
const DOTTED_MAX: usize = 16;

/// Writes an IPv4 address to the front of `text`; its length.
#[inline]
fn dotted(octets: [u8; 4], text: &mut [u8; DOTTED_MAX]) -> usize {
    let mut at = 0;
    for octet in octets {
        // Always four bytes, of which the next group overwrites what is too much.
        text[at..at + 4].copy_from_slice(&GROUPS[usize::from(octet)]);
        at += 2 + usize::from(octet > 9) + usize::from(octet > 99);
    }
    at - 1
}

/// Each octet in decimal and a dot.
static GROUPS: [[u8; 4]; 256] = groups();

const fn groups() -> [[u8; 4]; 256] {
    let mut table = [[b'.'; 4]; 256];
    let mut octet = 0;
    while octet < 256 {
        let digits = [b'0' + (octet / 100) as u8, b'0' + (octet / 10 % 10) as u8, b'0' + (octet % 10) as u8];
        let skip = if octet > 99 {
            0
        } else if octet > 9 {
            1
        } else {
            2
        };
        let mut at = 0;
        while at + skip < 3 {
            table[octet][at] = digits[at + skip];
            at += 1;
        }
        octet += 1;
    }
    table
}

/// Appends an address as a host of a URI or of a Via: IPv6 in brackets.
pub fn write_host(ip: IpAddr, out: &mut Vec<u8>) {
    match ip.to_canonical() {
        IpAddr::V4(_) => write_ip(ip, out),
        IpAddr::V6(_) => {
            out.push(b'[');
            write_ip(ip, out);
            out.push(b']');
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(write: impl FnOnce(&mut Vec<u8>)) -> String {
        let mut out = Vec::new();
        write(&mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn numbers_and_addresses() {
        for number in [0, 9, 10, 65_535, u64::MAX] {
            assert_eq!(written(|out| write_decimal(number, out)), number.to_string());
        }
        assert_eq!(written(|out| write_hex(0xDEAD_FACE, out)), "00000000deadface");
        for octet in 0..=255 {
            let ip = IpAddr::from([octet, 255, 255 - octet, octet]);
            assert_eq!(written(|out| write_ip(ip, out)), ip.to_string());
        }
        for (ip, plain, host) in [
            ("192.0.2.255", "192.0.2.255", "192.0.2.255"),
            ("::ffff:192.0.2.1", "192.0.2.1", "192.0.2.1"),
            ("2001:db8::9:1", "2001:db8::9:1", "[2001:db8::9:1]"),
        ] {
            let ip: IpAddr = ip.parse().unwrap();
            assert_eq!(written(|out| write_ip(ip, out)), plain);
            assert_eq!(written(|out| write_host(ip, out)), host);
        }
    }

    #[test]
    fn quoted_strings() {
        assert_eq!(skip_quoted(br#""abc"<"#, 0), Some(5));
        assert_eq!(skip_quoted(br#""a\"b" "#, 0), Some(6));
        assert_eq!(skip_quoted(br#""a\\" "#, 0), Some(5));
        assert_eq!(skip_quoted(br#""abc"#, 0), None);
        assert_eq!(skip_quoted(br#""abc\"#, 0), None);
    }

    #[test]
    fn decimals() {
        assert_eq!(decimal(b"0068"), Some(68));
        assert_eq!(decimal(b"36893488147419103232"), Some(u32::MAX));
        for bad in [&b""[..], b"-1", b"+1", b"1 ", b"five", b"1\0"] {
            assert_eq!(decimal(bad), None);
        }
        assert_eq!(leading_decimal(b"120 (in a meeting);duration=60"), Some(120));
        assert_eq!(leading_decimal(b"18"), Some(18));
        assert_eq!(leading_decimal(b"99999999999999999999s"), Some(u32::MAX));
        for bad in [&b""[..], b"soon", b" 1", b"-1"] {
            assert_eq!(leading_decimal(bad), None);
        }
    }
}
