//! Hosts of URIs and of Via, with their IPv6 quirks (RFC 3261 §25.1, RFC 5118 §4).

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use memchr::{memchr, memrchr};

use crate::scan::{digits_and_dots, host_end};
use crate::text::{decimal, is_host};
use crate::work;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Host<'a> {
    Ip(IpAddr),
    Name(&'a [u8]),
}

impl<'a> Host<'a> {
    /// A host as written in a URI or a Via: IPv6 in brackets, IPv4, or a name.
    pub fn parse(bytes: &'a [u8]) -> Option<Host<'a>> {
        Host::read(bytes, 0).filter(|(_, end)| *end == bytes.len()).map(|(host, _)| host)
    }

    /// Reads the host that begins at `at`; also returns the offset after it.
    #[inline(always)]
    pub(crate) fn read(bytes: &'a [u8], at: usize) -> Option<(Host<'a>, usize)> {
        let first = *bytes.get(at)?;
        if first == b'[' {
            let (ip, end) = bracketed(bytes, at)?;
            return Some((Host::Ip(IpAddr::V6(ip)), end));
        }
        if first.is_ascii_digit()
            && let Some((ip, end)) = read_ipv4(bytes, at)
            && !bytes.get(end).is_some_and(|&byte| is_host(byte))
        {
            return Some((Host::Ip(IpAddr::V4(ip)), end));
        }
        let end = host_end(bytes, at);
        let written = &bytes[at..end];
        is_name(written).then_some((Host::Name(written), end))
    }
}

/// `[address]` at `at`; the address and the offset behind the bracket.
fn bracketed(bytes: &[u8], at: usize) -> Option<(Ipv6Addr, usize)> {
    let end = at + memchr(b']', &bytes[at..])?;
    work::bytes(end - at);
    Some((ipv6(&bytes[at + 1..end])?, end + 1))
}

/// An address as the `received` parameter holds it: IPv6 without brackets, or with them (RFC 5118 §4.5).
pub(crate) fn ip(bytes: &[u8]) -> Option<IpAddr> {
    match bytes.strip_prefix(b"[") {
        Some(rest) => ipv6(rest.strip_suffix(b"]")?).map(IpAddr::V6),
        None => ipv4(bytes).map(IpAddr::V4).or_else(|| ipv6(bytes).map(IpAddr::V6)),
    }
}

fn ipv4(bytes: &[u8]) -> Option<Ipv4Addr> {
    read_ipv4(bytes, 0).filter(|(_, end)| *end == bytes.len()).map(|(ip, _)| ip)
}

/// Four groups of one to three digits, which begin at `at`; leading zeros are decimal, as the grammar has them. Also the
/// offset of the first byte that is neither a digit nor a dot. All groups are found with one look.
#[inline]
fn read_ipv4(bytes: &[u8], at: usize) -> Option<(Ipv4Addr, usize)> {
    // The longest has 15 characters; behind the last place where a group can begin are four more.
    let mut text = [0; 20];
    match bytes.get(at..)?.first_chunk() {
        Some(first) => text = *first,
        None => text[..bytes.len() - at].copy_from_slice(&bytes[at..]),
    }
    let (digits, dots) = digits_and_dots(text.first_chunk()?);
    let end = (!(digits | dots) | 1 << 16).trailing_zeros();
    // The end of the last group counts as a dot.
    let mut stops = dots & ((1 << end) - 1) | 1 << end;
    let (mut octets, mut start) = (0, 0);
    for _ in 0..4 {
        let stop = stops.trailing_zeros();
        stops &= stops.wrapping_sub(1);
        let length = stop.wrapping_sub(start);
        if !(1..=3).contains(&length) {
            return None;
        }
        // The digits in the upper three bytes, zeros before the first. As text of one length they compare like numbers.
        let group = u32::from_le_bytes(*text[start as usize..].first_chunk()?) << (32 - 8 * length);
        if group.swap_bytes() > u32::from_be_bytes(*b"\x00255") {
            return None;
        }
        // The third byte of the product is 100, 10 and 1 times the digits; what is below does not reach it.
        let number = (group >> 8 & 0x0F_0F0F).wrapping_mul(100 << 16 | 10 << 8 | 1) >> 16 & 0xFF;
        octets = octets << 8 | number;
        start = stop + 1;
    }
    (stops == 0).then(|| (Ipv4Addr::from_bits(octets), at + end as usize))
}

/// The text between the brackets. An error in the grammar of RFC 3261 allowed a third colon before an embedded IPv4
/// address; it is tolerated (RFC 5118 §4.10).
fn ipv6(bytes: &[u8]) -> Option<Ipv6Addr> {
    const LONGEST: usize = 45;
    if bytes.len() > LONGEST + 1 {
        return None;
    }
    let text = std::str::from_utf8(bytes).ok()?;
    if let Ok(ip) = text.parse() {
        return Some(ip);
    }
    let (before, after) = text.split_once(":::")?;
    after.parse::<Ipv4Addr>().ok()?;
    format!("{before}::{after}").parse().ok()
}

/// Whether a run of host characters is a name: it has a last label, and that label is not a number. `2001` and `300.1.1.1`
/// are neither names nor addresses.
fn is_name(written: &[u8]) -> bool {
    let rooted = written.strip_suffix(b".").unwrap_or(written);
    match rooted.last() {
        None | Some(b'.') => false,
        Some(b'0'..=b'9') => {
            let start = memrchr(b'.', rooted).map_or(0, |dot| dot + 1);
            decimal(&rooted[start..]).is_none()
        }
        Some(_) => true,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The grammar, group by group.
    fn naive_ipv4(text: &str) -> Option<Ipv4Addr> {
        let group =
            |text: &str| (text.len() <= 3).then(|| text.parse::<u16>().ok().filter(|&group| group <= 255))?;
        let groups: Option<Vec<u8>> = text.split('.').map(|text| Some(group(text)? as u8)).collect();
        <[u8; 4]>::try_from(groups?).ok().map(Ipv4Addr::from)
    }

    proptest! {
        #[test]
        fn addresses_are_those_of_the_grammar(near in "([0-2]{0,4}[.]){2,4}[0-9]{0,4}", far in "[0-9.a:]{0,40}") {
            for text in [near, far] {
                prop_assert_eq!(ipv4(text.as_bytes()), naive_ipv4(&text));
            }
        }
    }

    fn check(given: &str, expected: Option<&str>) {
        let seen = Host::parse(given.as_bytes()).map(|host| match host {
            Host::Ip(ip) => format!("ip {ip}"),
            Host::Name(name) => format!("name {}", String::from_utf8_lossy(name)),
        });
        assert_eq!(seen.as_deref(), expected, "{given}");
    }

    #[test]
    fn addresses() {
        check("192.0.2.1", Some("ip 192.0.2.1"));
        check("255.255.255.255", Some("ip 255.255.255.255"));
        check("192.000.002.010", Some("ip 192.0.2.10"));
        check("[2001:db8::10]", Some("ip 2001:db8::10"));
        check("[2001:db8::10:5070]", Some("ip 2001:db8::10:5070"));
        check("[2001:db8::192.0.2.1]", Some("ip 2001:db8::c000:201"));
        check("[2001:db8:::192.0.2.1]", Some("ip 2001:db8::c000:201"));
        check("[::ffff:192.0.2.2]", Some("ip ::ffff:192.0.2.2"));
    }

    #[test]
    fn names() {
        check("example.com", Some("name example.com"));
        check("example.com.", Some("name example.com."));
        check("host_1", Some("name host_1"));
        check("3com.com", Some("name 3com.com"));
        check("192.0.2.example", Some("name 192.0.2.example"));
    }

    #[test]
    fn neither() {
        for bad in [
            "",
            ".",
            "[",
            "[]",
            "]",
            "2001:db8::10",
            "[2001:db8::10",
            "2001:db8::10]",
            "[::1]x",
            "[:::1]",
            "[fe80::1%25eth0]",
            "300.1.1.1",
            "1.2.3",
            "1.2.3.4.5",
            "1.2..4",
            "2001",
            "a b",
            "a@b",
            "ex\u{e4}mple.com",
        ] {
            check(bad, None);
        }
    }

    #[test]
    fn received_with_and_without_brackets() {
        let expected = "2001:db8::9:255".parse().ok();
        assert_eq!(ip(b"2001:db8::9:255"), expected);
        assert_eq!(ip(b"[2001:db8::9:255]"), expected);
        assert_eq!(ip(b"192.0.2.5"), "192.0.2.5".parse().ok());
        assert_eq!(ip(b"example.com"), None);
    }
}
