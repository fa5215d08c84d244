//! Bytes as a SIP token: base64 with `-` and `_` and without padding (RFC 4648 §5), all of them token characters.

/// Number of bytes that are encoded at once, and of their characters: one vector register.
const GROUP: usize = 12;
const CHARACTERS: usize = 16;

/// Room for the bytes of the longest token, and for its characters.
pub const BYTES_MAX: usize = 4 * GROUP;
pub const CHARACTERS_MAX: usize = 4 * CHARACTERS;

/// Writes the first `length` of `bytes`, which are followed only by zeros, to the front of `text`. Returns the number of
/// characters, ⌈4·n/3⌉. The rest of `text` has no meaning.
#[inline]
pub fn encode(bytes: &[u8; BYTES_MAX], length: usize, text: &mut [u8; CHARACTERS_MAX]) -> usize {
    #[cfg(target_arch = "x86_64")]
    if is_x86_feature_detected!("ssse3") {
        // SAFETY: this processor has SSSE3.
        return unsafe { groups::encode(bytes, length, text) };
    }
    encode_by(bytes, length, text, plain::characters)
}

/// The bytes of a token, followed by zeros, and their number. `None`: no such token, too long, or not what [`encode`] makes
/// of those bytes (so that one value has one form).
#[inline]
pub fn decode(token: &[u8]) -> Option<([u8; BYTES_MAX], usize)> {
    #[cfg(target_arch = "x86_64")]
    if is_x86_feature_detected!("ssse3") {
        // SAFETY: this processor has SSSE3.
        return unsafe { groups::decode(token) };
    }
    decode_by(token, plain::bytes)
}

#[inline(always)]
fn encode_by(
    bytes: &[u8; BYTES_MAX],
    length: usize,
    text: &mut [u8; CHARACTERS_MAX],
    characters: impl Fn(&[u8; GROUP]) -> [u8; CHARACTERS],
) -> usize {
    let (groups, _) = bytes.as_chunks();
    let (places, _) = text.as_chunks_mut();
    for (group, place) in groups.iter().zip(places).take(length.div_ceil(GROUP)) {
        *place = characters(group);
    }
    (length * 4).div_ceil(3)
}

#[inline(always)]
fn decode_by(
    token: &[u8],
    bytes_of: impl Fn(&[u8; CHARACTERS]) -> Option<[u8; GROUP]>,
) -> Option<([u8; BYTES_MAX], usize)> {
    // One character alone in its group holds no byte.
    if token.len() > CHARACTERS_MAX || token.len() % 4 == 1 {
        return None;
    }
    let mut bytes = [0; BYTES_MAX];
    let (places, _) = bytes.as_chunks_mut();
    let (whole, rest) = token.as_chunks();
    for (characters, place) in whole.iter().zip(&mut *places) {
        *place = bytes_of(characters)?;
    }
    if let Some(place) = places.get_mut(whole.len()).filter(|_| !rest.is_empty()) {
        let text = match token.last_chunk() {
            Some(last) => u128::from_le_bytes(*last) >> (8 * (CHARACTERS - rest.len())),
            None => rest.iter().rev().fold(0, |text, character| text << 8 | u128::from(*character)),
        };
        // Missing characters stand for zeros.
        let text = text | u128::from_le_bytes([b'A'; CHARACTERS]) << (8 * rest.len());
        *place = bytes_of(&text.to_le_bytes())?;
    }
    let length = token.len() * 3 / 4;
    // The last bits of a short group must be zero, or two tokens would mean the same.
    bytes.get(length).is_none_or(|beyond| *beyond == 0).then_some((bytes, length))
}

/// The sixteen characters of twelve bytes, and the twelve bytes of sixteen characters, in registers of sixteen bytes whose
/// bytes can be looked up in a table of sixteen: x86-64 processors have this since SSSE3.
#[cfg(target_arch = "x86_64")]
mod groups {
    use std::arch::x86_64::*;

    use super::{BYTES_MAX, CHARACTERS, CHARACTERS_MAX, GROUP};

