//! Looking for the next byte of a kind, 16 or 64 bytes at a time.
//!
//! The kinds are those of [`crate::text`]; here they are only found faster. On x86-64 the vector instructions that every
//! such processor has are used, elsewhere a loop over the table.

use crate::text::{is_host, is_token, is_uri, is_value, is_visible};

/// The first offset from `at` on whose byte cannot be in a token, or the length. Tokens are short: a loop is as good here.
#[inline]
pub(crate) fn token_end(bytes: &[u8], at: usize) -> usize {
    let mut at = at;
    while at < bytes.len() && is_token(bytes[at]) {
        at += 1;
    }
    at
}

/// The first offset from `at` on that holds `wanted`, or the length. Made for what is near: in a few blocks there is
/// nothing to be gained from a search that begins with a choice of instructions.
#[inline(always)]
pub(crate) fn byte(bytes: &[u8], at: usize, wanted: u8) -> usize {
    find(bytes, at, |chunk| kinds::byte(chunk, wanted), |byte| byte == wanted)
}

/// The first offset from `at` on whose byte is white space or a control character, or the length.
#[inline]
pub(crate) fn visible_end(bytes: &[u8], at: usize) -> usize {
    find(bytes, at, kinds::not_visible, |byte| !is_visible(byte))
}

/// The first offset from `at` on whose byte cannot be in an unquoted parameter value, or the length.
#[inline]
pub(crate) fn value_end(bytes: &[u8], at: usize) -> usize {
    find(bytes, at, kinds::no_value, |byte| !is_value(byte))
}

/// The first offset from `at` on whose byte cannot be in a URI, or the length.
#[inline]
pub(crate) fn uri_end(bytes: &[u8], at: usize) -> usize {
    find(bytes, at, kinds::no_uri, |byte| !is_uri(byte))
}

/// The first offset from `at` on whose byte cannot be in a host name, or the length.
#[inline]
pub(crate) fn host_end(bytes: &[u8], at: usize) -> usize {
    find(bytes, at, kinds::no_host, |byte| !is_host(byte))
}

/// `stops` has a bit for each of 16 bytes that `stop` is true for.
#[inline(always)]
fn find(bytes: &[u8], at: usize, stops: impl Fn(&[u8; 16]) -> u32, stop: impl Fn(u8) -> bool) -> usize {
    let mut at = at;
    while let Some(chunk) = bytes.get(at..).and_then(|rest| rest.first_chunk()) {
        let stops = stops(chunk);
        if stops != 0 {
            return at + stops.trailing_zeros() as usize;
        }
        at += 16;
    }
    if at >= bytes.len() {
        return bytes.len();
    }
    // Fewer than 16 are left: the last 16 are looked at, without those before `at`.
    if let Some(chunk) = bytes.last_chunk() {
        let stops = stops(chunk) >> (at + 16 - bytes.len());
        return if stops == 0 { bytes.len() } else { at + stops.trailing_zeros() as usize };
    }
    bytes[at..].iter().position(|&byte| stop(byte)).map_or(bytes.len(), |length| at + length)
}

/// The line ends of a message in order. A carriage return or a line feed without the other is an error: a lenient server would
/// take it for a line end, and so see other header fields than were judged here.
pub(crate) struct LineEnds<'a> {
    bytes: &'a [u8],
    /// Where the block begins that the bits are about.
    block: usize,
    next_block: usize,
    /// The line feeds not yet given.
    ends: u64,
    /// Line feeds behind no carriage return, and bytes behind a carriage return that are no line feed.
    broken: u64,
    /// Whether the block before ended in a carriage return.
    open: u64,
}

pub(crate) enum LineEnd {
    /// The offset behind the line feed.
    At(usize),
    /// A carriage return or a line feed alone, near this offset.
    Broken(usize),
    /// No further line end.
    None,
}

