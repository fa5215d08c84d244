//! The branch of our own Via: a number as text (RFC 3261 §16.11).

use crate::farm::consistent::mix;
use crate::farm::server::ServerId;
use crate::signed::token;

/// The number in our branch: the same for a request, its retransmissions, its CANCEL and the ACK to its failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct BranchKey(pub u64);

impl BranchKey {
    /// The branch at one server: each branch of a fork is another (RFC 3261 §16.6 step 8). The hop that comes back names the
    /// server, so the same step leads back to the first branch.
    pub(crate) fn at(self, server: ServerId) -> BranchKey {
        BranchKey(self.0 ^ mix(u64::from(server.0)))
    }
}

/// RFC 3261 §8.1.1.7.
pub(crate) const COOKIE: &[u8] = b"z9hG4bK";

/// Characters of a branch of ours: the cookie and eight bytes as a token.
pub(crate) const BRANCH_LENGTH: usize = COOKIE.len() + 11;

/// Our branch for this number.
#[inline]
pub(crate) fn branch_text(number: u64) -> [u8; BRANCH_LENGTH] {
    let (mut bytes, mut characters) = ([0; token::BYTES_MAX], [0; token::CHARACTERS_MAX]);
    bytes[..8].copy_from_slice(&number.to_be_bytes());
    token::encode(&bytes, 8, &mut characters);
    let mut text = [0; BRANCH_LENGTH];
    text[..COOKIE.len()].copy_from_slice(COOKIE);
    text[COOKIE.len()..].copy_from_slice(&characters[..BRANCH_LENGTH - COOKIE.len()]);
    text
}

/// The number in our branch.
pub(crate) fn branch_key(branch: &[u8]) -> Option<BranchKey> {
    let (bytes, length) = token::decode(branch.strip_prefix(COOKIE)?)?;
    let number = u64::from_be_bytes(*bytes.first_chunk()?);
    (length == 8).then_some(BranchKey(number))
}
