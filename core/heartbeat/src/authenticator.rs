//! The authenticator of heartbeats, queries, and all other datagrams between members of a farm: HMAC-SHA256 with the farm's
//! shared key, cut to its first 16 bytes (RFC 2104 §5 allows half of the hash). A comparison takes the same time wherever
//! the first difference is. The covered bytes begin with a protocol id, so that the bytes of one protocol are never valid in
//! another.

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

use crate::ignored::Ignored;

/// Length in the datagram.
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

/// Splits a datagram of fixed length into the covered bytes and the authenticator, and checks the authenticator if there is
/// a key.
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

/// Whether `authenticator` is the authenticator of `bytes`.
pub fn is_right(key: &[u8], bytes: &[u8], authenticator: &[u8; AUTHENTICATOR_BYTES]) -> bool {
    over(key, bytes).verify_truncated_left(authenticator).is_ok()
}
