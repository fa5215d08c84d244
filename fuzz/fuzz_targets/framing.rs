//! A stream cut into reads in any way gives the same frames as in one piece, and what is framed the parser can read.

#![no_main]

use libfuzzer_sys::fuzz_target;
use sip::frame::{Frame, Framer};
use sip::{Length, Malformed, Parser};

fuzz_target!(|stream: &[u8]| {
    let whole = frames(stream, std::iter::once(stream.len()));
    assert_eq!(whole, frames(stream, std::iter::repeat_n(1, stream.len())));
    // Cuts that the bytes themselves choose, so that the torture messages are a corpus as they are.
    assert_eq!(whole, frames(stream, stream.iter().map(|byte| usize::from(byte % 61))));
});

/// All frames of the stream, as a connection takes them when it arrives in pieces of these lengths.
fn frames(stream: &[u8], pieces: impl Iterator<Item = usize>) -> Vec<Frame> {
    let (mut framer, mut seen) = (Framer::default(), Vec::new());
    let (mut start, mut end) = (0, 0);
    for piece in pieces.chain(std::iter::once(stream.len())) {
        end = stream.len().min(end + piece);
        loop {
            let frame = framer.next(&stream[start..end]);
            match frame {
                Frame::Incomplete => break,
                Frame::Broken(_) => {
                    seen.push(frame);
                    return seen;
                }
                Frame::Message(bytes) => {
                    read(&stream[start..start + bytes]);
                    start += bytes;
                }
                Frame::WithoutLength(_) => panic!("only a server may leave the length out"),
                Frame::Ping(bytes) | Frame::Blank(bytes) => {
                    assert!(stream[start..start + bytes].iter().all(|byte| b"\r\n".contains(byte)));
                    start += bytes;
                }
            }
            assert!(start <= end);
            seen.push(frame);
        }
    }
    seen
}

/// Framer and parser see the same end: no byte behind the body, none missing.
fn read(bytes: &[u8]) {
    match Parser::new().parse(bytes) {
        Ok(message) => {
            assert_eq!(message.end() as usize, bytes.len());
            assert_eq!(message.length(), Length::Bytes(message.body().len() as u32));
        }
        Err(Malformed::HeaderLine { .. } | Malformed::TooManyHeaders) => {}
        Err(malformed) => panic!("{malformed:?}"),
    }
}
