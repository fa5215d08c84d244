//! The tag of a leg: `s`, the record's key, the leg, 30 bits of the birth, and 30 bits of authenticator.
//!
//! The authenticator covers the leg's Call-ID. So a guessed tag, or a tag seen in another call, costs no look into the store. The
//! key only finds: whoever has the record compares Call-ID and both tags.

use state::Key;
use subtle::ConstantTimeEq as _;

use super::{LEG_LETTERS, Leg, letters, number};
use crate::secret::{FarmSecret, Purpose};

const BIRTH_LETTERS: usize = 6;
const BIRTH_MASK: u64 = (1 << (5 * BIRTH_LETTERS)) - 1;
const AUTHENTICATOR_LETTERS: usize = 6;

const LEG_AT: usize = 1 + Key::LETTERS;
const BIRTH_AT: usize = LEG_AT + LEG_LETTERS;
const AUTHENTICATOR_AT: usize = BIRTH_AT + BIRTH_LETTERS;

/// What a tag of ours says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tag {
    pub key: Key,
    pub leg: Leg,
    /// The low 30 bits of the birth.
    birth: u32,
}

impl Tag {
    /// Characters of a tag.
    pub const LENGTH: usize = AUTHENTICATOR_AT + AUTHENTICATOR_LETTERS;

    /// The tag of a leg. `birth`: microseconds of the state tier when the record was made.
    pub fn of(key: Key, leg: Leg, birth: u64) -> Tag {
        Tag { key, leg, birth: (birth & BIRTH_MASK) as u32 }
    }

    /// The tag as it stands in From or To. `call_id`: that of the leg.
    pub fn text(self, secret: &FarmSecret, call_id: &[u8]) -> [u8; Tag::LENGTH] {
        let mut text = [b's'; Tag::LENGTH];
        text[1..LEG_AT].copy_from_slice(&self.key.text());
        text[LEG_AT..BIRTH_AT].copy_from_slice(&letters::<LEG_LETTERS>(self.leg.into()));
        text[BIRTH_AT..AUTHENTICATOR_AT].copy_from_slice(&letters::<BIRTH_LETTERS>(self.birth.into()));
        let authenticator = authenticator(secret, &text[..AUTHENTICATOR_AT], call_id);
        text[AUTHENTICATOR_AT..].copy_from_slice(&authenticator);
        text
    }

    /// Reads a tag, in either case. `None`: this farm did not make it for this Call-ID.
    pub fn read(secret: &FarmSecret, tag: &[u8], call_id: &[u8]) -> Option<Tag> {
        let tag: &[u8; Tag::LENGTH] = tag.try_into().ok()?;
        let tag = tag.to_ascii_lowercase();
        let (said, given) = tag.split_at(AUTHENTICATOR_AT);
        let right: bool = authenticator(secret, said, call_id).ct_eq(given).into();
        if said[0] != b's' || !right {
            return None;
        }
        Some(Tag {
            key: Key::read(&said[1..LEG_AT])?,
            leg: number(&said[LEG_AT..BIRTH_AT])? as Leg,
            birth: number(&said[BIRTH_AT..])? as u32,
        })
    }

    /// Whether the tag is of the record with this birth: a name may get another record later.
    pub fn is_of(self, birth: u64) -> bool {
        u64::from(self.birth) == birth & BIRTH_MASK
    }
}

fn authenticator(secret: &FarmSecret, said: &[u8], call_id: &[u8]) -> [u8; AUTHENTICATOR_LETTERS] {
    let hash = secret.hash(Purpose::Tag, &[said, call_id]);
    letters((hash as u64) & ((1 << (5 * AUTHENTICATOR_LETTERS)) - 1))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tag() -> Tag {
        Tag::of(Key([0x9A; 12]), 3, 1_700_000_000_123_456)
    }

    #[test]
    fn a_tag_is_read_as_it_was_written_in_either_case() {
        let secret = FarmSecret::new([7; 32]);
        let text = tag().text(&secret, b"x");
        assert_eq!(std::str::from_utf8(&text), Ok("stknjvgu2tknjvgu2tknaadmcaisalu3gsd"));
        for text in [text.to_vec(), text.to_ascii_uppercase()] {
            assert_eq!(Tag::read(&secret, &text, b"x"), Some(tag()));
        }
        assert!(tag().is_of(1_700_000_000_123_456) && !tag().is_of(1_700_000_000_123_457));
    }

    #[test]
    fn no_other_tag_is_believed() {
        let secret = FarmSecret::new([7; 32]);
        let text = tag().text(&secret, b"x");
        for at in 0..text.len() {
            let mut changed = text;
            changed[at] = if changed[at] == b'a' { b'b' } else { b'a' };
            assert_eq!(Tag::read(&secret, &changed, b"x"), None, "{at}");
        }
        assert_eq!(Tag::read(&secret, &text, b"y"), None, "of another call");
        assert_eq!(Tag::read(&FarmSecret::new([8; 32]), &text, b"x"), None, "of another farm");
        assert_eq!(Tag::read(&secret, &text[1..], b"x"), None);
        assert_eq!(Tag::read(&secret, b"", b"x"), None);
    }
}
