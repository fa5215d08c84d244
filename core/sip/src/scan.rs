//! Finds the next byte of a kind, 16 or 64 bytes at a time.
//!
//! The kinds are those of [`crate::text`]; this module only finds them faster. On x86-64 it uses the vector instructions
//! that every such processor has, elsewhere a loop over the table.

use crate::classes::{is_host, is_token, is_uri, is_value, is_visible};
use crate::work;

/// The first offset from `at` on whose byte cannot be in a token, or the length. Tokens are short: a loop is as good here.
#[inline]
pub(crate) fn token_end(bytes: &[u8], at: usize) -> usize {
    let mut at = at;
    while at < bytes.len() && is_token(bytes[at]) {
        work::step();
        at += 1;
    }
    at
}

/// The first offset from `at` on that holds `wanted`, or the length. Made for near bytes: for a few blocks, a search that
/// first chooses its instructions would gain nothing.
#[inline(always)]
pub(crate) fn byte(bytes: &[u8], at: usize, wanted: u8) -> usize {
    find(bytes, at, |chunk| kinds::byte(chunk, wanted), |byte| byte == wanted)
}

/// The first of 16 bytes that is `wanted`; 16 or more when none is.
#[inline(always)]
pub(crate) fn byte_in(chunk: &[u8; 16], wanted: u8) -> usize {
    (kinds::byte(chunk, wanted) | 1 << 16).trailing_zeros() as usize
}

/// A bit for each of 16 bytes that is a digit, and for each that is a dot.
#[inline(always)]
pub(crate) fn digits_and_dots(chunk: &[u8; 16]) -> (u32, u32) {
    (kinds::digits(chunk), kinds::byte(chunk, b'.'))
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
    work::step();
    while let Some(chunk) = bytes.get(at..).and_then(|rest| rest.first_chunk()) {
        work::step();
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

/// How the lines of a message's head end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum HeadEnd {
    /// With an empty line; the offset behind it.
    EmptyLine(usize),
    /// With a carriage return or a line feed alone, near this offset. It is an error: a lenient server would take it for a
    /// line end, and would see other header fields than we checked here.
    Broken(usize),
    /// The message ends before its lines do.
    Open,
}

/// Puts into `ends` the offset behind each line end up to and with the first empty line, or up to what is broken. Also whether
/// there is a control character before it that ends no line: a tab, or what may only stand in a quoted string.
#[inline]
pub(crate) fn line_ends(bytes: &[u8], ends: &mut Vec<u32>) -> (HeadEnd, bool) {
    kinds::head(bytes, ends)
}

/// Where in a block of 64 bytes the line feeds, the carriage returns, and all control characters are.
type Controls = (u64, u64, u64);

/// `line_ends` tells what a block holds.
#[inline(always)]
fn head(bytes: &[u8], ends: &mut Vec<u32>, line_ends: impl Fn(&[u8; 64]) -> Controls) -> (HeadEnd, bool) {
    ends.clear();
    let mut other = 0;
    // A carriage return at the end of the block before, and line feeds in its last two bytes.
    let (mut open, mut before) = (0, 0);
    let (blocks, last) = bytes.as_chunks();
    let mut blocks = blocks.iter();
    let mut at = 0;
    loop {
        work::step();
        let (feeds, returns, controls) = match blocks.next() {
            Some(block) => line_ends(block),
            None if at >= bytes.len() => return (HeadEnd::Open, other != 0),
            None => line_ends_of_last(bytes, last.len()),
        };
        // Line feeds behind no carriage return, and bytes behind a carriage return that are no line feed.
        let broken = (returns << 1 | open) ^ feeds;
        let empty = feeds & (feeds << 2 | before);
        (open, before) = (returns >> 63, feeds >> 62);
        // What is behind the first empty line is the body.
        let head = empty ^ empty.wrapping_sub(1);
        other |= (controls ^ (feeds | returns)) & head;
        let broken = broken & head;
        let mut rest = feeds & head & (broken ^ broken.wrapping_sub(1));
        while rest != 0 {
            ends.push(at as u32 + rest.trailing_zeros() + 1);
            rest &= rest - 1;
        }
        if broken != 0 {
            return (broken_at(at + broken.trailing_zeros() as usize, ends), other != 0);
        }
        if empty != 0 {
            return (HeadEnd::EmptyLine(at + empty.trailing_zeros() as usize + 1), other != 0);
        }
        at += 64;
    }
}

/// A line feed that is itself broken ends no line.
#[cold]
fn broken_at(at: usize, ends: &mut Vec<u32>) -> HeadEnd {
    if ends.last() == Some(&(at as u32 + 1)) {
        ends.pop();
    }
    HeadEnd::Broken(at)
}

/// The bits of the last `length` bytes, which fill no block. A carriage return at the very end is left out: what would be
/// behind it is not there, so it is not broken but cut off.
#[inline(never)]
fn line_ends_of_last(bytes: &[u8], length: usize) -> Controls {
    let (feeds, returns, controls) = if let Some(block) = bytes.last_chunk() {
        let (feeds, returns, controls) = kinds::line_ends(block);
        let before = 64 - length;
        (feeds >> before, returns >> before, controls >> before)
    } else {
        let mut block = [b' '; 64];
        block[..length].copy_from_slice(bytes);
        kinds::line_ends(&block)
    };
    let there = !(1 << (length - 1));
    (feeds, returns & there, controls & (there | !returns))
}

/// The choice of instructions. Here and in `vectors` is all the unsafe code of this crate.
#[cfg(target_arch = "x86_64")]
mod kinds {
    use super::vectors;

    #[inline]
    pub(super) fn byte(chunk: &[u8; 16], wanted: u8) -> u32 {
        // SAFETY: every x86-64 processor has SSE2.
        unsafe { vectors::byte(chunk, wanted) }
    }

    #[inline]
    pub(super) fn digits(chunk: &[u8; 16]) -> u32 {
        // SAFETY: every x86-64 processor has SSE2.
        unsafe { vectors::digits(chunk) }
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
    pub(super) fn head(bytes: &[u8], ends: &mut Vec<u32>) -> (super::HeadEnd, bool) {
        if is_x86_feature_detected!("avx2") && is_x86_feature_detected!("bmi1") {
            // SAFETY: this processor has both.
            unsafe { vectors::head_wide(bytes, ends) }
        } else {
            super::head(bytes, ends, line_ends)
        }
    }

    #[inline]
    pub(super) fn line_ends(block: &[u8; 64]) -> super::Controls {
        // SAFETY: every x86-64 processor has SSE2.
        unsafe { vectors::line_ends(block) }
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

    pub(super) fn digits(chunk: &[u8; 16]) -> u32 {
        bits(chunk, |byte| byte.is_ascii_digit()) as u32
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

    pub(super) fn head(bytes: &[u8], ends: &mut Vec<u32>) -> (super::HeadEnd, bool) {
        super::head(bytes, ends, line_ends)
    }

    pub(super) fn line_ends(block: &[u8; 64]) -> super::Controls {
        let all = |wanted| bits(block, |byte| byte == wanted);
        (all(b'\n'), all(b'\r'), bits(block, |byte| byte.is_ascii_control()))
    }
}

#[cfg(target_arch = "x86_64")]
mod vectors;

#[cfg(test)]
mod tests;
