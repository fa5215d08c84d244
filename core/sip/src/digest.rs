//! Digest access authentication with the algorithms of RFC 8760 (RFC 3261 §22.4, RFC 7616): a challenge and credentials are read
//! and written, an answer is computed and verified.
//!
//! The caller handles nonces, their age and their count, and the chance for a cnonce. Nothing here prints a password, its
//! hash or an answer.

use std::fmt;

use subtle::ConstantTimeEq;

use crate::headers::auth::Auth;
use crate::text::write_hex;

mod secret;

use secret::Hex;
pub use secret::{Algorithm, Hash, Secret};

/// What an answer protects (RFC 7616 §3.4.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Qop {
    /// Method and URI.
    Auth,
    /// The body, too.
    AuthInt,
}

/// A server's challenge. Texts are as written, without their quotes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Challenge<'a> {
    pub realm: &'a [u8],
    pub nonce: &'a [u8],
    pub opaque: Option<&'a [u8]>,
    pub algorithm: Algorithm,
    /// Whether the challenge offers `auth` and `auth-int`. Neither: the server is older than RFC 2617.
    pub auth: bool,
    pub auth_int: bool,
    pub stale: bool,
}

/// A client's answer.
#[derive(Clone, Copy)]
pub struct Credentials<'a> {
    pub username: &'a [u8],
    pub realm: &'a [u8],
    pub nonce: &'a [u8],
    /// As the client wrote it. A proxy may have changed the Request-URI since then (RFC 3261 §22.4), so the caller compares
    /// the two.
    pub uri: &'a [u8],
    pub algorithm: Algorithm,
    /// Protection, the count of this nonce, and the cnonce. `None`: the client is older than RFC 2617.
    pub protection: Option<Protection<'a>>,
    pub opaque: Option<&'a [u8]>,
    response: &'a [u8],
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Protection<'a> {
    pub qop: Qop,
    /// How often the client has used the nonce, including this time. A count that was seen before is a replay.
    pub nonce_count: u32,
    pub cnonce: &'a [u8],
}

/// The protected request.
#[derive(Clone, Copy, Debug)]
pub struct Protected<'a> {
    pub method: &'a [u8],
    pub uri: &'a [u8],
    pub body: &'a [u8],
}

impl Secret {
    /// RFC 7616 §3.4.1 to §3.4.4.
    fn answer(
        &self,
        session: bool,
        nonce: &[u8],
        protection: Option<Protection<'_>>,
        request: Protected<'_>,
    ) -> Hex {
        let key = match protection.filter(|_| session) {
            Some(protection) => self.hash.of(&[self.hex.bytes(), nonce, protection.cnonce]),
            None => self.hex,
        };
        let Protected { method, uri, body } = request;
        let what = match protection.map(|protection| protection.qop) {
            Some(Qop::AuthInt) => self.hash.of(&[method, uri, self.hash.of(&[body]).bytes()]),
            Some(Qop::Auth) | None => self.hash.of(&[method, uri]),
        };
        match protection {
            Some(Protection { qop, nonce_count, cnonce }) => {
                let count = count(nonce_count);
                self.hash.of(&[key.bytes(), nonce, &count, cnonce, qop.name(), what.bytes()])
            }
            None => self.hash.of(&[key.bytes(), nonce, what.bytes()]),
        }
    }
}

impl Qop {
    fn name(self) -> &'static [u8] {
        match self {
            Qop::Auth => b"auth",
            Qop::AuthInt => b"auth-int",
        }
    }
}

/// Eight hexadecimal digits.
fn count(number: u32) -> [u8; 8] {
    let mut text = Vec::with_capacity(16);
    write_hex(u64::from(number), &mut text);
    *text.last_chunk().expect("sixteen digits")
}