impl<'a> LineEnds<'a> {
    #[inline]
    pub(crate) fn new(bytes: &'a [u8]) -> LineEnds<'a> {
        LineEnds { bytes, block: 0, next_block: 0, ends: 0, broken: 0, open: 0 }
    }

    #[inline(always)]
    pub(crate) fn next(&mut self) -> LineEnd {
        if self.ends == 0
            && let Some(end) = self.load()
        {
            return end;
        }
        let lowest = self.ends & self.ends.wrapping_neg();
        // Only up to and with this line feed: what is broken behind it may be the body.
        if self.broken != 0 && self.broken & (lowest | (lowest - 1)) != 0 {
            return LineEnd::Broken(self.block + self.broken.trailing_zeros() as usize);
        }
        self.ends ^= lowest;
        LineEnd::At(self.block + lowest.trailing_zeros() as usize + 1)
    }

    /// Goes on to the next block that holds a line feed; what ends the search before there is one.
    #[inline(never)]
    fn load(&mut self) -> Option<LineEnd> {
        let (mut block, mut open, mut broken) = (self.next_block, self.open, self.broken);
        loop {
            if broken != 0 {
                return Some(LineEnd::Broken(self.block + broken.trailing_zeros() as usize));
            }
            let rest = self.bytes.get(block..).unwrap_or_default();
            let (feeds, returns) = match rest.first_chunk() {
                Some(block) => kinds::line_ends(block),
                None if rest.is_empty() => return Some(LineEnd::None),
                None => self.last_block(rest),
            };
            broken = (returns << 1 | open) ^ feeds;
            open = returns >> 63;
            self.block = block;
            block += 64;
            if feeds != 0 {
                (self.ends, self.broken, self.open, self.next_block) = (feeds, broken, open, block);
                return None;
            }
        }
    }

    /// The bits of a block that is not full. A carriage return at its very end is left out: what would be behind it is
    /// not there, so it is not broken but cut off.
    fn last_block(&self, rest: &[u8]) -> (u64, u64) {
        let (feeds, returns) = if let Some(block) = self.bytes.last_chunk() {
            let (feeds, returns) = kinds::line_ends(block);
            (feeds >> (64 - rest.len()), returns >> (64 - rest.len()))
        } else {
            let mut block = [0; 64];
            block[..rest.len()].copy_from_slice(rest);
            kinds::line_ends(&block)
        };
        (feeds, returns & !(1 << (rest.len() - 1)))
    }
}

#[cfg(target_arch = "x86_64")]
mod vectors {
    use std::arch::x86_64::*;

    #[inline]
    #[target_feature(enable = "sse2")]
    fn load(chunk: &[u8; 16]) -> __m128i {
        // SAFETY: the load takes any alignment, and all its 16 bytes are those of the chunk.
        unsafe { _mm_loadu_si128(chunk.as_ptr().cast()) }
    }

    #[inline]
    #[target_feature(enable = "sse2")]
    fn is(bytes: __m128i, byte: u8) -> __m128i {
        _mm_cmpeq_epi8(bytes, _mm_set1_epi8(byte as i8))
    }

    #[inline]
    #[target_feature(enable = "sse2")]
    fn is_between(bytes: __m128i, first: u8, last: u8) -> __m128i {
        let above = _mm_sub_epi8(bytes, _mm_set1_epi8(first as i8));
        _mm_cmpeq_epi8(_mm_min_epu8(above, _mm_set1_epi8((last - first) as i8)), above)
    }

    #[inline]
    #[target_feature(enable = "sse2")]
    fn any(kinds: [__m128i; 4]) -> __m128i {
        _mm_or_si128(_mm_or_si128(kinds[0], kinds[1]), _mm_or_si128(kinds[2], kinds[3]))
    }

    #[inline]
    #[target_feature(enable = "sse2")]
    fn bits(kind: __m128i) -> u32 {
        _mm_movemask_epi8(kind) as u32
    }

    /// Control characters, space, delete, quote; `<` and `>` only differ in one bit.
    #[inline]
    #[target_feature(enable = "sse2")]
    fn no_uri_kind(bytes: __m128i) -> __m128i {
        let bracket = is(_mm_or_si128(bytes, _mm_set1_epi8(2)), b'>');
        any([is_between(bytes, 0, b' '), is(bytes, 0x7F), is(bytes, b'"'), bracket])
    }

    #[inline]
    #[target_feature(enable = "sse2")]
    pub(super) fn byte(chunk: &[u8; 16], wanted: u8) -> u32 {
        bits(is(load(chunk), wanted))
    }

    #[inline]
    #[target_feature(enable = "sse2")]
    pub(super) fn not_visible(chunk: &[u8; 16]) -> u32 {
        let bytes = load(chunk);
        bits(_mm_or_si128(is_between(bytes, 0, b' '), is(bytes, 0x7F)))
    }

    #[inline]
    #[target_feature(enable = "sse2")]
    pub(super) fn no_uri(chunk: &[u8; 16]) -> u32 {
        bits(no_uri_kind(load(chunk)))
    }

