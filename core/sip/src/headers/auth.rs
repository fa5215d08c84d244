//! Challenges and credentials: WWW-Authenticate, Proxy-Authenticate, Authorization and Proxy-Authorization (RFC 3261 §20.7,
//! §20.27, §20.44; RFC 8760). There is one in each field: SIP does not separate several by commas.

use std::fmt;

use super::parameters;
use crate::scan::token_end;
use crate::text::skip_lws;

/// `Digest realm="example.com", nonce="…"`.
#[derive(Clone, Copy)]
pub struct Auth<'a> {
    /// `Digest`, in any case.
    pub scheme: &'a [u8],
    /// The text after the scheme.
    pub parameters: &'a [u8],
}

/// Only the scheme is shown: the rest may let its reader in.
impl fmt::Debug for Auth<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Auth({})", String::from_utf8_lossy(self.scheme))
    }
}

/// `None`: there is no scheme.
pub fn parse(field: &[u8]) -> Option<Auth<'_>> {
    let start = skip_lws(field, 0);
    let end = token_end(field, start);
    (end > start).then(|| Auth { scheme: &field[start..end], parameters: &field[end..] })
}

impl<'a> Auth<'a> {
    /// Name and value of each parameter, a quoted value with its quotes, up to the first error.
    pub fn parameters(&self) -> impl Iterator<Item = (&'a [u8], &'a [u8])> + use<'a> {
        let list = self.parameters;
        let mut at = 0;
        std::iter::from_fn(move || {
            let (parameter, next) = parameters::read(list, at.min(list.len()))?;
            at = next + 1;
            Some((parameter.name, parameter.value))
        })
    }

    /// The value of the first parameter of that name, without quotes; its escapes stay.
    pub fn parameter(&self, name: &[u8]) -> Option<&'a [u8]> {
        let value = self.parameters().find(|(known, _)| known.eq_ignore_ascii_case(name))?.1;
        Some(value.strip_prefix(b"\"").and_then(|rest| rest.strip_suffix(b"\"")).unwrap_or(value))
    }

    /// The server knows the user, and only the nonce is too old (RFC 7616 §3.3).
    pub fn is_stale(&self) -> bool {
        self.parameter(b"stale").is_some_and(|value| value.eq_ignore_ascii_case(b"true"))
    }

    /// Appends the challenge with `stale=true`, whatever it had before.
    pub fn write_stale(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(self.scheme);
        let mut separator = b" ".as_slice();
        for (name, value) in self.parameters().filter(|(name, _)| !name.eq_ignore_ascii_case(b"stale")) {
            out.extend_from_slice(separator);
            out.extend_from_slice(name);
            out.push(b'=');
            out.extend_from_slice(value);
            separator = b", ";
        }
        out.extend_from_slice(separator);
        out.extend_from_slice(b"stale=true");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_are_found_with_and_without_quotes() {
        let field = br#"Digest realm="a, \"b\"; c",nonce = "xyz" , algorithm=SHA-256,qop="auth,auth-int", STALE=TRUE"#;
        let auth = parse(field).unwrap();
        assert_eq!(auth.scheme, b"Digest");
        assert_eq!(auth.parameter(b"realm"), Some(&br#"a, \"b\"; c"#[..]));
        assert_eq!(auth.parameter(b"Nonce"), Some(&b"xyz"[..]));
        assert_eq!(auth.parameter(b"algorithm"), Some(&b"SHA-256"[..]));
        assert_eq!(auth.parameter(b"opaque"), None);
        assert!(auth.is_stale());
    }

    #[test]
    fn stale_is_said_once() {
        for (given, expected) in [
            (r#"Digest realm="r", stale=false, nonce="n""#, r#"Digest realm="r", nonce="n", stale=true"#),
            (
                r#"Digest realm="r",nonce="n",qop="auth""#,
                r#"Digest realm="r", nonce="n", qop="auth", stale=true"#,
            ),
            ("Digest", "Digest stale=true"),
        ] {
            let mut out = Vec::new();
            parse(given.as_bytes()).unwrap().write_stale(&mut out);
            assert_eq!(String::from_utf8(out).unwrap(), expected);
        }
    }

    #[test]
    fn what_is_no_challenge_has_no_parameters() {
        assert!(parse(b"  ").is_none());
        for field in ["Digest =", "Digest realm=\"open", "Digest ,,", "Digest realm"] {
            assert_eq!(parse(field.as_bytes()).unwrap().parameter(b"nonce"), None, "{field}");
        }
    }
}
