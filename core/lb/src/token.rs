//! Bytes as a SIP token: base64 with `-` and `_` and without padding (RFC 4648 §5), all of them token characters.

/// Bytes that are made characters at once, and how many those are: what one vector register holds.
const GROUP: usize = 12;
const CHARACTERS: usize = 16;

/// Room for the bytes of the longest token, and for its characters.
pub const BYTES_MAX: usize = 4 * GROUP;
pub const CHARACTERS_MAX: usize = 4 * CHARACTERS;

/// Writes the first `length` of `bytes`, behind which there are only zeros, to the front of `text`: ⌈4·n/3⌉ characters,
/// which are counted. What is behind them has no meaning.
#[inline]
pub fn encode(bytes: &[u8; BYTES_MAX], length: usize, text: &mut [u8; CHARACTERS_MAX]) -> usize {
    let (groups, _) = bytes.as_chunks();
    let (places, _) = text.as_chunks_mut();
    for (group, place) in groups.iter().zip(places).take(length.div_ceil(GROUP)) {
        *place = groups::characters(group);
    }
    (length * 4).div_ceil(3)
}

/// The bytes of a token, with zeros behind them, and how many they are; `None` when it is no such token, too long, or not
/// what [`encode`] makes of those bytes (so that one value has one form).
#[inline]
pub fn decode(token: &[u8]) -> Option<([u8; BYTES_MAX], usize)> {
    // One character alone in its group holds no byte.
    if token.len() > CHARACTERS_MAX || token.len() % 4 == 1 {
        return None;
    }
    let mut bytes = [0; BYTES_MAX];
    let (places, _) = bytes.as_chunks_mut();
    let (whole, rest) = token.as_chunks();
    for (characters, place) in whole.iter().zip(&mut *places) {
        *place = groups::bytes(characters)?;
    }
    if let Some(place) = places.get_mut(whole.len()).filter(|_| !rest.is_empty()) {
        let text = match token.last_chunk() {
            Some(last) => u128::from_le_bytes(*last) >> (8 * (CHARACTERS - rest.len())),
            None => rest.iter().rev().fold(0, |text, character| text << 8 | u128::from(*character)),
        };
        // What is missing stands for zeros.
        let text = text | u128::from_le_bytes([b'A'; CHARACTERS]) << (8 * rest.len());
        *place = groups::bytes(&text.to_le_bytes())?;
    }
    let length = token.len() * 3 / 4;
    // The last bits of a short group are zero, or two tokens would say the same.
    bytes.get(length).is_none_or(|beyond| *beyond == 0).then_some((bytes, length))
}

/// The sixteen characters of twelve bytes, and the twelve bytes of sixteen characters, in the registers of sixteen bytes that
/// every x86-64 processor has. All the unsafe code of this crate is the call of these two.
#[cfg(target_arch = "x86_64")]
mod groups {
    use std::arch::x86_64::*;

    use super::{CHARACTERS, GROUP};

    #[inline]
    pub(super) fn characters(group: &[u8; GROUP]) -> [u8; CHARACTERS] {
        // SAFETY: every x86-64 processor has SSE2.
        unsafe { characters_of(group) }
    }

    #[inline]
    pub(super) fn bytes(characters: &[u8; CHARACTERS]) -> Option<[u8; GROUP]> {
        // SAFETY: every x86-64 processor has SSE2.
        unsafe { bytes_of(characters) }
    }

    #[inline]
    #[target_feature(enable = "sse2")]
    fn characters_of(group: &[u8; GROUP]) -> [u8; CHARACTERS] {
        // Three bytes in each of four lanes, and each of their sextets in a byte of its own.
        let eight = |at: usize| group[at..].first_chunk().map_or(0, |eight| u64::from_be_bytes(*eight));
        let (low, high) = (eight(0) >> 16, eight(4) & 0xFFFF_FFFF_FFFF);
        let lanes = |six: u64| (six << 32 & 0xFF_FFFF << 32 | six >> 24) as i64;
        let bits = _mm_set_epi64x(lanes(high), lanes(low));
        let sextet = |bits, mask| _mm_and_si128(bits, _mm_set1_epi32(mask));
        let values = _mm_or_si128(
            _mm_or_si128(sextet(_mm_srli_epi32::<18>(bits), 0x3F), sextet(_mm_srli_epi32::<4>(bits), 0x3F00)),
            _mm_or_si128(
                sextet(_mm_slli_epi32::<10>(bits), 0x3F_0000),
                sextet(_mm_slli_epi32::<24>(bits), 0x3F00_0000),
            ),
        );
        let from = |first: u8, distance: u8| {
            let reached = _mm_cmpgt_epi8(values, _mm_set1_epi8(first as i8 - 1));
            _mm_and_si128(reached, _mm_set1_epi8(distance as i8))
        };
        let text = _mm_add_epi8(values, _mm_set1_epi8(b'A' as i8));
        let text = _mm_add_epi8(text, from(26, b'a' - b'Z' - 1));
        let text = _mm_sub_epi8(text, from(52, b'z' + 1 - b'0'));
        let text = _mm_sub_epi8(text, from(62, b'9' + 1 - b'-'));
        let text = _mm_add_epi8(text, from(63, b'_' - b'-' - 1));
        halves(text)
    }