    #[target_feature(enable = "ssse3")]
    pub(super) fn encode(bytes: &[u8; BYTES_MAX], length: usize, text: &mut [u8; CHARACTERS_MAX]) -> usize {
        super::encode_by(bytes, length, text, |group| characters(group))
    }

    #[target_feature(enable = "ssse3")]
    pub(super) fn decode(token: &[u8]) -> Option<([u8; BYTES_MAX], usize)> {
        super::decode_by(token, |characters| bytes(characters))
    }

    #[inline]
    #[target_feature(enable = "ssse3")]
    fn table(bytes: [i8; 16]) -> __m128i {
        // SAFETY: the load takes any alignment, and all its 16 bytes are those of the array.
        unsafe { _mm_loadu_si128(bytes.as_ptr().cast()) }
    }

    #[inline]
    #[target_feature(enable = "ssse3")]
    pub(super) fn characters(group: &[u8; GROUP]) -> [u8; CHARACTERS] {
        let (words, _) = group.as_chunks();
        let word = |at: usize| i32::from_le_bytes(words[at]);
        let bytes = _mm_setr_epi32(word(0), word(1), word(2), 0);
        // Every three bytes become two words, which hold two sextets each; a product moves each sextet into a byte of its
        // own.
        let order = table([1, 0, 2, 1, 4, 3, 5, 4, 7, 6, 8, 7, 10, 9, 11, 10]);
        let words = _mm_shuffle_epi8(bytes, order);
        let of = |mask| _mm_and_si128(words, _mm_set1_epi32(mask));
        let values = _mm_or_si128(
            _mm_mulhi_epu16(of(0x0FC0_FC00), _mm_set1_epi32(0x0400_0040)),
            _mm_mullo_epi16(of(0x003F_03F0), _mm_set1_epi32(0x0100_0010)),
        );
        // The kind of a value decides its distance from its character: 13 stands for upper case, 0 for lower case, 1 to 10
        // for digits, then `-` and `_`.
        let upper = _mm_cmpgt_epi8(_mm_set1_epi8(26), values);
        let kind =
            _mm_or_si128(_mm_subs_epu8(values, _mm_set1_epi8(51)), _mm_and_si128(upper, _mm_set1_epi8(13)));
        let distances = table([71, -4, -4, -4, -4, -4, -4, -4, -4, -4, -4, -17, 32, 65, 0, 0]);
        out(_mm_add_epi8(values, _mm_shuffle_epi8(distances, kind)))
    }

    #[inline]
    #[target_feature(enable = "ssse3")]
    pub(super) fn bytes(characters: &[u8; CHARACTERS]) -> Option<[u8; GROUP]> {
        // SAFETY: the load takes any alignment, and all its 16 bytes are those of the array.
        let text = unsafe { _mm_loadu_si128(characters.as_ptr().cast()) };
        let low = _mm_and_si128(text, _mm_set1_epi8(15));
        let high = _mm_and_si128(_mm_srli_epi16::<4>(text), _mm_set1_epi8(15));
        // A bit for each kind of upper half; and for each lower half, the kinds that it may not be combined with.
        let kinds = table([32, 32, 1, 2, 4, 8, 4, 16, 32, 32, 32, 32, 32, 32, 32, 32]);
        let refused = table([37, 33, 33, 33, 33, 33, 33, 33, 33, 33, 35, 59, 59, 58, 59, 51]);
        let wrong = _mm_and_si128(_mm_shuffle_epi8(kinds, high), _mm_shuffle_epi8(refused, low));
        if _mm_movemask_epi8(_mm_cmpeq_epi8(wrong, _mm_setzero_si128())) != 0xFFFF {
            return None;
        }
        let distances = table([0, 0, 17, 4, -65, -65, -71, -71, 0, 0, 0, 0, 0, 0, 0, 0]);
        // `_` has the upper half of capitals.
        let low_line = _mm_and_si128(_mm_cmpeq_epi8(text, _mm_set1_epi8(b'_' as i8)), _mm_set1_epi8(33));
        let values = _mm_add_epi8(text, _mm_add_epi8(_mm_shuffle_epi8(distances, high), low_line));
        // Two sextets to twelve bits, two of those to 24, and their bytes in order.
        let pairs = _mm_maddubs_epi16(values, _mm_set1_epi32(0x0140_0140));
        let lanes = _mm_madd_epi16(pairs, _mm_set1_epi32(0x0001_1000));
        let order = table([2, 1, 0, 6, 5, 4, 10, 9, 8, 14, 13, 12, -1, -1, -1, -1]);
        out(_mm_shuffle_epi8(lanes, order)).first_chunk().copied()
    }

