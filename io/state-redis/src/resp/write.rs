//! Writes values of RESP 2.

use std::io::Write;

fn number(sign: u8, number: i64, out: &mut Vec<u8>) {
    out.push(sign);
    // Writing to memory does not fail.
    let _ = write!(out, "{number}\r\n");
}

fn line(sign: u8, text: &str, out: &mut Vec<u8>) {
    out.push(sign);
    // A line ends at the first of these.
    out.extend(text.bytes().map(|byte| if matches!(byte, b'\r' | b'\n') { b' ' } else { byte }));
    out.extend_from_slice(b"\r\n");
}

/// The head of an array; this number of values follows.
pub fn write_array(values: usize, out: &mut Vec<u8>) {
    number(b'*', i64::try_from(values).unwrap_or(i64::MAX), out);
}

/// A byte string.
pub fn write_bytes(bytes: &[u8], out: &mut Vec<u8>) {
    number(b'$', i64::try_from(bytes.len()).unwrap_or(i64::MAX), out);
    out.extend_from_slice(bytes);
    out.extend_from_slice(b"\r\n");
}

pub fn write_nil(out: &mut Vec<u8>) {
    out.extend_from_slice(b"$-1\r\n");
}

pub fn write_integer(integer: i64, out: &mut Vec<u8>) {
    number(b':', integer, out);
}

/// A short text in one line.
pub fn write_status(text: &str, out: &mut Vec<u8>) {
    line(b'+', text, out);
}

/// What went wrong, in one line; its first word is the kind.
pub fn write_error(text: &str, out: &mut Vec<u8>) {
    line(b'-', text, out);
}

/// A command: an array of byte strings.
pub fn write_words(words: &[&[u8]], out: &mut Vec<u8>) {
    write_array(words.len(), out);
    words.iter().for_each(|word| write_bytes(word, out));
}