    #[inline]
    #[target_feature(enable = "sse2")]
    fn bytes_of(characters: &[u8; CHARACTERS]) -> Option<[u8; GROUP]> {
        let text = u128::from_le_bytes(*characters);
        let text = _mm_set_epi64x((text >> 64) as i64, text as i64);
        let among = |first: u8, last: u8| {
            let place = _mm_sub_epi8(text, _mm_set1_epi8(first as i8));
            _mm_cmpeq_epi8(_mm_min_epu8(place, _mm_set1_epi8((last - first) as i8)), place)
        };
        let (upper, lower, digit) = (among(b'A', b'Z'), among(b'a', b'z'), among(b'0', b'9'));
        let (hyphen, low_line) = (among(b'-', b'-'), among(b'_', b'_'));
        let any = _mm_or_si128(_mm_or_si128(upper, lower), _mm_or_si128(digit, hyphen));
        if _mm_movemask_epi8(_mm_or_si128(any, low_line)) != 0xFFFF {
            return None;
        }
        let moved =
            |kind, first: u8, value: u8| _mm_and_si128(kind, _mm_set1_epi8(value.wrapping_sub(first) as i8));
        let letters = _mm_or_si128(moved(upper, b'A', 0), moved(lower, b'a', 26));
        let others = _mm_or_si128(moved(hyphen, b'-', 62), moved(low_line, b'_', 63));
        let distance = _mm_or_si128(_mm_or_si128(letters, others), moved(digit, b'0', 52));
        let values = _mm_add_epi8(text, distance);
        let sextet = |mask| _mm_and_si128(values, _mm_set1_epi32(mask));
        let bits = _mm_or_si128(
            _mm_or_si128(_mm_slli_epi32::<18>(sextet(0x3F)), _mm_slli_epi32::<4>(sextet(0x3F00))),
            _mm_or_si128(_mm_srli_epi32::<10>(sextet(0x3F_0000)), _mm_srli_epi32::<24>(values)),
        );
        let lanes = u128::from_le_bytes(halves(bits));
        let six = |lanes: u64| (lanes << 24 & 0xFF_FFFF << 24 | lanes >> 32) << 16;
        let mut bytes = [0; GROUP + 2];
        bytes[..8].copy_from_slice(&six(lanes as u64).to_be_bytes());
        bytes[6..].copy_from_slice(&six((lanes >> 64) as u64).to_be_bytes());
        bytes.first_chunk().copied()
    }

    #[inline]
    #[target_feature(enable = "sse2")]
    fn halves(register: __m128i) -> [u8; 16] {
        let low = _mm_cvtsi128_si64(register) as u64;
        let high = _mm_cvtsi128_si64(_mm_unpackhi_epi64(register, register)) as u64;
        (u128::from(high) << 64 | u128::from(low)).to_le_bytes()
    }
}

/// As for x86-64, one by one.
#[cfg(any(test, not(target_arch = "x86_64")))]
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

#[cfg(not(target_arch = "x86_64"))]
use plain as groups;

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
    fn registers_make_the_same_as_one_by_one() {
        for byte in 0..=u8::MAX {
            for place in 0..CHARACTERS {
                let mut text = [b'7'; CHARACTERS];
                text[place] = byte;
                assert_eq!(groups::bytes(&text), plain::bytes(&text), "{byte:#x} at {place}");
                let mut group = [0x5A; GROUP];
                group[place % GROUP] = byte;
                assert_eq!(groups::characters(&group), plain::characters(&group), "{byte:#x} at {place}");
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
        // The last bits of a short group are zero, or two tokens would say the same.
        for (token, same) in
            [(&b"AB"[..], &b"AA"[..]), (b"AAB", b"AAA"), (b"BBBBBBBBBBBBBBBBAB", b"BBBBBBBBBBBBBBBBAA")]
        {
            assert_eq!(decode(token), None);
            assert_eq!(decode(same).map(|(_, length)| length), Some(same.len() * 3 / 4));
        }
    }
}
