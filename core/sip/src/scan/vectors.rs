//! Which bytes of a block are of a kind, by the vector instructions of x86-64. Whoever calls a function here must know that the
//! processor has the instructions that it names.

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
pub(super) fn digits(chunk: &[u8; 16]) -> u32 {
    bits(is_between(load(chunk), b'0', b'9'))
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
    let good = any([letter, is_between(bytes, b'0', b'9'), is_between(bytes, b'-', b'.'), is(bytes, b'_')]);
    bits(good) ^ 0xFFFF
}

#[inline]
#[target_feature(enable = "sse2")]
pub(super) fn line_ends(block: &[u8; 64]) -> super::Controls {
    let (mut feeds, mut returns, mut controls) = (0, 0, 0);
    let (chunks, _) = block.as_chunks::<16>();
    for (at, chunk) in chunks.iter().enumerate() {
        let bytes = load(chunk);
        feeds |= u64::from(bits(is(bytes, b'\n'))) << (16 * at);
        returns |= u64::from(bits(is(bytes, b'\r'))) << (16 * at);
        let control = _mm_or_si128(is_between(bytes, 0, 0x1F), is(bytes, 0x7F));
        controls |= u64::from(bits(control)) << (16 * at);
    }
    (feeds, returns, controls)
}

/// With registers twice as wide and the instructions for single bits, which one processor has not without the other.
#[target_feature(enable = "avx2,bmi1")]
pub(super) fn head_wide(bytes: &[u8], ends: &mut Vec<u32>) -> (super::HeadEnd, bool) {
    super::head(bytes, ends, |block| line_ends_wide(block))
}

#[inline]
#[target_feature(enable = "avx2")]
pub(super) fn line_ends_wide(block: &[u8; 64]) -> super::Controls {
    let (chunks, _) = block.as_chunks::<32>();
    // SAFETY: the load takes any alignment, and all its 32 bytes are those of the chunk.
    let load = |chunk: &[u8; 32]| unsafe { _mm256_loadu_si256(chunk.as_ptr().cast()) };
    let (low, high) = (load(&chunks[0]), load(&chunks[1]));
    let bits = |low, high| {
        u64::from(_mm256_movemask_epi8(low) as u32) | u64::from(_mm256_movemask_epi8(high) as u32) << 32
    };
    let is = |bytes, byte: u8| _mm256_cmpeq_epi8(bytes, _mm256_set1_epi8(byte as i8));
    let control = |bytes| {
        let low = _mm256_cmpeq_epi8(_mm256_min_epu8(bytes, _mm256_set1_epi8(0x1F)), bytes);
        _mm256_or_si256(low, is(bytes, 0x7F))
    };
    let all = |byte| bits(is(low, byte), is(high, byte));
    (all(b'\n'), all(b'\r'), bits(control(low), control(high)))
}