    #[inline]
    #[target_feature(enable = "sse2")]
    pub(super) fn no_value(chunk: &[u8; 16]) -> u32 {
        let bytes = load(chunk);
        let separator = _mm_or_si128(is(bytes, b';'), is(bytes, b','));
        bits(_mm_or_si128(no_uri_kind(bytes), separator))
    }

    #[inline]
    #[target_feature(enable = "sse2")]
    pub(super) fn no_host(chunk: &[u8; 16]) -> u32 {
        let bytes = load(chunk);
        let letter = is_between(_mm_or_si128(bytes, _mm_set1_epi8(0x20)), b'a', b'z');
        let good =
            any([letter, is_between(bytes, b'0', b'9'), is_between(bytes, b'-', b'.'), is(bytes, b'_')]);
        bits(good) ^ 0xFFFF
    }

    /// Line feeds and carriage returns.
    #[inline]
    #[target_feature(enable = "sse2")]
    pub(super) fn line_ends(block: &[u8; 64]) -> (u64, u64) {
        let (mut feeds, mut returns) = (0, 0);
        let (chunks, _) = block.as_chunks::<16>();
        for (at, chunk) in chunks.iter().enumerate() {
            let bytes = load(chunk);
            feeds |= u64::from(bits(is(bytes, b'\n'))) << (16 * at);
            returns |= u64::from(bits(is(bytes, b'\r'))) << (16 * at);
        }
        (feeds, returns)
    }

    /// The same with registers twice as wide.
    #[target_feature(enable = "avx2")]
    pub(super) fn line_ends_wide(block: &[u8; 64]) -> (u64, u64) {
        let (chunks, _) = block.as_chunks::<32>();
        // SAFETY: the load takes any alignment, and all its 32 bytes are those of the chunk.
        let load = |chunk: &[u8; 32]| unsafe { _mm256_loadu_si256(chunk.as_ptr().cast()) };
        let (low, high) = (load(&chunks[0]), load(&chunks[1]));
        let bits = |byte: u8| {
            let bits =
                |bytes| _mm256_movemask_epi8(_mm256_cmpeq_epi8(bytes, _mm256_set1_epi8(byte as i8))) as u32;
            u64::from(bits(low)) | u64::from(bits(high)) << 32
        };
        (bits(b'\n'), bits(b'\r'))
    }
}

/// The choice of instructions. Here and in the loads above is all the unsafe code of this crate.
#[cfg(target_arch = "x86_64")]
mod kinds {
    use super::vectors;

    #[inline]
    pub(super) fn byte(chunk: &[u8; 16], wanted: u8) -> u32 {
        // SAFETY: every x86-64 processor has SSE2.
        unsafe { vectors::byte(chunk, wanted) }
    }

    #[inline]
    pub(super) fn not_visible(chunk: &[u8; 16]) -> u32 {
        // SAFETY: every x86-64 processor has SSE2.
        unsafe { vectors::not_visible(chunk) }
    }

    #[inline]
    pub(super) fn no_uri(chunk: &[u8; 16]) -> u32 {
        // SAFETY: every x86-64 processor has SSE2.
        unsafe { vectors::no_uri(chunk) }
    }

    #[inline]
    pub(super) fn no_value(chunk: &[u8; 16]) -> u32 {
        // SAFETY: every x86-64 processor has SSE2.
        unsafe { vectors::no_value(chunk) }
    }

    #[inline]
    pub(super) fn no_host(chunk: &[u8; 16]) -> u32 {
        // SAFETY: every x86-64 processor has SSE2.
        unsafe { vectors::no_host(chunk) }
    }

    #[inline]
    pub(super) fn line_ends(block: &[u8; 64]) -> (u64, u64) {
        if is_x86_feature_detected!("avx2") {
            // SAFETY: this processor has AVX2.
            unsafe { vectors::line_ends_wide(block) }
        } else {
            // SAFETY: every x86-64 processor has SSE2.
            unsafe { vectors::line_ends(block) }
        }
    }
}

#[cfg(not(target_arch = "x86_64"))]
mod kinds {
    use super::{is_host, is_uri, is_value, is_visible};

    fn bits<const N: usize>(bytes: &[u8; N], is: impl Fn(u8) -> bool) -> u64 {
        (0..N).fold(0, |bits, at| bits | u64::from(is(bytes[at])) << at)
    }

    pub(super) fn byte(chunk: &[u8; 16], wanted: u8) -> u32 {
        bits(chunk, |byte| byte == wanted) as u32
    }

