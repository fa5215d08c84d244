//! The name of a record: 96 bits, of which the first 8 say the partition.

use std::fmt;

/// Letters of base32 in lower case. SIP compares tags and branches without case (RFC 3261 §7.3.1), so no letter appears twice.
const LETTERS: &[u8; 32] = b"abcdefghijklmnopqrstuvwxyz234567";

/// The name of a record. Whoever makes one takes a keyed hash: strangers must not be able to choose names of one partition.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key(pub [u8; 12]);

impl Key {
    /// Number of letters of a key in text.
    pub const LETTERS: usize = 20;

    /// The partition that the record lies in.
    pub const fn partition(self) -> u8 {
        self.0[0]
    }

    /// The key in base32, without padding.
    pub fn text(self) -> [u8; Key::LETTERS] {
        let mut text = [0; Key::LETTERS];
        write_base32(&self.0, &mut text);
        text
    }

    /// Reads base32 in either case. `None`: it is not the text of a key.
    pub fn read(text: &[u8]) -> Option<Key> {
        let mut bytes = [0; 12];
        (text.len() == Key::LETTERS && read_base32(text, &mut bytes)).then_some(Key(bytes))
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.text().iter().try_for_each(|letter| write!(f, "{}", char::from(*letter)))
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Writes as many letters as fit `text`; bits beyond the bytes are zero.
pub fn write_base32(bytes: &[u8], text: &mut [u8]) {
    let bit = |at: usize| bytes.get(at / 8).is_some_and(|byte| byte >> (7 - at % 8) & 1 == 1);
    for (position, letter) in text.iter_mut().enumerate() {
        let value = (0..5).fold(0, |value, at| value << 1 | usize::from(bit(position * 5 + at)));
        *letter = LETTERS[value];
    }
}

/// False: a letter is none of base32, or the bits beyond `bytes` are not zero.
pub fn read_base32(text: &[u8], bytes: &mut [u8]) -> bool {
    bytes.fill(0);
    for (position, letter) in text.iter().enumerate() {
        let letter = letter.to_ascii_lowercase();
        let Some(value) = LETTERS.iter().position(|known| *known == letter) else { return false };
        for at in (0..5).filter(|at| value >> (4 - at) & 1 == 1) {
            match bytes.get_mut((position * 5 + at) / 8) {
                Some(byte) => *byte |= 0x80 >> ((position * 5 + at) % 8),
                None => return false,
            }
        }
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_read_as_it_was_written_in_either_case() {
        for first in 0..=255 {
            let key = Key([first, 1, 2, 3, 250, 251, 252, 253, 254, 255, 0, 77]);
            let text = key.text();
            assert_eq!(Key::read(&text), Some(key));
            assert_eq!(Key::read(&text.to_ascii_uppercase()), Some(key));
            assert_eq!(key.partition(), first);
        }
    }

    #[test]
    fn what_is_no_key_is_refused() {
        let good = Key([7; 12]).to_string();
        for text in
            ["", &good[1..], &format!("{good}a"), &good.replace('a', "1"), &format!("{}b", &good[..19])]
        {
            assert_eq!(Key::read(text.as_bytes()), None, "{text}");
        }
    }
}
