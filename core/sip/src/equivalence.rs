//! When two URIs mean the same (RFC 3261 §19.1.4), and the form of an address of record under which a registrar keeps its
//! bindings (RFC 3261 §10.3 step 5). Only used for registrations: nothing here is on the way of a call.

use std::cmp::Ordering;

use crate::flow::{SIP_PORT, SIPS_PORT};
use crate::text::{write_decimal, write_host};
use crate::uri::{Host, Uri};
use crate::work;

/// URI parameters that must be equal in both URIs or absent from both (RFC 3261 §19.1.4). Any other parameter counts only if
/// both have it. `ttl` and `maddr` change where a request goes, `user` and `method` what the request is.
const DECISIVE: [&[u8]; 5] = [b"transport", b"user", b"ttl", b"method", b"maddr"];

/// Characters that an escape does not stand for: `%3B` in a user part is no `;` (RFC 3261 §19.1.4, §25.1 `reserved`).
const RESERVED: &[u8] = b";/?:@&=+$,";

/// The most parameters of a URI that are compared by their meaning. RFC 3261 §19.1.1 defines six, and telephones add a few.
/// Every comparison looks at each of them, so a stranger must not choose their number.
pub const PARAMETERS_MAX: usize = 32;

impl Uri<'_> {
    /// Appends the address of record: the user with resolved escapes, the host in lower case, the port if it is not the
    /// default. Scheme, password and parameters are left out, so that every name of one user gives one text. This is wider
    /// than [`Uri::is_equivalent`], for which `sip:bob@host` and `sip:bob@host:5060` differ.
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
        let default = if self.secure { SIPS_PORT } else { SIP_PORT };
        if let Some(port) = self.port.filter(|port| *port != default) {
            out.push(b':');
            write_decimal(u64::from(port), out);
        }
    }

    /// RFC 3261 §19.1.4. Header fields of a URI must be exactly equal, which is stricter than the RFC: URIs that differ only
    /// there are kept apart.
    pub fn is_equivalent(&self, other: &Uri<'_>) -> bool {
        Comparable::new(self).is_equivalent(&Comparable::new(other))
    }
}

/// A URI prepared for many comparisons: it is read once, in time of its own size; a comparison takes time of both sizes.
#[derive(Clone, Debug)]
pub struct Comparable<'a> {
    /// As written.
    bytes: &'a [u8],
    headers: &'a [u8],
    /// The parts that must be the same: scheme, user, host and port.
    place: Vec<u8>,
    /// Names and values in lower case with resolved escapes, sorted by name; of two with the same name, the first. `None`:
    /// there are more than [`PARAMETERS_MAX`].
    parameters: Option<Vec<(Vec<u8>, Vec<u8>)>>,
}

