//! Call-IDs of the legs that an engine begins.

use state::Key;

use super::Leg;
use crate::secret::{FarmSecret, Purpose};

/// Letters of a Call-ID: 128 bits.
const LETTERS: usize = 26;

/// The Call-ID of a leg that a caller's INVITE leads to. It does not depend on the record: if a callee's 407 is passed to the
/// caller, the repeated INVITE is a new call with a new record, and keeps the Call-ID for peers that bind nonces to it.
pub fn call_id_of_leg(secret: &FarmSecret, call_id: &[u8], from_tag: &[u8], leg: Leg) -> [u8; LETTERS] {
    let from_tag = from_tag.to_ascii_lowercase();
    text(secret, &[b"leg", call_id, &from_tag, &leg.to_be_bytes()])
}

/// The Call-ID of a leg of a call that an application began.
pub fn call_id_of_own_call(secret: &FarmSecret, key: Key, birth: u64, leg: Leg) -> [u8; LETTERS] {
    text(secret, &[b"own", &key.0, &birth.to_be_bytes(), &leg.to_be_bytes()])
}

fn text(secret: &FarmSecret, parts: &[&[u8]]) -> [u8; LETTERS] {
    let mut text = [0; LETTERS];
    state::write_base32(&secret.hash(Purpose::CallId, parts).to_be_bytes(), &mut text);
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_call_id_of_a_leg_depends_on_the_callers_names_alone() {
        let secret = FarmSecret::new([7; 32]);
        let one = call_id_of_leg(&secret, b"x", b"Alice", 1);
        assert_eq!(std::str::from_utf8(&one), Ok("dbtoca32vgg5hcet6i2mhp3jnq"));
        assert_eq!(one, call_id_of_leg(&secret, b"x", b"aLICE", 1), "tags are compared without case");
        for other in [
            call_id_of_leg(&secret, b"X", b"Alice", 1),
            call_id_of_leg(&secret, b"x", b"Bob", 1),
            call_id_of_leg(&secret, b"x", b"Alice", 2),
        ] {
            assert_ne!(one, other);
        }
    }

    #[test]
    fn the_next_call_of_a_name_has_another_call_id() {
        let (secret, key) = (FarmSecret::new([7; 32]), Key([1; 12]));
        let one = call_id_of_own_call(&secret, key, 5, 0);
        assert_ne!(one, call_id_of_own_call(&secret, key, 6, 0));
        assert_ne!(one, call_id_of_own_call(&secret, key, 5, 1));
    }
}
