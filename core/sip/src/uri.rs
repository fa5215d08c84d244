//! SIP and SIPS URIs (RFC 3261 §19.1), and the other URIs that a request may be for.

pub use crate::host::Host;
use crate::scan::{byte, uri_end};
use crate::text::decimal;
use crate::work;

#[derive(Clone, Copy, Debug)]
pub struct Uri<'a> {
    pub bytes: &'a [u8],
    pub secure: bool,
    /// `user[:password]` as written, without the `@`.
    pub user: Option<&'a [u8]>,
    pub host: Host<'a>,
    /// 1 to 65535.
    pub port: Option<u16>,
    /// Behind the first `;` after the host, to the `?` or the end.
    pub parameters: &'a [u8],
    /// Behind the `?`.
    pub headers: &'a [u8],
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BadUri {
    /// A scheme that is neither `sip` nor `sips`: 416.
    Scheme,
    /// 400.
    Syntax,
}

impl<'a> Uri<'a> {
    pub fn parse(bytes: &'a [u8]) -> Result<Uri<'a>, BadUri> {
        if uri_end(bytes, 0) != bytes.len() {
            return Err(BadUri::Syntax);
        }
        Uri::parse_scanned(bytes)
    }

    /// The target of a request without a host: a telephone number (RFC 3966) or a service (RFC 5031). Such a Request-URI is
    /// forwarded as it is; code that needs a destination finds the empty name, which is not a host.
    pub(crate) fn without_host(bytes: &'a [u8]) -> Option<Uri<'a>> {
        let colon = scheme_length(bytes)?;
        let known = [&b"tel"[..], b"urn"].iter().any(|scheme| bytes[..colon].eq_ignore_ascii_case(scheme));
        let says = known && bytes.len() > colon + 1;
        let none = &bytes[bytes.len()..];
        says.then_some(Uri {
            bytes,
            secure: false,
            user: None,
            host: Host::Name(none),
            port: None,
            parameters: none,
            headers: none,
        })
    }

    /// An emergency call: `urn:service:sos` and its parts, such as `urn:service:sos.fire` (RFC 5031 §4.2).
    pub fn is_emergency(&self) -> bool {
        const SOS: &[u8] = b"urn:service:sos";
        let Some((front, rest)) = self.bytes.split_at_checked(SOS.len()) else { return false };
        front.eq_ignore_ascii_case(SOS) && matches!(rest.first(), None | Some(b'.'))
    }

    /// As [`Uri::parse`], where [`uri_end`] was asked before.
    pub(crate) fn parse_scanned(bytes: &'a [u8]) -> Result<Uri<'a>, BadUri> {
        let colon = scheme_length(bytes).ok_or(BadUri::Syntax)?;
        let secure = match &bytes[..colon] {
            b"sip" => false,
            scheme if scheme.eq_ignore_ascii_case(b"sip") => false,
            scheme if scheme.eq_ignore_ascii_case(b"sips") => true,
            _ => return Err(BadUri::Scheme),
        };
        // The user part may contain `;` and `?`, the rest no `@`: so the `@` is looked for first (RFC 4475 §3.1.1.9).
        let start = colon + 1;
        let at = byte(bytes, start, b'@');
        let (user, host) = if at == bytes.len() {
            (None, start)
        } else if at == start {
            return Err(BadUri::Syntax);
        } else {
            (Some(&bytes[start..at]), at + 1)
        };
        let (host, end) = Host::read(bytes, host).ok_or(BadUri::Syntax)?;
        let rest = &bytes[end..];
        let (port, rest) = match rest.first() {
            Some(b':') => {
                let (port, end) = read_port(rest, 1).ok_or(BadUri::Syntax)?;
                (Some(port), &rest[end..])
            }
            _ => (None, rest),
        };
        let (parameters, headers) = match rest.first() {
            None => (rest, rest),
            Some(b';') => {
                let end = byte(rest, 0, b'?');
                (&rest[1..end], &rest[(end + 1).min(rest.len())..])
            }
            Some(b'?') => (&rest[..0], &rest[1..]),
            Some(_) => return Err(BadUri::Syntax),
        };
        if !rest.is_empty() && byte(rest, 0, b'@') != rest.len() {
            return Err(BadUri::Syntax);
        }
        Ok(Uri { bytes, secure, user, host, port, parameters, headers })
    }

    /// A URI parameter by name, case-insensitively: `Some(b"")` when it has no value. An escaped character of a
    /// written name is the character (RFC 4475 §3.1.1.3: `l%72` is `lr`).
    pub fn parameter(&self, name: &[u8]) -> Option<&'a [u8]> {
        if self.parameters.is_empty() {
            return None;
        }
        self.parameters.split(|&byte| byte == b';').find_map(|parameter| {
            work::bytes(parameter.len());
            let end = memchr::memchr(b'=', parameter).unwrap_or(parameter.len());
            let value = &parameter[(end + 1).min(parameter.len())..];
            same_unescaped(&parameter[..end], name).then_some(value)
        })
    }
}

/// Length of the scheme at the front, when there is one and a colon behind it.
#[inline]
pub(crate) fn scheme_length(bytes: &[u8]) -> Option<usize> {
    if bytes.starts_with(b"sip:") {
        return Some(3);
    }
    let end = bytes
        .iter()
        .position(|byte| !matches!(byte, b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'+' | b'-' | b'.'))?;
    work::steps(end);
    (bytes[end] == b':' && bytes[0].is_ascii_alphabetic()).then_some(end)
}

/// A port: digits, 1 to 65535.
pub(crate) fn port(digits: &[u8]) -> Option<u16> {
    u16::try_from(decimal(digits)?).ok().filter(|&port| port != 0)
}

/// The port whose digits begin at `at`; also the offset behind them.
#[inline]
pub(crate) fn read_port(bytes: &[u8], at: usize) -> Option<(u16, usize)> {
    let (mut number, mut end) = (0u32, at);
    while let Some(digit) = bytes.get(end).map(|byte| byte.wrapping_sub(b'0'))
        && digit <= 9
    {
        // Leading zeros may make it long, but not large.
        number = number * 10 + u32::from(digit);
        if number > u32::from(u16::MAX) {
            return None;
        }
        end += 1;
    }
    (number != 0).then_some((number as u16, end))
}

/// Compares without regard to case, taking `%HH` in `written` for the character that it stands for, once.
fn same_unescaped(written: &[u8], name: &[u8]) -> bool {
    let mut rest = written;
    for wanted in name {
        let byte = match *rest {
            [b'%', high, low, ref behind @ ..] if high.is_ascii_hexdigit() && low.is_ascii_hexdigit() => {
                rest = behind;
                nibble(high) << 4 | nibble(low)
            }
            [byte, ref behind @ ..] => {
                rest = behind;
                byte
            }
            [] => return false,
        };
        if !byte.eq_ignore_ascii_case(wanted) {
            return false;
        }
    }
    rest.is_empty()
}

fn nibble(digit: u8) -> u8 {
    match digit {
        b'0'..=b'9' => digit - b'0',
        _ => (digit | 0x20) - b'a' + 10,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `expected` is `user|host|port|parameters|headers`.
    fn check(given: &str, expected: Result<&str, BadUri>) {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let seen = Uri::parse(given.as_bytes()).map(|uri| {
            let host = match uri.host {
                Host::Ip(ip) => ip.to_string(),
                Host::Name(name) => text(name),
            };
            let port = uri.port.map(|port| port.to_string()).unwrap_or_default();
            let user = uri.user.map_or("-".into(), text);
            format!("{user}|{host}|{port}|{}|{}", text(uri.parameters), text(uri.headers))
        });
        assert_eq!(seen.as_deref(), expected.as_ref().copied(), "{given}");
    }

    #[test]
    fn parts() {
        check("sip:example.com", Ok("-|example.com|||"));
        check("SIPS:alice@example.com:5061;transport=tcp;lr", Ok("alice|example.com|5061|transport=tcp;lr|"));
        check("sip:a:secret@192.0.2.1;x?Subject=y&Route=z", Ok("a:secret|192.0.2.1||x|Subject=y&Route=z"));
        check("sip:example.com?Route=%3Csip:a%3E", Ok("-|example.com|||Route=%3Csip:a%3E"));
        check("sip:user;par=u%40example.net@example.com", Ok("user;par=u%40example.net|example.com|||"));
        check("sip:user?x@example.com", Ok("user?x|example.com|||"));
        check("sip:null-%00-null@example.com", Ok("null-%00-null|example.com|||"));
        check("sip:[2001:db8::10]", Ok("-|2001:db8::10|||"));
        check("sip:[2001:db8::10:5070]", Ok("-|2001:db8::10:5070|||"));
        check("sip:u@[2001:db8::10]:5070;lr", Ok("u|2001:db8::10|5070|lr|"));
        check("sip:[2001:db8:::192.0.2.1]", Ok("-|2001:db8::c000:201|||"));
    }

    #[test]
    fn other_schemes() {
        for uri in [
            "tel:+358-555-1234567",
            "urn:service:sos",
            "nobodyKnowsThisScheme:totallyopaquecontent",
            "soap.beep://192.0.2.103:3002",
            "sipx:a@b",
        ] {
            check(uri, Err(BadUri::Scheme));
        }
    }

    #[test]
    fn what_a_request_may_be_for_without_a_host() {
        let read = |text: &'static str| Uri::without_host(text.as_bytes());
        for uri in
            ["tel:+358-555-1234567;phone-context=x", "TEL:112", "urn:service:sos", "urn:nena:service:sos"]
        {
            let seen = read(uri).unwrap_or_else(|| panic!("{uri}"));
            assert_eq!((seen.bytes, seen.host, seen.port), (uri.as_bytes(), Host::Name(b""), None));
        }
        for uri in ["tel:", "tels:+1", "soap.beep://192.0.2.103:3002", "tel", "sip:a@b"] {
            assert!(read(uri).is_none(), "{uri}");
        }
        for (uri, emergency) in [
            ("urn:service:sos", true),
            ("URN:service:SOS.fire", true),
            ("urn:service:sosx", false),
            ("urn:service:counseling", false),
            ("tel:112", false),
        ] {
            assert_eq!(read(uri).unwrap().is_emergency(), emergency, "{uri}");
        }
    }

    #[test]
    fn syntax_errors() {
        for uri in [
            "",
            "sip",
            "sip:",
            ":a@b",
            "5ip:a@b",
            "<sip:user@example.com>",
            "sip:user@example.com; lr",
            " sip:user@example.com ",
            "sip:@example.com",
            "sip:a@b@c",
            "sip:a@b;x=@",
            "sip:a@b:",
            "sip:a@b:0",
            "sip:a@b:65536",
            "sip:a@b:5060x",
            "sip:2001:db8::10",
            "sip:[2001:db8::10",
            "sip:[2001:db8::10]x",
            "sip:a@b\"c\"",
            "sip:a@b\x7f",
        ] {
            check(uri, Err(BadUri::Syntax));
        }
    }

    #[test]
    fn parameters() {
        let uri = Uri::parse(b"sip:a@b;Transport=TCP;l%72;n%61me=v%61lue%25%34%31;x=").unwrap();
        assert_eq!(uri.parameter(b"transport"), Some(&b"TCP"[..]));
        assert_eq!(uri.parameter(b"lr"), Some(&b""[..]));
        assert_eq!(uri.parameter(b"name"), Some(&b"v%61lue%25%34%31"[..]));
        assert_eq!(uri.parameter(b"x"), Some(&b""[..]));
        assert_eq!(uri.parameter(b"l"), None);
        assert_eq!(uri.parameter(b"lrx"), None);
    }
}
