//! The identifier of a session in the head of an HTTP request (SPEC A13): where it may be, and which forms it has.
//!
//! `TAG$CALL-ID` is SIP's tag for a call, with the Call-ID that is authenticated together with it. `TAG$$CHANCE` is the same
//! for a session that began with HTTP, as our cookie holds it. No Call-ID has a `$` (RFC 3261 §25.1, `word`) or a space, and
//! a session's tag is signed with a space: so a cookie is worth nothing in SIP. Any other text is opaque: usually a Call-ID.

use std::borrow::Cow;

use sip::work;

use crate::farm::server::ServerId;
use crate::signed::keyring::KeyRing;
use crate::signed::tag::{self, Direction, Tag};
use crate::signed::token::CHARACTERS_MAX;

/// Longest identifier that is looked at, in bytes: any honest Call-ID and a tag.
const BYTES_MAX: usize = 512;
/// Identifiers of one request that are looked at: one in each place, and the cookies of several paths.
const LOOKED_AT_MAX: usize = 8;
/// The character between the tag and the text that it was made for.
const MARK: u8 = b'$';

/// The names of the fields and parameters that hold an identifier.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Names {
    pub cookie: String,
    /// In lower case.
    pub header: String,
    /// Name of the parameter in the query (`?name=value`) and in the path (`;name=value`).
    pub parameter: String,
}

/// The parts of a request's head that may hold an identifier.
#[derive(Clone, Copy, Debug)]
pub struct Head<'a> {
    /// Path and query.
    pub target: &'a str,
    /// Values of the header field of [`Names::header`].
    pub header: &'a [&'a [u8]],
    /// Values of `Cookie`.
    pub cookies: &'a [&'a [u8]],
}

/// Where an identifier was found, the most specific place first: a link was made for this request, a cookie for all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Carrier {
    Parameter,
    Header,
    Cookie,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Identifier {
    /// A tag that a load manager of the farm made for `id`: a Call-ID, or `$` and the number of a session.
    Tagged { tag: Tag, id: Vec<u8> },
    /// Any other text; only its hash has a meaning.
    Opaque(Vec<u8>),
}

impl Identifier {
    /// Reads `text`; `None`: it looks like a tag, but is none of this farm.
    fn read(keys: &KeyRing, text: &[u8]) -> Option<Identifier> {
        let parts = text.iter().position(|byte| *byte == MARK).map(|at| text.split_at(at));
        let Some((tag, id)) = parts.filter(|(text, _)| tag::may_be(text.len())) else {
            return Some(Identifier::Opaque(text.to_vec()));
        };
        let id = &id[1..];
        // The signed text of a session has a space, so no text that is read may contain one.
        id.iter().all(u8::is_ascii_graphic).then_some(())?;
        let signed = signed(id);
        let tag = Tag::read(keys, tag, keys.call(&signed), &signed)?;
        Some(Identifier::Tagged { tag, id: id.to_vec() })
    }

    /// The text that the tag was made for, or the opaque text.
    pub(crate) fn id(&self) -> &[u8] {
        match self {
            Identifier::Tagged { id, .. } | Identifier::Opaque(id) => id,
        }
    }

    /// The session began with HTTP: no call has this identifier.
    pub(crate) fn is_of_http(&self) -> bool {
        matches!(self, Identifier::Tagged { id, .. } if id.first() == Some(&MARK))
    }
}

/// All that a request says about its session.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Asked {
    /// The first good identifier, and its text as read.
    pub who: Option<(Identifier, Carrier, Vec<u8>)>,
    /// A cookie has a good identifier.
    pub has_cookie: bool,
    /// Number of identifiers that look like tags but are none of this farm.
    pub forged: u32,
}

impl Asked {
    pub fn read(keys: &KeyRing, names: &Names, head: Head<'_>) -> Asked {
        let parameters = parameters(head.target, &names.parameter).map(|text| (Carrier::Parameter, text));
        let headers = head.header.iter().map(|text| (Carrier::Header, text.trim_ascii().to_vec()));
        let cookies = head.cookies.iter().flat_map(|field| cookies(field, &names.cookie));
        let cookies = cookies.map(|text| (Carrier::Cookie, text));
        let all = parameters.chain(headers).chain(cookies);
        let mut asked = Asked::default();
        let fits = |text: &[u8]| !text.is_empty() && text.len() <= BYTES_MAX;
        for (carrier, text) in all.filter(|(_, text)| fits(text)).take(LOOKED_AT_MAX) {
            match Identifier::read(keys, &text) {
                None => asked.forged += 1,
                Some(identifier) => {
                    asked.has_cookie |= carrier == Carrier::Cookie;
                    asked.who.get_or_insert((identifier, carrier, text));
                }
            }
        }
        asked
    }
}

