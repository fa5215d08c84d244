//! Digest access authentication with the algorithms of RFC 8760 (RFC 3261 §22.4, RFC 7616): a challenge and credentials are read
//! and written, an answer is computed and verified.
//!
//! Nonces, their age and their count are the caller's, as is the chance for a cnonce. Nothing here prints a password, its hash or an
//! answer.

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
    /// The body too.
    AuthInt,
}

/// What a server asks. Texts are as written, without their quotes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Challenge<'a> {
    pub realm: &'a [u8],
    pub nonce: &'a [u8],
    pub opaque: Option<&'a [u8]>,
    pub algorithm: Algorithm,
    /// Whether it offers `auth` and `auth-int`. Neither: it is older than RFC 2617.
    pub auth: bool,
    pub auth_int: bool,
    pub stale: bool,
}

/// What a client answers.
#[derive(Clone, Copy)]
pub struct Credentials<'a> {
    pub username: &'a [u8],
    pub realm: &'a [u8],
    pub nonce: &'a [u8],
    /// As the client wrote it: a proxy may have changed the Request-URI since (RFC 3261 §22.4), so the caller compares them.
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
    /// How often the client has used the nonce, this time included. One that was seen before is a replay.
    pub nonce_count: u32,
    pub cnonce: &'a [u8],
}

/// The request that is protected.
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
    /// `None`: another scheme, an algorithm that is not known, or a part is missing. Of several challenges the first that can be read is
    /// the one to answer (RFC 8760 §2.4).
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
        // A protection that is not known here cannot be given.
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

    /// Appends the value of an Authorization or Proxy-Authorization field that answers. `protection`: of what the challenge offers;
    /// `None` only where it offers nothing. False, and nothing appended: the secret is of another hash, the protection was not
    /// offered, or a text cannot be written.
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
            // A key of the session needs the cnonce that goes with a protection.
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

/// What may stand between quotes as it is. A backslash takes the next character with it.
fn is_quotable(text: &[u8]) -> bool {
    let mut pair = false;
    text.iter().all(|byte| {
        let good = !byte.is_ascii_control() && (*byte != b'"' || pair);
        pair = *byte == b'\\' && !pair;
        good
    }) && !pair
}

impl<'a> Credentials<'a> {
    /// `None`: another scheme, an algorithm or a protection that is not known, or a part is missing.
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

    /// Whether whoever wrote these knows the secret of this user in this realm. How long the comparison takes says nothing about
    /// the right answer. Nonce and count are for the caller to judge.
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

/// Who claims what, and nothing that could be tried elsewhere.
impl fmt::Debug for Credentials<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = |bytes| String::from_utf8_lossy(bytes);
        write!(f, "Credentials({} in {})", text(self.username), text(self.realm))
    }
}

#[cfg(test)]
mod tests;