    pub(super) fn not_visible(chunk: &[u8; 16]) -> u32 {
        bits(chunk, |byte| !is_visible(byte)) as u32
    }

    pub(super) fn no_uri(chunk: &[u8; 16]) -> u32 {
        bits(chunk, |byte| !is_uri(byte)) as u32
    }

    pub(super) fn no_value(chunk: &[u8; 16]) -> u32 {
        bits(chunk, |byte| !is_value(byte)) as u32
    }

    pub(super) fn no_host(chunk: &[u8; 16]) -> u32 {
        bits(chunk, |byte| !is_host(byte)) as u32
    }

    /// Line feeds and carriage returns.
    pub(super) fn line_ends(block: &[u8; 64]) -> (u64, u64) {
        (bits(block, |byte| byte == b'\n'), bits(block, |byte| byte == b'\r'))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_kinds_are_those_of_the_table() {
        for byte in 0..=u8::MAX {
            for place in 0..16 {
                let mut chunk = [b'a'; 16];
                chunk[place] = byte;
                let bit = |stop: bool| u32::from(stop) << place;
                assert_eq!(kinds::byte(&chunk, byte) >> place & 1, 1, "byte {byte:#x}");
                assert_eq!(kinds::byte(&chunk, b'@'), bit(byte == b'@'), "at {byte:#x}");
                assert_eq!(kinds::not_visible(&chunk), bit(!is_visible(byte)), "visible {byte:#x}");
                assert_eq!(kinds::no_value(&chunk), bit(!is_value(byte)), "value {byte:#x}");
                assert_eq!(kinds::no_uri(&chunk), bit(!is_uri(byte)), "uri {byte:#x}");
                assert_eq!(kinds::no_host(&chunk), bit(!is_host(byte)), "host {byte:#x}");
            }
        }
    }

    fn check(given: &str, at: usize, expected: usize) {
        assert_eq!(value_end(given.as_bytes(), at), expected, "{given} from {at}");
    }

    #[test]
    #[cfg(target_arch = "x86_64")]
    fn wide_and_narrow_registers_see_the_same() {
        let block = std::array::from_fn(|at| b"\r\nx\0\n\r\x8D\x8A"[at * 7 / 3 % 8]);
        // SAFETY: every x86-64 processor has SSE2.
        assert_eq!(unsafe { vectors::line_ends(&block) }, kinds::line_ends(&block));
    }

    #[test]
    fn ends_at_every_length() {
        for length in 0..70 {
            let plain = "x".repeat(length);
            for at in 0..=length {
                check(&plain, at, length);
                check(&format!("{plain};yyyyyyyyyyyyyyyyyyyy"), at, length);
                check(&format!(";{plain};"), at + 1, length + 1);
            }
        }
        assert_eq!(host_end(b"client.atlanta.example.com:5060", 0), 26);
        assert_eq!(uri_end(b"sip:a@b;c,d>;tag=x,y", 0), 11);
    }

    /// What [`LineEnds`] gives until the first empty line, in words.
    fn ends(bytes: &[u8]) -> Vec<usize> {
        let mut ends = LineEnds::new(bytes);
        let mut seen = vec![];
        while let LineEnd::At(end) = ends.next() {
            seen.push(end);
        }
        seen
    }

    proptest! {
        #[test]
        fn line_ends_are_all_found(lines in prop::collection::vec("[a-z]{0,90}", 0..12), rest in "[a-z]{0,9}") {
            let mut text = String::new();
            let mut expected = vec![];
            for line in lines {
                text.push_str(&line);
                text.push_str("\r\n");
                expected.push(text.len());
            }
            text.push_str(&rest);
            prop_assert_eq!(ends(text.as_bytes()), expected);
        }

        #[test]
        fn a_line_end_that_is_none_stops(before in 0usize..150, behind in 0usize..90, which in 0..2) {
            let lone = [b'\r', b'\n'][which as usize];
            let mut bytes = b"abc\r\n".to_vec();
            bytes.extend(std::iter::repeat_n(b'x', before));
            bytes.push(lone);
            bytes.extend(std::iter::repeat_n(b'y', behind + 1));
            bytes.extend_from_slice(b"\r\n");
            let mut ends = LineEnds::new(&bytes);
            prop_assert!(matches!(ends.next(), LineEnd::At(5)));
            prop_assert!(matches!(ends.next(), LineEnd::Broken(at) if at == 5 + before || at == 6 + before));
        }
    }
}
