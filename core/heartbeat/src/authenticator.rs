//! The authenticator of heartbeats and queries: HMAC-SHA256 with the farm's shared key, cut to its first 16 bytes
//! (RFC 2104 §5 allows half the hash). Comparison takes the same time wherever the first difference is.

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

pub(crate) const AUTHENTICATOR_BYTES: usize = 16;

fn over(key: &[u8], bytes: &[u8]) -> Hmac<Sha256> {
    // HMAC takes keys of any length, so this cannot fail.
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("HMAC takes any key");
    mac.update(bytes);
    mac
}

pub(crate) fn make(key: &[u8], bytes: &[u8]) -> [u8; AUTHENTICATOR_BYTES] {
    let whole = over(key, bytes).finalize().into_bytes();
    let mut cut = [0; AUTHENTICATOR_BYTES];
    cut.copy_from_slice(&whole[..AUTHENTICATOR_BYTES]);
    cut
}

pub(crate) fn is_right(key: &[u8], bytes: &[u8], authenticator: &[u8; AUTHENTICATOR_BYTES]) -> bool {
    over(key, bytes).verify_truncated_left(authenticator).is_ok()
}
