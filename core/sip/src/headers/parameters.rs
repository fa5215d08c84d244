//! Parameters behind a semicolon, as Via, From, To, Contact, Route and many other fields have them (RFC 3261 §25.1, `generic-param`).

use crate::scan::{token_end, value_end};
use crate::text::{is_lws, skip_lws, skip_quoted};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Parameter<'a> {
    pub name: &'a [u8],
    /// As written, a quoted string with its quotes. Without a value: empty, at the place where `=value` would go.
    pub value: &'a [u8],
}

/// Reads one parameter from `at`, behind its semicolon. Also the offset of what follows it: a semicolon, a comma, or the end.
/// `None` when there is no name, no value behind `=`, an open quote, or anything else behind it (RFC 4475 §3.1.2.1).
#[inline(always)]
pub(crate) fn read(bytes: &[u8], at: usize) -> Option<(Parameter<'_>, usize)> {
    let start = skip_lws(bytes, at);
    let end = token_end(bytes, start);
    if end == start {
        return None;
    }
    let name = &bytes[start..end];
    let mut value = &bytes[end..end];
    let mut at = end;
    if at < bytes.len() && is_lws(bytes[at]) {
        at = skip_lws(bytes, at);
    }
    if bytes.get(at) == Some(&b'=') {
        let start = skip_lws(bytes, at + 1);
        if bytes.get(start) == Some(&b'"') {
            at = skip_quoted(bytes, start)?;
        } else {
            at = value_end(bytes, start);
            if at == start {
                return None;
            }
        }
        value = &bytes[start..at];
        at = skip_lws(bytes, at);
    }
    matches!(bytes.get(at), None | Some(b';' | b',')).then_some((Parameter { name, value }, at))
}

/// The parameters of a list without its first semicolon, up to the first that is wrong.
pub fn all(list: &[u8]) -> impl Iterator<Item = Parameter<'_>> {
    let mut at = 0;
    std::iter::from_fn(move || {
        if at >= list.len() {
            return None;
        }
        let (parameter, next) = read(list, at)?;
        // Behind a comma the next value begins: nothing there belongs to this list.
        at = if list.get(next) == Some(&b';') { next + 1 } else { list.len() };
        Some(parameter)
    })
}

/// The value of the first parameter of that name, compared without regard to case.
pub fn find<'a>(list: &'a [u8], name: &[u8]) -> Option<&'a [u8]> {
    all(list).find(|parameter| parameter.name.eq_ignore_ascii_case(name)).map(|parameter| parameter.value)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(given: &str, expected: &[(&str, &str)]) {
        let seen: Vec<_> = all(given.as_bytes())
            .map(|parameter| {
                (String::from_utf8_lossy(parameter.name), String::from_utf8_lossy(parameter.value))
            })
            .collect();
        let seen: Vec<_> = seen.iter().map(|(name, value)| (name.as_ref(), value.as_ref())).collect();
        assert_eq!(seen, expected, "{given}");
    }

    #[test]
    fn lists() {
        check("", &[]);
        check("lr", &[("lr", "")]);
        check("branch=z9hG4bK1;rport", &[("branch", "z9hG4bK1"), ("rport", "")]);
        check(" tag \r\n =\r\n  x ; a", &[("tag", "x"), ("a", "")]);
        check(r#"a=";,\"";b=[::1]:5"#, &[("a", r#"";,\"""#), ("b", "[::1]:5")]);
        check("a=b==c", &[("a", "b==c")]);
    }

    #[test]
    fn the_list_ends_where_it_is_wrong() {
        check(";a", &[]);
        check("a;;b", &[("a", "")]);
        check("a;b=", &[("a", "")]);
        check("a;b=;c", &[("a", "")]);
        check("a;b=\"x", &[("a", "")]);
        check("a;b=x y", &[("a", "")]);
        check("a,b", &[("a", "")]);
    }

    #[test]
    fn a_value_that_is_not_there_has_a_place() {
        let list = b"rport;branch=1";
        let value = find(list, b"RPORT").unwrap();
        assert!(value.is_empty());
        assert_eq!(value.as_ptr() as usize - list.as_ptr() as usize, 5);
    }
}