/// The identifier text for a session that began with HTTP, at this server; `id` is `$` and a number.
pub(crate) fn session_text(keys: &KeyRing, server: ServerId, id: &[u8]) -> Vec<u8> {
    let tag = Tag::new(keys, server, Direction::ToServer, b"", None);
    let mut text = Vec::with_capacity(CHARACTERS_MAX);
    let signed = signed(id);
    tag.write(keys, keys.call(&signed), &signed, &mut text);
    text.push(MARK);
    text.extend_from_slice(id);
    text
}

/// The text that is authenticated together with the tag of this id.
fn signed(id: &[u8]) -> Cow<'_, [u8]> {
    match id {
        [MARK, number @ ..] => Cow::Owned([b" ", number].concat()),
        call_id => Cow::Borrowed(call_id),
    }
}

/// The id of a new session.
pub(crate) fn session_id(chance: u64) -> Vec<u8> {
    format!("${chance:016x}").into_bytes()
}

/// The text as a cookie value: every character that is no token character and no `$` is written `%XX`.
pub(crate) fn as_cookie(text: &[u8]) -> String {
    text.iter().fold(String::with_capacity(text.len()), |mut cookie, byte| {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' | b'@' | b':' | &MARK => {
                cookie.push(char::from(*byte));
            }
            other => cookie.push_str(&format!("%{other:02X}")),
        }
        cookie
    })
}

/// Values of a parameter in path and query. The query comes first, since links usually have their parameters there.
fn parameters<'a>(target: &'a str, name: &'a str) -> impl Iterator<Item = Vec<u8>> + 'a {
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let in_query = query.split('&');
    // Each segment of a path may have parameters (RFC 3986 §3.3), such as the `;jsessionid=` of Java's containers.
    let in_path = path.split('/').flat_map(|segment| segment.split(';').skip(1));
    in_query.chain(in_path).filter_map(move |pair| {
        work::bytes(pair.len());
        let (found, value) = pair.split_once('=')?;
        (found == name).then(|| decoded(value.as_bytes()))
    })
}

/// Values of the cookies with this name.
fn cookies<'a>(field: &'a [u8], name: &'a str) -> impl Iterator<Item = Vec<u8>> + 'a {
    field.split(|byte| *byte == b';').filter_map(move |pair| {
        work::bytes(pair.len());
        let at = pair.iter().position(|byte| *byte == b'=')?;
        let (found, value) = (pair[..at].trim_ascii(), pair[at + 1..].trim_ascii());
        let bare = value.strip_prefix(b"\"").and_then(|rest| rest.strip_suffix(b"\"")).unwrap_or(value);
        (found == name.as_bytes()).then(|| decoded(bare))
    })
}

