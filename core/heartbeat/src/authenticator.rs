//! The authenticator of heartbeats, queries, and of all else that members of a farm tell each other: HMAC-SHA256 with the
//! farm's shared key, cut to its first 16 bytes (RFC 2104 §5 allows half the hash). Comparison takes the same time wherever
//! the first difference is. What is covered begins with a protocol id, so that one protocol's bytes are never another's.

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

use crate::ignored::Ignored;

/// Length on the wire.
pub const AUTHENTICATOR_BYTES: usize = 16;

fn over(key: &[u8], bytes: &[u8]) -> Hmac<Sha256> {
    // HMAC takes keys of any length, so this cannot fail.
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("HMAC takes any key");
    mac.update(bytes);
    mac
}

/// The authenticator of `bytes`.
pub fn make(key: &[u8], bytes: &[u8]) -> [u8; AUTHENTICATOR_BYTES] {
    let whole = over(key, bytes).finalize().into_bytes();
    let mut cut = [0; AUTHENTICATOR_BYTES];
    cut.copy_from_slice(&whole[..AUTHENTICATOR_BYTES]);
    cut
}

/// Splits a datagram of fixed length into what is covered and its authenticator, and checks that if there is a key.
pub(crate) fn covered<'a, const COVERED: usize>(
    bytes: &'a [u8],
    key: Option<&[u8]>,
) -> Result<&'a [u8; COVERED], Ignored> {
    let (covered, given) = bytes.split_first_chunk::<COVERED>().ok_or(Ignored::Short)?;
    let given: &[u8; AUTHENTICATOR_BYTES] = given.try_into().map_err(|_| Ignored::Short)?;
    match key {
        Some(_) if *given == [0; AUTHENTICATOR_BYTES] => Err(Ignored::NoAuthenticator),
        Some(key) if !is_right(key, covered, given) => Err(Ignored::BadAuthenticator),
        _ => Ok(covered),
    }
}

/// Whether `authenticator` is that of `bytes`.
pub fn is_right(key: &[u8], bytes: &[u8], authenticator: &[u8; AUTHENTICATOR_BYTES]) -> bool {
    over(key, bytes).verify_truncated_left(authenticator).is_ok()
}
