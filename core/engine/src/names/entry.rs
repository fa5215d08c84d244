//! The parameter of our Record-Route entry: the key of the call, and an authenticator over it and the Call-ID.
//!
//! A request within a dialog brings the entry back as a Route. It proves that the dialog began through this farm; so such a
//! request passes without a record, and nobody else can have the farm pass requests anywhere.

use state::Key;
use subtle::ConstantTimeEq as _;

use super::letters;
use crate::secret::{FarmSecret, Purpose};

/// The name of the parameter.
pub const ENTRY: &[u8] = b"k";

const AUTHENTICATOR_LETTERS: usize = 12;

/// Characters of the value.
pub const ENTRY_LENGTH: usize = Key::LETTERS + AUTHENTICATOR_LETTERS;

/// The value of the parameter.
pub fn entry(secret: &FarmSecret, key: Key, call_id: &[u8]) -> [u8; ENTRY_LENGTH] {
    let hash = secret.hash(Purpose::Entry, &[&key.0, call_id]) as u64;
    let mut text = [0; ENTRY_LENGTH];
    text[..Key::LETTERS].copy_from_slice(&key.text());
    text[Key::LETTERS..].copy_from_slice(&letters::<AUTHENTICATOR_LETTERS>(hash >> 4));
    text
}

/// Reads a value, in either case. `None`: this farm did not make it for this Call-ID.
pub fn read_entry(secret: &FarmSecret, text: &[u8], call_id: &[u8]) -> Option<Key> {
    let key = Key::read(text.get(..Key::LETTERS)?)?;
    let right: bool = entry(secret, key, call_id).ct_eq(&text.to_ascii_lowercase()).into();
    right.then_some(key)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_is_read_as_it_was_written_and_no_other_is_believed() {
        let (secret, key) = (FarmSecret::new([7; 32]), Key([0x9A; 12]));
        let text = entry(&secret, key, b"call");
        assert_eq!(std::str::from_utf8(&text[..Key::LETTERS]), Ok("tknjvgu2tknjvgu2tkna"));
        assert_eq!(read_entry(&secret, &text, b"call"), Some(key));
        assert_eq!(read_entry(&secret, &text.to_ascii_uppercase(), b"call"), Some(key));
        assert_eq!(read_entry(&secret, &text, b"Call"), None, "another call");
        assert_eq!(read_entry(&FarmSecret::new([8; 32]), &text, b"call"), None, "another farm");
        for at in 0..text.len() {
            let mut changed = text;
            changed[at] = if changed[at] == b'a' { b'b' } else { b'a' };
            assert_eq!(read_entry(&secret, &changed, b"call"), None, "{at}");
            assert_eq!(read_entry(&secret, &text[..at], b"call"), None, "{at}");
        }
    }
}
