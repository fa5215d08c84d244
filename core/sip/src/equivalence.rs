//! When two URIs mean the same (RFC 3261 §19.1.4), and the form of an address of record that a registrar keeps its
//! bindings under (RFC 3261 §10.3 step 5). Asked for registrations only: nothing here is on the way of a call.

use crate::headers::parameters;
use crate::text::{write_decimal, write_host};
use crate::uri::{Host, Uri};

/// URI parameters that must be alike in both URIs or absent from both (RFC 3261 §19.1.4); any other counts only where
/// both have it. `ttl` and `maddr` change where a request goes, `user` and `method` what it is.
const DECISIVE: [&[u8]; 5] = [b"transport", b"user", b"ttl", b"method", b"maddr"];

/// Characters that an escape does not stand for: `%3B` in a user part is no `;` (RFC 3261 §19.1.4, §25.1 `reserved`).
const RESERVED: &[u8] = b";/?:@&=+$,";

impl Uri<'_> {
    /// Appends the address of record: user as it is with its escapes resolved, host in lower case, port where it is not
    /// the default. Scheme, password and parameters are left out, so that every way of naming one user gives one text:
    /// wider than [`Uri::is_equivalent`], for which `sip:bob@host` and `sip:bob@host:5060` differ.
    pub fn write_address_of_record(&self, out: &mut Vec<u8>) {
        if let Some(user) = self.user {
            let end = user.iter().position(|byte| matches!(byte, b':' | b';')).unwrap_or(user.len());
            out.extend(unescaped(&user[..end]));
            out.push(b'@');
        }
        match self.host {
            Host::Ip(ip) => write_host(ip, out),
            Host::Name(name) => {
                out.extend(name.strip_suffix(b".").unwrap_or(name).iter().map(u8::to_ascii_lowercase));
            }
        }
        let default = if self.secure { 5061 } else { 5060 };
        if let Some(port) = self.port.filter(|port| *port != default) {
            out.push(b':');
            write_decimal(u64::from(port), out);
        }
    }

    /// RFC 3261 §19.1.4. Header fields of a URI must be alike to the letter, which is stricter than the RFC: what
    /// differs only there is kept apart.
    pub fn is_equivalent(&self, other: &Uri<'_>) -> bool {
        let hosts = match (self.host, other.host) {
            (Host::Ip(left), Host::Ip(right)) => left.to_canonical() == right.to_canonical(),
            (Host::Name(left), Host::Name(right)) => left.eq_ignore_ascii_case(right),
            (Host::Ip(_), Host::Name(_)) | (Host::Name(_), Host::Ip(_)) => false,
        };
        let users = match (self.user, other.user) {
            (Some(left), Some(right)) => unescaped(left).eq(unescaped(right)),
            (None, None) => true,
            (Some(_), None) | (None, Some(_)) => false,
        };
        hosts
            && users
            && self.secure == other.secure
            && self.port == other.port
            && self.headers == other.headers
            && self.agrees_with(other)
            && other.agrees_with(self)
    }

    /// Each parameter of ours that must be in the other is, and none has another value there.
    fn agrees_with(&self, other: &Uri<'_>) -> bool {
        parameters::all(self.parameters).all(|parameter| match other.parameter(parameter.name) {
            Some(value) => same_text(parameter.value, value),
            None => !DECISIVE.iter().any(|name| name.eq_ignore_ascii_case(parameter.name)),
        })
    }
}

fn same_text(left: &[u8], right: &[u8]) -> bool {
    let lower = |text| unescaped(text).map(|byte| byte.to_ascii_lowercase());
    lower(left).eq(lower(right))
}

/// The characters of a text. An escape of a reserved one stays three characters, its digits in upper case.
fn unescaped(text: &[u8]) -> impl Iterator<Item = u8> + '_ {
    let (mut at, mut digits) = (0, 0);
    std::iter::from_fn(move || {
        let byte = *text.get(at)?;
        if digits > 0 {
            (at, digits) = (at + 1, digits - 1);
            return Some(byte.to_ascii_uppercase());
        }
        let escaped = match text[at..] {
            [b'%', high, low, ..] => nibble(high).zip(nibble(low)).map(|(high, low)| high << 4 | low),
            _ => None,
        };
        match escaped {
            Some(character) if !RESERVED.contains(&character) => {
                at += 3;
                Some(character)
            }
            Some(_) => {
                (at, digits) = (at + 1, 2);
                Some(byte)
            }
            None => {
                at += 1;
                Some(byte)
            }
        }
    })
}

fn nibble(digit: u8) -> Option<u8> {
    char::from(digit).to_digit(16).map(|value| value as u8)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(uri: &str) -> String {
        let mut out = Vec::new();
        Uri::parse(uri.as_bytes()).unwrap().write_address_of_record(&mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn one_user_has_one_address_of_record() {
        for uri in [
            "sip:bob@example.com",
            "sip:bob@EXAMPLE.com",
            "SIP:b%6Fb@example.com:5060",
            "sips:bob@example.com:5061;transport=tcp",
            "sip:bob:secret@example.com.;user=phone?Subject=x",
            "sip:bob;phone-context=x@example.com",
        ] {
            assert_eq!(record(uri), "bob@example.com", "{uri}");
        }
        assert_eq!(record("sip:Bob@example.com:5070"), "Bob@example.com:5070");
        assert_eq!(record("sip:a%3bb@192.0.2.1"), "a%3Bb@192.0.2.1");
        assert_eq!(record("sip:a@[2001:DB8::1]:5060"), "a@[2001:db8::1]");
        assert_eq!(record("sip:example.com"), "example.com");
        assert_eq!(record("sip:%zz%4@x.org"), "%zz%4@x.org");
    }

    /// The examples of RFC 3261 §19.1.4, and neighbours.
    #[test]
    fn equivalent_uris() {
        let check = |left: &str, right: &str, same: bool| {
            let (left, right) = (Uri::parse(left.as_bytes()).unwrap(), Uri::parse(right.as_bytes()).unwrap());
            assert_eq!(left.is_equivalent(&right), same, "{left:?} {right:?}");
            assert_eq!(right.is_equivalent(&left), same, "{right:?} {left:?}");
        };
        check("sip:%61lice@atlanta.com;transport=TCP", "sip:alice@AtLanTa.CoM;Transport=tcp", true);
        check("sip:carol@chicago.com", "sip:carol@chicago.com;newparam=5", true);
        check("sip:carol@chicago.com;newparam=5", "sip:carol@chicago.com;security=on", true);
        check("sip:carol@chicago.com;security=on", "sip:carol@chicago.com;security=off", false);
        check("SIP:ALICE@AtLanTa.CoM;Transport=udp", "sip:alice@AtLanTa.CoM;Transport=UDP", false);
        check("sip:bob@biloxi.com", "sip:bob@biloxi.com:5060", false);
        check("sip:bob@biloxi.com", "sip:bob@biloxi.com;transport=udp", false);
        check("sip:bob@biloxi.com", "sip:bob@biloxi.com:6000;transport=tcp", false);
        check("sip:carol@chicago.com", "sip:carol@chicago.com?Subject=next%20meeting", false);
        check("sip:bob@phone21.boxesbybob.com", "sip:bob@192.0.2.4", false);
        check("sip:bob@192.0.2.4", "sips:bob@192.0.2.4", false);
        check("sip:bob@192.0.2.4", "sip:192.0.2.4", false);
        check("sip:a%2Cb@x.org", "sip:a,b@x.org", false);
        check("sip:a%2cb@x.org", "sip:a%2Cb@x.org", true);
    }
}
