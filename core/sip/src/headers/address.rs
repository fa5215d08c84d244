//! name-addr and addr-spec with parameters: From, To, Contact, Route, Record-Route (RFC 3261 §20.10, §20.20, §20.34; RFC 8217).

use memchr::memchr;

use super::parameters::{self, Parameter};
use crate::name::same;
use crate::scan::{uri_end, value_end};
use crate::text::{is_lws, skip_lws, skip_quoted, trim};
use crate::uri::scheme_length;
use crate::work;

/// One value: `"name" <uri>;parameters`, or `uri;parameters` without brackets.
#[derive(Clone, Copy, Debug)]
pub struct Address<'a> {
    /// The whole value.
    pub bytes: &'a [u8],
    /// As written, with its quotes if it has them; empty when there is none.
    pub display_name: &'a [u8],
    /// Of any scheme (RFC 4475 §3.3.4); [`crate::Uri::parse`] takes it apart.
    pub uri: &'a [u8],
    /// Header field parameters, behind the first `;`.
    pub parameters: &'a [u8],
    /// The first parameter `tag`.
    tag: Option<&'a [u8]>,
    /// The offset after the comma that follows in the field, or [`LAST`].
    behind: u32,
}

/// No value follows.
const LAST: u32 = u32::MAX;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BadAddress;

/// The values of one field that may hold several (Route, Record-Route, Contact); an error ends them. The `*` of a
/// Contact is no address and so an error.
pub fn values(field: &[u8]) -> impl Iterator<Item = Result<Address<'_>, BadAddress>> {
    let mut at = Some(0);
    std::iter::from_fn(move || {
        let address = read(field, at.take()?);
        if let Ok(address) = &address {
            at = (address.behind != LAST).then_some(address.behind as usize);
        }
        Some(address)
    })
}

/// The tag of a field with one value (From, To); [`parse`] would read the whole value.
#[inline]
pub fn tag(field: &[u8]) -> Result<Option<&[u8]>, BadAddress> {
    let address = read(field, 0)?;
    if address.behind == LAST { Ok(address.tag) } else { Err(BadAddress) }
}

/// A field that holds one value (From, To).
pub fn parse(field: &[u8]) -> Result<Address<'_>, BadAddress> {
    let address = read(field, 0);
    if address.as_ref().is_ok_and(|address| address.behind != LAST) {
        return Err(BadAddress);
    }
    address
}

/// The first value of a field that may hold several.
pub fn first(field: &[u8]) -> Result<Address<'_>, BadAddress> {
    read(field, 0)
}

/// Reads the value that begins at `at`. Inlined into each caller, so that no caller builds parts that it does not need.
#[inline(always)]
fn read(field: &[u8], at: usize) -> Result<Address<'_>, BadAddress> {
    let start = skip_lws(field, at);
    let (display_name, uri, uri_end) = match field.get(start).ok_or(BadAddress)? {
        b'"' => {
            let quoted = skip_quoted(field, start).ok_or(BadAddress)?;
            let (uri, end) = bracketed(field, skip_lws(field, quoted)).ok_or(BadAddress)?;
            (&field[start..quoted], uri, end)
        }
        b'<' => {
            let (uri, end) = bracketed(field, start).ok_or(BadAddress)?;
            (&field[start..start], uri, end)
        }
        _ => unquoted(field, start).ok_or(BadAddress)?,
    };
    let mut at = skip_lws(field, uri_end);
    let mut end = uri_end;
    let first = at + 1;
    let mut tag = None;
    while field.get(at) == Some(&b';') {
        let (parameter, next) = read_parameter(field, at + 1).ok_or(BadAddress)?;
        if tag.is_none() && same(parameter.name, b"tag") {
            tag = Some(parameter.value);
        }
        (at, end) = (next, next);
    }
    // Without the white space that may stand before the comma.
    while is_lws(field[end - 1]) {
        end -= 1;
    }
    let parameters = field.get(first..end).unwrap_or(&field[end..end]);
    let behind = match field.get(at) {
        None => LAST,
        Some(b',') => at as u32 + 1,
        Some(_) => return Err(BadAddress),
    };
    Ok(Address { bytes: &field[start..end], display_name, uri, parameters, tag, behind })
}

/// As [`parameters::read`]. A plainly written tag, which most addresses have, is found without a search for its name.
#[inline(always)]
fn read_parameter(field: &[u8], at: usize) -> Option<(Parameter<'_>, usize)> {
    if field[at..].starts_with(b"tag=") {
        let end = value_end(field, at + 4);
        if end > at + 4 && matches!(field.get(end), None | Some(b';' | b',')) {
            return Some((Parameter { name: &field[at..at + 3], value: &field[at + 4..end] }, end));
        }
    }
    parameters::read(field, at)
}

/// `<uri>` at `at`; the URI and the offset behind the bracket.
#[inline]
fn bracketed(field: &[u8], at: usize) -> Option<(&[u8], usize)> {
    if field.get(at) != Some(&b'<') {
        return None;
    }
    let end = uri_end(field, at + 1);
    let uri = &field[at + 1..end];
    (field.get(end) == Some(&b'>') && scheme_length(uri).is_some()).then_some((uri, end + 1))
}