impl<'a> Comparable<'a> {
    pub fn new(uri: &Uri<'a>) -> Comparable<'a> {
        Comparable {
            bytes: uri.bytes,
            headers: uri.headers,
            place: place(uri),
            parameters: parameters(uri.parameters),
        }
    }

    /// RFC 3261 §19.1.4; a URI with more than [`PARAMETERS_MAX`] parameters is equivalent to its own text alone.
    pub fn is_equivalent(&self, other: &Comparable<'_>) -> bool {
        work::bytes(self.place.len().min(other.place.len()));
        match (&self.parameters, &other.parameters) {
            (Some(left), Some(right)) => {
                self.place == other.place && self.headers == other.headers && agree(left, right)
            }
            (None, _) | (_, None) => self.bytes == other.bytes,
        }
    }
}

fn place(uri: &Uri<'_>) -> Vec<u8> {
    let mut place = Vec::with_capacity(64);
    place.push(u8::from(uri.secure));
    match uri.host {
        Host::Ip(ip) => write_host(ip, &mut place),
        Host::Name(name) => {
            work::bytes(name.len());
            place.extend(name.iter().map(u8::to_ascii_lowercase));
        }
    }
    // After a host, only this colon can follow, and a port ends with its mark: so no two places give the same text.
    place.push(b':');
    if let Some(port) = uri.port {
        write_decimal(u64::from(port), &mut place);
    }
    if let Some(user) = uri.user {
        place.push(b'@');
        place.extend(unescaped(user));
    }
    place
}

fn parameters(list: &[u8]) -> Option<Vec<(Vec<u8>, Vec<u8>)>> {
    let mut parameters: Vec<(Vec<u8>, Vec<u8>)> = Vec::new();
    for parameter in list.split(|byte| *byte == b';').filter(|parameter| !parameter.is_empty()) {
        if parameters.len() == PARAMETERS_MAX {
            return None;
        }
        let end = parameter.iter().position(|byte| *byte == b'=').unwrap_or(parameter.len());
        let value = &parameter[(end + 1).min(parameter.len())..];
        parameters.push((lower(&parameter[..end]), lower(value)));
    }
    parameters.sort_by(|left, right| left.0.cmp(&right.0));
    parameters.dedup_by(|next, before| next.0 == before.0);
    Some(parameters)
}

/// No parameter of both has two values, and no decisive parameter is in only one. Both lists are sorted by name.
fn agree(left: &[(Vec<u8>, Vec<u8>)], right: &[(Vec<u8>, Vec<u8>)]) -> bool {
    let decides = |name: &[u8]| DECISIVE.contains(&name);
    let (mut left, mut right) = (left.iter().peekable(), right.iter().peekable());
    loop {
        let order = match (left.peek(), right.peek()) {
            (None, None) => return true,
            (Some(_), None) => Ordering::Less,
            (None, Some(_)) => Ordering::Greater,
            (Some((mine, _)), Some((other, _))) => mine.cmp(other),
        };
        work::step();
        let agrees = match order {
            Ordering::Less => left.next().is_none_or(|(name, _)| !decides(name)),
            Ordering::Greater => right.next().is_none_or(|(name, _)| !decides(name)),
            Ordering::Equal => {
                let (mine, other) = (left.next(), right.next());
                work::bytes(mine.map_or(0, |(_, value)| value.len()));
                mine.map(|(_, value)| value) == other.map(|(_, value)| value)
            }
        };
        if !agrees {
            return false;
        }
    }
}

fn lower(text: &[u8]) -> Vec<u8> {
    unescaped(text).map(|byte| byte.to_ascii_lowercase()).collect()
}

/// The characters of a text. An escape of a reserved one stays three characters, its digits in upper case.
fn unescaped(text: &[u8]) -> impl Iterator<Item = u8> + '_ {
    let (mut at, mut digits) = (0, 0);
    std::iter::from_fn(move || {
        work::step();
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
        check("sip:a@x.org;b=1;c=2;%6Cr", "sip:a@x.org;lr;c=2;d=3;B=1", true);
        check("sip:a@x.org;maddr=192.0.2.1", "sip:a@x.org;x", false);
        check("sip:a@x.org:50601", "sip:1a@x.org:5060", false);
        check("sip:a@192.0.2.1", "sip:a@[::ffff:192.0.2.1]", true);
        check("sip:a@x.org;b=1?x", "sip:a@x.org;b=1?y", false);
    }

    #[test]
    fn a_uri_of_very_many_parameters_is_its_own_text_alone() {
        let uri = |number: usize, last: &str| {
            let parameters: String = (0..number).map(|at| format!(";p{at}={at}")).collect();
            format!("sip:a@x.org{parameters}{last}")
        };
        let same = |left: &str, right: &str| {
            let (left, right) = (Uri::parse(left.as_bytes()).unwrap(), Uri::parse(right.as_bytes()).unwrap());
            left.is_equivalent(&right)
        };
        assert!(same(&uri(PARAMETERS_MAX - 1, ";X=a"), &uri(PARAMETERS_MAX - 1, ";x=A")));
        assert!(!same(&uri(PARAMETERS_MAX, ";X=a"), &uri(PARAMETERS_MAX, ";x=A")));
        assert!(!same(&uri(PARAMETERS_MAX, ";X=a"), &uri(1, "")));
        assert!(same(&uri(14_000, ";X=a"), &uri(14_000, ";X=a")));
    }
}