/// The text with each `%XX` decoded (RFC 3986 §2.1); anything else stays as it is.
fn decoded(text: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text;
    let digit = |byte: u8| char::from(byte).to_digit(16);
    while let [first, behind @ ..] = rest {
        work::step();
        let byte = match rest {
            [b'%', high, low, ..] => digit(*high).zip(digit(*low)).map(|(high, low)| (high << 4 | low) as u8),
            _ => None,
        };
        bytes.push(byte.unwrap_or(*first));
        rest = if byte.is_some() { &rest[3..] } else { behind };
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::Keys;
    use proptest::prelude::*;

    fn ring(byte: u8) -> KeyRing {
        KeyRing::new(&Keys { tag: vec![(1, [byte; 16].into())], heartbeat: None })
    }

    fn names() -> Names {
        Names { cookie: "strowger".into(), header: "strowger-session".into(), parameter: "strowger".into() }
    }

    fn read(target: &str, header: &[&[u8]], cookies: &[&[u8]]) -> Asked {
        Asked::read(&ring(1), &names(), Head { target, header, cookies })
    }

    fn tagged(call_id: &str) -> String {
        let keys = ring(1);
        let tag = Tag::new(&keys, ServerId(7), Direction::ToServer, b"caller", None);
        let mut text = Vec::new();
        tag.write(&keys, keys.call(call_id.as_bytes()), call_id.as_bytes(), &mut text);
        format!("{}${call_id}", String::from_utf8(text).unwrap())
    }

    fn who(asked: &Asked) -> (Carrier, &[u8], Option<u32>) {
        let (identifier, carrier, _) = asked.who.as_ref().expect("an identifier");
        let server = match identifier {
            Identifier::Tagged { tag, .. } => Some(tag.server.0),
            Identifier::Opaque(_) => None,
        };
        (*carrier, identifier.id(), server)
    }

    #[test]
    fn a_tag_is_found_wherever_it_may_stand() {
        let text = tagged("a84b4c76e66710@pc33");
        let (call, server) = (&b"a84b4c76e66710@pc33"[..], Some(7));
        for (target, carrier) in [
            (format!("/call?x=1&strowger={text}&y"), Carrier::Parameter),
            (format!("/call?strowger={}", text.replace('$', "%24").replace('@', "%40")), Carrier::Parameter),
            (format!("/call;strowger={text}/more;other=1?x"), Carrier::Parameter),
        ] {
            assert_eq!(who(&read(&target, &[], &[])), (carrier, call, server), "{target}");
        }
        let header = format!(" {text} ");
        assert_eq!(who(&read("/", &[header.as_bytes()], &[])), (Carrier::Header, call, server));
        for cookie in [
            format!("a=b; strowger={text}; c=d"),
            format!("strowger=\"{text}\""),
            format!("strowger={}", as_cookie(text.as_bytes())),
        ] {
            let asked = read("/", &[], &[b"x=y", cookie.as_bytes()]);
            assert_eq!(who(&asked), (Carrier::Cookie, call, server), "{cookie}");
            assert!(asked.has_cookie);
        }
    }

    #[test]
    fn a_link_speaks_before_a_header_field_and_that_before_a_cookie() {
        let (link, cookie) = (tagged("link"), format!("strowger={}", tagged("cookie")));
        let target = format!("/?strowger={link}");
        let asked = read(&target, &[b"header"], &[cookie.as_bytes()]);
        assert_eq!(who(&asked), (Carrier::Parameter, &b"link"[..], Some(7)));
        assert!(asked.has_cookie, "it is known that there is one, too");
        assert_eq!(
            who(&read("/", &[b"header"], &[cookie.as_bytes()])),
            (Carrier::Header, &b"header"[..], None)
        );
    }

    #[test]
    fn a_forged_tag_is_counted_and_passed_over() {
        let mut forged = tagged("call").into_bytes();
        forged[8] ^= 1;
        let good = format!("strowger={}", tagged("other"));
        let asked = read("/", &[&forged], &[good.as_bytes()]);
        assert_eq!((asked.forged, who(&asked).1), (1, &b"other"[..]));
        let foreign = Asked::read(
            &ring(2),
            &names(),
            Head { target: "/", header: &[tagged("call").as_bytes()], cookies: &[] },
        );
        assert_eq!(foreign, Asked { forged: 1, ..Asked::default() });
        let long = vec![b'a'; BYTES_MAX + 1];
        assert_eq!(read("/", &[&long, b""], &[]), Asked::default(), "too long, or nothing at all");
    }

    #[test]
    fn a_session_of_http_is_no_call() {
        let keys = ring(1);
        let text = session_text(&keys, ServerId(9), &session_id(5));
        let cookie = [b"strowger=", &text[..]].concat();
        let asked = read("/", &[], &[&cookie]);
        assert_eq!(who(&asked), (Carrier::Cookie, &b"$0000000000000005"[..], Some(9)));
        assert!(asked.who.unwrap().0.is_of_http());
        let tag = text.split(|byte| *byte == MARK).next().unwrap();
        for call_id in [&b"$0000000000000005"[..], b"0000000000000005"] {
            assert_eq!(
                Tag::read(&keys, tag, keys.call(call_id), call_id),
                None,
                "it is worth nothing in SIP"
            );
        }
        let with_space = [tag, b"$ 0000000000000005"].concat();
        assert_eq!(read("/", &[&with_space], &[]), Asked { forged: 1, ..Asked::default() });
    }

    proptest! {
        #[test]
        fn no_text_panics_or_passes_for_a_tag(
            target in "[ -~]{0,80}", header in prop::collection::vec(any::<u8>(), 0..600), cookie in "[ -~]{0,80}",
        ) {
            let target = format!("/?strowger={target}");
            let cookie = format!("strowger={cookie}");
            let asked = read(&target, &[&header], &[cookie.as_bytes()]);
            if let Some((identifier, ..)) = asked.who {
                prop_assert!(matches!(identifier, Identifier::Opaque(_)));
            }
        }

        #[test]
        fn what_is_written_into_a_cookie_is_read(text in prop::collection::vec(any::<u8>(), 1..200)) {
            let written = as_cookie(&text);
            prop_assert!(written.bytes().all(|byte| byte.is_ascii_graphic() && !b"\";,\\ ".contains(&byte)));
            prop_assert_eq!(decoded(written.as_bytes()), text);
        }
    }
}