/// An unquoted display name and `<uri>`, or a URI without brackets: the first of `<` and `:` decides, because a display name
/// has no colon. White space before the bracket may be missing (RFC 4475 §3.1.1.6).
fn unquoted(field: &[u8], start: usize) -> Option<(&[u8], &[u8], usize)> {
    let mut at = start;
    loop {
        work::step();
        match field.get(at)? {
            b'<' => {
                let (uri, end) = bracketed(field, at)?;
                return Some((trim(&field[start..at]), uri, end));
            }
            b':' => break,
            // A comma or a semicolon here ends nothing (RFC 4475 §3.1.2.15).
            b',' | b';' | b'"' | b'>' => return None,
            _ => at += 1,
        }
    }
    // Without brackets the first semicolon ends the URI, and neither a comma nor a question mark may be in it
    // (RFC 3261 §20.10, RFC 8217).
    let end = value_end(field, at);
    let uri = &field[start..end];
    let valid = scheme_length(uri).is_some() && memchr(b'?', uri).is_none();
    valid.then_some((&field[start..start], uri, end))
}

impl<'a> Address<'a> {
    /// A header field parameter by name: `None` absent, `Some(b"")` without a value.
    pub fn parameter(&self, name: &[u8]) -> Option<&'a [u8]> {
        parameters::find(self.parameters, name)
    }

    /// The dialog tag (RFC 3261 §19.3).
    pub fn tag(&self) -> Option<&'a [u8]> {
        self.tag
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn the_tag_alone_is_the_tag_of_the_whole(
            text in "(\"[a<;\\\\]{0,4}\" |Bob ?)?<?sip:[a-c@;:]{0,12}>?([;, ](tag|TAG|x)[= ]{0,2}[a-z,;\" ]{0,20}){0,3}",
        ) {
            let whole = parse(text.as_bytes()).map(|address| address.tag());
            prop_assert_eq!(super::tag(text.as_bytes()), whole);
            prop_assert_eq!(read_parameter(text.as_bytes(), 0), parameters::read(text.as_bytes(), 0));
            let behind = text.find("tag").unwrap_or(0);
            prop_assert_eq!(read_parameter(text.as_bytes(), behind), parameters::read(text.as_bytes(), behind));
        }
    }

    /// `expected` is one line per value: `display name|uri|parameters`.
    fn check(given: &str, expected: &[&str]) {
        let seen: Vec<String> = values(given.as_bytes())
            .map(|address| match address {
                Ok(address) => [address.display_name, address.uri, address.parameters]
                    .map(|part| String::from_utf8_lossy(part).into_owned())
                    .join("|"),
                Err(BadAddress) => "bad".into(),
            })
            .collect();
        assert_eq!(seen, expected, "{given}");
    }

    #[test]
    fn single_values() {
        check("<sip:a@b>", &["|sip:a@b|"]);
        check("sip:a@b", &["|sip:a@b|"]);
        check("sip:a@b;tag=1", &["|sip:a@b|tag=1"]);
        check("<sip:a@b;lr>;tag=1", &["|sip:a@b;lr|tag=1"]);
        check("Bob <sip:a@b>", &["Bob|sip:a@b|"]);
        check("caller<sip:caller@example.com>;tag=323", &["caller|sip:caller@example.com|tag=323"]);
        check(r#""a\"<>,;" <sip:a@b> ;x"#, &[r#""a\"<>,;"|sip:a@b|x"#]);
        check(
            "sip:vivekg@chair-dnrc.example.com ;   tag    = 1918181833n",
            &["|sip:vivekg@chair-dnrc.example.com|   tag    = 1918181833n"],
        );
        check("<http://a/b?c,d>", &["|http://a/b?c,d|"]);
        check("isbn:2983792873", &["|isbn:2983792873|"]);
        check(
            "token1~` token2'+_ token3*%!.- <sip:m@e>;a=\"\u{440}\"",
            &["token1~` token2'+_ token3*%!.-|sip:m@e|a=\"\u{440}\""],
        );
    }

    #[test]
    fn several_values() {
        check(
            "<sip:a;lr>,<sip:b;lr> , \"x,\" <sip:c>;d=\",\"",
            &["|sip:a;lr|", "|sip:b;lr|", "\"x,\"|sip:c|d=\",\""],
        );
        check("sip:a;x , sip:b", &["|sip:a|x", "|sip:b|"]);
        check("<sip:a>,", &["|sip:a|", "bad"]);
    }

    #[test]
    fn what_is_no_address() {
        for bad in [
            "",
            "*",
            "a",
            "<sip:a",
            "sip:a>",
            "<>",
            "<a@b>",
            "\"x\"",
            "\"x <sip:a>",
            "\"Mr. J. User <sip:j.user@example.com>",
            "Bell, Alexander <sip:a.g.bell@example.com>;tag=43",
            "\"W\" < sip:t@e >",
            "<sip:a<b>",
            "<sip:a>b",
            "<sip:a>;",
            "<sip:a>;;x",
            "sip:a@b?Route=%3Csip:x%3E",
            "a \"b\" <sip:c>",
        ] {
            check(bad, &["bad"]);
        }
    }

    #[test]
    fn one_value_only() {
        assert_eq!(parse(b"<sip:a>,<sip:b>").map(|_| ()), Err(BadAddress));
        assert_eq!(super::tag(b"<sip:a>,<sip:b>"), Err(BadAddress));
        assert_eq!(super::tag(b"\"A\" <sip:a>;x;tag=y"), Ok(Some(&b"y"[..])));
        assert_eq!(parse(b"<sip:a>;TAG=x").unwrap().tag(), Some(&b"x"[..]));
        assert_eq!(parse(b"<sip:a;tag=x>").unwrap().tag(), None);
        assert_eq!(parse(b"sip:a;tag=x").unwrap().tag(), Some(&b"x"[..]));
    }
}