    #[inline]
    #[target_feature(enable = "ssse3")]
    fn out(register: __m128i) -> [u8; 16] {
        let mut bytes = [0; 16];
        // SAFETY: the store takes any alignment, and all its 16 bytes are those of the array.
        unsafe { _mm_storeu_si128(bytes.as_mut_ptr().cast(), register) };
        bytes
    }
}

/// The same one character at a time, for all other processors.
mod plain {
    use super::{CHARACTERS, GROUP};

    pub(super) const ALPHABET: &[u8; 64] =
        b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

    pub(super) fn characters(group: &[u8; GROUP]) -> [u8; CHARACTERS] {
        std::array::from_fn(|at| {
            let [a, b, c] = [0, 1, 2].map(|byte| u32::from(group[at / 4 * 3 + byte]));
            ALPHABET[((a << 16 | b << 8 | c) >> (18 - at % 4 * 6)) as usize & 63]
        })
    }

    pub(super) fn bytes(characters: &[u8; CHARACTERS]) -> Option<[u8; GROUP]> {
        let mut bytes = [0; GROUP];
        for (place, four) in bytes.chunks_mut(3).zip(characters.chunks(4)) {
            let mut bits = 0u32;
            for character in four {
                bits = bits << 6 | ALPHABET.iter().position(|known| known == character)? as u32;
            }
            place.copy_from_slice(&bits.to_be_bytes()[1..]);
        }
        Some(bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read() {
        for length in 0..=BYTES_MAX {
            let mut bytes = [0; BYTES_MAX];
            for (at, byte) in bytes[..length].iter_mut().enumerate() {
                *byte = (at as u8).wrapping_mul(37) + 1;
            }
            let mut text = [0; CHARACTERS_MAX];
            let count = encode(&bytes, length, &mut text);
            assert_eq!(count, (length * 8).div_ceil(6));
            assert_eq!(decode(&text[..count]), Some((bytes, length)));
        }
    }

    #[test]
    #[cfg(target_arch = "x86_64")]
    fn registers_make_the_same_as_one_by_one() {
        if !is_x86_feature_detected!("ssse3") {
            return;
        }
        for byte in 0..=u8::MAX {
            for place in 0..CHARACTERS {
                let mut text = [b'7'; CHARACTERS];
                text[place] = byte;
                let mut group = [0x5A; GROUP];
                group[place % GROUP] = byte;
                // SAFETY: this processor has SSSE3.
                let (bytes, characters) = unsafe { (groups::bytes(&text), groups::characters(&group)) };
                assert_eq!(bytes, plain::bytes(&text), "{byte:#x} at {place}");
                assert_eq!(characters, plain::characters(&group), "{byte:#x} at {place}");
            }
        }
    }

    #[test]
    fn what_is_no_token_is_refused() {
        for token in
            [&b"A"[..], b"AB=", b"AB C", b"AB\xFF", b"AAAAAAAAAAAAAAAAA", &[b'A'; CHARACTERS_MAX + 1]]
        {
            assert_eq!(decode(token), None, "{token:?}");
        }
        // The last bits of a short group must be zero, or two tokens would mean the same.
        for (token, same) in
            [(&b"AB"[..], &b"AA"[..]), (b"AAB", b"AAA"), (b"BBBBBBBBBBBBBBBBAB", b"BBBBBBBBBBBBBBBBAA")]
        {
            assert_eq!(decode(token), None);
            assert_eq!(decode(same).map(|(_, length)| length), Some(same.len() * 3 / 4));
        }
    }
}
