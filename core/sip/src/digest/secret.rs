//! The hashes of digest authentication, and the secret of a user: the hash of name, realm and password. A secret is never printed.

use std::fmt;

use md5::Md5;
use sha2::{Digest, Sha256, Sha512_256};
use zeroize::Zeroize;

use crate::headers::auth::Auth;

/// Characters of the longest hash.
const HASH_MAX: usize = 64;

/// RFC 8760 §2.2. In a challenge, the server's preferred algorithm comes first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hash {
    Md5,
    Sha256,
    Sha512_256,
}

/// A hash, with or without a key for the session (RFC 7616 §3.4.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Algorithm {
    pub hash: Hash,
    /// `-sess`: the first nonce and cnonce are in the key.
    pub session: bool,
}

/// A hash in hexadecimal.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct Hex {
    text: [u8; HASH_MAX],
    length: usize,
}

/// The hash of user, realm and password: what a server stores, and what answers for the password. It is wiped when it is dropped.
#[derive(Clone)]
pub struct Secret {
    pub(super) hash: Hash,
    pub(super) hex: Hex,
}

impl Hash {
    /// The parts one after the other, with a colon between them.
    pub(super) fn of(self, parts: &[&[u8]]) -> Hex {
        fn run<D: Digest>(parts: &[&[u8]]) -> Hex {
            let mut digest = D::new();
            for (at, part) in parts.iter().enumerate() {
                if at > 0 {
                    digest.update(b":");
                }
                digest.update(part);
            }
            Hex::of(&digest.finalize())
        }
        match self {
            Hash::Md5 => run::<Md5>(parts),
            Hash::Sha256 => run::<Sha256>(parts),
            Hash::Sha512_256 => run::<Sha512_256>(parts),
        }
    }

    fn characters(self) -> usize {
        match self {
            Hash::Md5 => 32,
            Hash::Sha256 | Hash::Sha512_256 => 64,
        }
    }
}

impl Algorithm {
    pub(super) const KNOWN: [(&'static str, Algorithm); 6] = {
        const fn of(hash: Hash, session: bool) -> Algorithm {
            Algorithm { hash, session }
        }
        [
            ("MD5", of(Hash::Md5, false)),
            ("MD5-sess", of(Hash::Md5, true)),
            ("SHA-256", of(Hash::Sha256, false)),
            ("SHA-256-sess", of(Hash::Sha256, true)),
            ("SHA-512-256", of(Hash::Sha512_256, false)),
            ("SHA-512-256-sess", of(Hash::Sha512_256, true)),
        ]
    };

    /// `None`: the algorithm is unknown here, and a challenge with it is skipped (RFC 8760 §2.4).
    pub fn parse(name: &[u8]) -> Option<Algorithm> {
        let known = |known: &&(&str, Algorithm)| known.0.as_bytes().eq_ignore_ascii_case(name);
        Algorithm::KNOWN.iter().find(known).map(|known| known.1)
    }

    pub fn name(self) -> &'static str {
        Algorithm::KNOWN.iter().find(|known| known.1 == self).map_or("MD5", |known| known.0)
    }

    /// Without a name it is MD5 (RFC 7616 §3.3).
    pub(super) fn of(auth: &Auth<'_>) -> Option<Algorithm> {
        Algorithm::parse(auth.parameter(b"algorithm").unwrap_or(b"MD5"))
    }
}

impl Hex {
    fn of(bytes: &[u8]) -> Hex {
        let mut text = [0; HASH_MAX];
        for (place, byte) in text.chunks_exact_mut(2).zip(bytes) {
            let digit = |half: u8| b"0123456789abcdef"[usize::from(half)];
            place.copy_from_slice(&[digit(byte >> 4), digit(byte & 15)]);
        }
        Hex { text, length: bytes.len() * 2 }
    }

    pub(super) fn bytes(&self) -> &[u8] {
        &self.text[..self.length]
    }
}

impl Secret {
    pub fn of_password(hash: Hash, username: &[u8], realm: &[u8], password: &[u8]) -> Secret {
        Secret { hash, hex: hash.of(&[username, realm, password]) }
    }

    /// From a store. `None`: the text is not a hash of that kind in hexadecimal.
    pub fn stored(hash: Hash, hex: &[u8]) -> Option<Secret> {
        if hex.len() != hash.characters() || !hex.iter().all(u8::is_ascii_hexdigit) {
            return None;
        }
        let mut text = [0; HASH_MAX];
        text[..hex.len()].copy_from_slice(hex);
        text.make_ascii_lowercase();
        Some(Secret { hash, hex: Hex { text, length: hex.len() } })
    }

    /// For a store.
    pub fn to_hex(&self) -> &[u8] {
        self.hex.bytes()
    }
}

impl Drop for Secret {
    fn drop(&mut self) {
        self.hex.text.zeroize();
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Secret({:?})", self.hash)
    }
}