impl<'a> Challenge<'a> {
    /// `None`: another scheme, an unknown algorithm, or a missing part. Of several challenges, answer the first that can be
    /// read (RFC 8760 §2.4).
    pub fn read(auth: &Auth<'a>) -> Option<Challenge<'a>> {
        if !auth.scheme.eq_ignore_ascii_case(b"Digest") {
            return None;
        }
        let offered = auth.parameter(b"qop");
        let offers = |qop: Qop| {
            let mut options = offered.unwrap_or_default().split(|byte| *byte == b',');
            options.any(|option| option.trim_ascii().eq_ignore_ascii_case(qop.name()))
        };
        let (known, int) = (offers(Qop::Auth), offers(Qop::AuthInt));
        // A protection that is unknown here cannot be given.
        if offered.is_some() && !known && !int {
            return None;
        }
        Some(Challenge {
            realm: auth.parameter(b"realm")?,
            nonce: auth.parameter(b"nonce")?,
            opaque: auth.parameter(b"opaque"),
            algorithm: Algorithm::of(auth)?,
            auth: known,
            auth_int: int,
            stale: auth.is_stale(),
        })
    }

    /// Appends the value of a WWW-Authenticate or Proxy-Authenticate field. False, and nothing appended: a text has a quote, a
    /// backslash at its end, or a control character.
    pub fn write(&self, out: &mut Vec<u8>) -> bool {
        if ![Some(self.realm), Some(self.nonce), self.opaque].into_iter().flatten().all(is_quotable) {
            return false;
        }
        let mut put = |parts: &[&[u8]]| parts.iter().for_each(|part| out.extend_from_slice(part));
        put(&[b"Digest realm=\"", self.realm, b"\", nonce=\"", self.nonce, b"\""]);
        if let Some(opaque) = self.opaque {
            put(&[b", opaque=\"", opaque, b"\""]);
        }
        put(&[b", algorithm=", self.algorithm.name().as_bytes()]);
        match (self.auth, self.auth_int) {
            (true, true) => put(&[b", qop=\"auth,auth-int\""]),
            (true, false) => put(&[b", qop=\"auth\""]),
            (false, true) => put(&[b", qop=\"auth-int\""]),
            (false, false) => {}
        }
        if self.stale {
            put(&[b", stale=true"]);
        }
        true
    }

    /// Appends the value of an Authorization or Proxy-Authorization field that answers. `protection`: one that the challenge
    /// offers; `None` only if it offers none. False, and nothing appended: the secret has another hash, the protection was
    /// not offered, or a text cannot be written.
    pub fn answer(
        &self,
        username: &[u8],
        secret: &Secret,
        protection: Option<Protection<'_>>,
        request: Protected<'_>,
        out: &mut Vec<u8>,
    ) -> bool {
        let offered = match protection.map(|protection| protection.qop) {
            Some(Qop::Auth) => self.auth,
            Some(Qop::AuthInt) => self.auth_int,
            // A session key needs the cnonce, which comes only with a protection.
            None => !self.auth && !self.auth_int && !self.algorithm.session,
        };
        let cnonce = protection.map(|protection| protection.cnonce);
        let texts =
            [Some(username), Some(self.realm), Some(self.nonce), Some(request.uri), self.opaque, cnonce];
        if !offered || secret.hash != self.algorithm.hash || !texts.into_iter().flatten().all(is_quotable) {
            return false;
        }
        let response = secret.answer(self.algorithm.session, self.nonce, protection, request);
        let mut put = |parts: &[&[u8]]| parts.iter().for_each(|part| out.extend_from_slice(part));
        put(&[b"Digest username=\"", username, b"\", realm=\"", self.realm, b"\", nonce=\"", self.nonce]);
        put(&[b"\", uri=\"", request.uri, b"\", response=\"", response.bytes(), b"\", algorithm="]);
        put(&[self.algorithm.name().as_bytes()]);
        if let Some(opaque) = self.opaque {
            put(&[b", opaque=\"", opaque, b"\""]);
        }
        if let Some(Protection { qop, nonce_count, cnonce }) = protection {
            put(&[b", qop=", qop.name(), b", nc=", &count(nonce_count), b", cnonce=\"", cnonce, b"\""]);
        }
        true
    }
}

/// What may be between quotes as it is. A backslash includes the next character.
fn is_quotable(text: &[u8]) -> bool {
    let mut pair = false;
    text.iter().all(|byte| {
        let good = !byte.is_ascii_control() && (*byte != b'"' || pair);
        pair = *byte == b'\\' && !pair;
        good
    }) && !pair
}

impl<'a> Credentials<'a> {
    /// `None`: another scheme, an unknown algorithm or protection, or a missing part.
    pub fn read(auth: &Auth<'a>) -> Option<Credentials<'a>> {
        if !auth.scheme.eq_ignore_ascii_case(b"Digest") {
            return None;
        }
        let protection = match auth.parameter(b"qop") {
            None => None,
            Some(name) => {
                let qops = [Qop::Auth, Qop::AuthInt];
                let digits = auth.parameter(b"nc").filter(|digits| digits.len() == 8)?;
                let number = digits
                    .iter()
                    .try_fold(0u32, |number, digit| Some(number << 4 | char::from(*digit).to_digit(16)?))?;
                Some(Protection {
                    qop: qops.into_iter().find(|qop| qop.name().eq_ignore_ascii_case(name))?,
                    nonce_count: number,
                    cnonce: auth.parameter(b"cnonce")?,
                })
            }
        };
        Some(Credentials {
            username: auth.parameter(b"username")?,
            realm: auth.parameter(b"realm")?,
            nonce: auth.parameter(b"nonce")?,
            uri: auth.parameter(b"uri")?,
            algorithm: Algorithm::of(auth)?,
            protection,
            opaque: auth.parameter(b"opaque"),
            response: auth.parameter(b"response")?,
        })
    }

    /// Whether the author of these credentials knows the secret of this user in this realm. The time of the comparison tells
    /// nothing about the right answer. The caller checks nonce and count.
    pub fn verify(&self, secret: &Secret, method: &[u8], body: &[u8]) -> bool {
        if secret.hash != self.algorithm.hash || (self.algorithm.session && self.protection.is_none()) {
            return false;
        }
        let request = Protected { method, uri: self.uri, body };
        let right = secret.answer(self.algorithm.session, self.nonce, self.protection, request);
        let given = self.response.to_ascii_lowercase();
        bool::from(right.bytes().ct_eq(&given))
    }
}

/// Shows who claims to be whom, and nothing that could be tried elsewhere.
impl fmt::Debug for Credentials<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = |bytes| String::from_utf8_lossy(bytes);
        write!(f, "Credentials({} in {})", text(self.username), text(self.realm))
    }
}

#[cfg(test)]
mod tests;
