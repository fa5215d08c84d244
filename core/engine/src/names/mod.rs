//! Names of a call that are derived and never drawn: the key of its record, our tags, the Call-IDs and branches of what we
//! send, and the numbers in CSeq.
//!
//! Every name that comes back in a message leads to the record without a table: the tag of a leg, and the branch of a request of
//! ours, contain the record's key. All of it is letters of base32 in one case, since SIP compares tags and branches without
//! case (RFC 3261 §7.3.1).

mod branch;
mod call_id;
mod entry;
mod record_key;
mod sequence;
mod tag;
mod way_back;

pub use branch::{Branch, Incoming, OwnVia};
pub use call_id::{call_id_of_leg, call_id_of_own_call};
pub use entry::{ENTRY, ENTRY_LENGTH, entry, read_entry};
pub use record_key::{key_of_name, key_of_request, partition_of_call_id};
pub use sequence::Offset;
pub use tag::Tag;
pub use way_back::WayBack;

/// The number of a leg within its call; 0 is the caller's.
pub type Leg = u16;

/// Letters that a leg takes in a name.
const LEG_LETTERS: usize = 2;

/// The largest number of a leg: two letters.
pub const LEG_MAX: Leg = 1022;

/// In a branch, the number that says that the request has no record.
pub const NO_LEG: Leg = LEG_MAX + 1;

/// Writes a number as letters, the highest bits first.
fn letters<const COUNT: usize>(number: u64) -> [u8; COUNT] {
    let mut text = [0; COUNT];
    let bits = 5 * COUNT as u32;
    let aligned = u128::from(number) << (128 - bits);
    state::write_base32(&aligned.to_be_bytes(), &mut text);
    text
}

/// Reads what [`letters`] wrote.
fn number(text: &[u8]) -> Option<u64> {
    let bits = 5 * text.len() as u32;
    let mut bytes = [0; 16];
    let read = bits <= 60 && state::read_base32(text, &mut bytes);
    read.then(|| (u128::from_be_bytes(bytes) >> (128 - bits)) as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_read_as_they_were_written() {
        for value in [0, 1, 31, 32, 1023] {
            assert_eq!(number(&letters::<LEG_LETTERS>(value)), Some(value));
        }
        assert_eq!(number(&letters::<12>((1 << 60) - 1)), Some((1 << 60) - 1));
        assert_eq!(number(b"a1"), None);
    }
}
