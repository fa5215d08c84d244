//! The name of a record: 96 bits, of which the first 8 say the partition.

use std::fmt;

/// Letters of base32 in lower case. SIP compares tags and branches without case (RFC 3261 §7.3.1), so no letter appears twice.
const LETTERS: &[u8; 32] = b"abcdefghijklmnopqrstuvwxyz234567";

const NO_LETTER: u8 = u8::MAX;

/// The value of each letter, in either case.
const VALUES: [u8; 256] = {
    let mut values = [NO_LETTER; 256];
    let mut value = 0;
    while value < LETTERS.len() {
        values[LETTERS[value] as usize] = value as u8;
        values[LETTERS[value].to_ascii_uppercase() as usize] = value as u8;
        value += 1;
    }
    values
};

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
    let mut bytes = bytes.iter();
    // The lowest `bits` bits of `held` are not written yet.
    let (mut held, mut bits) = (0u32, 0);
    for letter in text {
        if bits < 5 {
            held = held << 8 | u32::from(bytes.next().copied().unwrap_or_default());
            bits += 8;
        }
        bits -= 5;
        *letter = LETTERS[(held >> bits) as usize % LETTERS.len()];
    }
}

/// False: a letter is none of base32, or the bits beyond `bytes` are not zero.
pub fn read_base32(text: &[u8], bytes: &mut [u8]) -> bool {
    bytes.fill(0);
    let mut bytes = bytes.iter_mut();
    let mut next = |byte: u8| match bytes.next() {
        Some(place) => {
            *place = byte;
            true
        }
        None => byte == 0,
    };
    // The lowest `bits` bits of `held` lie in no byte yet.
    let (mut held, mut bits) = (0u32, 0);
    for letter in text {
        let value = VALUES[usize::from(*letter)];
        if value == NO_LETTER {
            return false;
        }
        held = held << 5 | u32::from(value);
        bits += 5;
        if bits >= 8 {
            bits -= 8;
            if !next((held >> bits) as u8) {
                return false;
            }
        }
    }
    bits == 0 || next((held << (8 - bits)) as u8)
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
    fn text_may_be_shorter_or_longer_than_the_bytes() {
        let (mut text, mut bytes) = ([0; 3], [0xFF; 4]);
        write_base32(&[0xFF], &mut text);
        assert_eq!(&text, b"74a", "bits beyond the bytes are zero");
        assert!(read_base32(&text, &mut bytes));
        assert_eq!(bytes, [0xFF, 0, 0, 0]);
        assert!(read_base32(b"74aaaa", &mut bytes[..1]), "letters beyond the bytes say zero");
        for text in [&b"75"[..], b"74ab", b"74aaab"] {
            assert!(!read_base32(text, &mut bytes[..1]), "they say something");
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
