//! A WebSocket session: any bytes from a client, before and after the upgrade, and a message of these bytes in frames as an
//! honest client writes them.
//!
//! Besides not panicking: however the stream is cut, the same messages come out and it ends for the same reason; what is kept is
//! bounded, and ages from when it began; what an honest client sends arrives as it was.

#![no_main]

use base::Time;
use libfuzzer_sys::fuzz_target;
use net::websocket::{End, WebSocket};
use sip::frame::MESSAGE_BYTES_MAX;

const UPGRADE: &[u8] = b"GET / HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
    Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Protocol: sip\r\nSec-WebSocket-Version: 13\r\n\r\n";
/// Kept at most: a frame that is not whole with its head, and the fragments before it, whose room may be twice what it holds.
const HELD_MAX: usize = 3 * (MESSAGE_BYTES_MAX + 16);
/// After more pings than these some may be unanswered, and the cuts say which.
const PINGS_ANSWERED: u64 = 16;

fuzz_target!(|bytes: &[u8]| {
    let after_upgrade = [UPGRADE, bytes].concat();
    for stream in [bytes, &after_upgrade] {
        let whole = session(stream, std::iter::once(stream.len()));
        // Cuts that the bytes themselves choose.
        let cuts = stream.iter().map(|byte| usize::from(byte % 61));
        for other in [session(stream, std::iter::repeat_n(1, stream.len())), session(stream, cuts)] {
            assert_eq!((&whole.messages, whole.pings, whole.end), (&other.messages, other.pings, other.end));
            assert!(whole.pings > PINGS_ANSWERED || whole.answer == other.answer);
        }
    }
    honest(bytes);
});

#[derive(Default)]
struct Seen {
    messages: Vec<Vec<u8>>,
    pings: u64,
    answer: Vec<u8>,
    end: Option<End>,
}

/// All that comes of the stream when it arrives in pieces of these lengths, one each second.
fn session(stream: &[u8], pieces: impl Iterator<Item = usize>) -> Seen {
    let (mut socket, mut seen, mut at) = (WebSocket::default(), Seen::default(), 0);
    let mut partial_since = None;
    for (second, piece) in pieces.chain(std::iter::once(stream.len())).enumerate() {
        let end = stream.len().min(at + piece);
        if at == end {
            continue;
        }
        let (now, before) = (Time::from_secs(second as u64), seen.messages.len());
        let taken = socket.take_in(&stream[at..end], now, &mut |message| seen.messages.push(message.to_vec()));
        at = end;
        assert_eq!((seen.messages.len() - before) as u64, taken.messages);
        seen.pings += taken.pings;
        seen.answer.extend_from_slice(&taken.answer);
        seen.end = taken.end;
        if taken.end.is_some() {
            break;
        }
        assert!(socket.held() <= HELD_MAX, "{} bytes are kept", socket.held());
        assert!(socket.partial_since().is_some() || socket.held() == 0);
        assert!(socket.partial_since().is_none_or(|since| partial_since <= Some(since) && since <= now));
        partial_since = socket.partial_since();
    }
    assert!(seen.messages.iter().all(|message| message.len() <= MESSAGE_BYTES_MAX));
    seen
}

/// The bytes as one binary message, in fragments with pings between them where the bytes say so.
fn honest(bytes: &[u8]) {
    let message = &bytes[..bytes.len().min(MESSAGE_BYTES_MAX)];
    let (mut stream, mut at, mut pings) = (UPGRADE.to_vec(), 0, 0);
    loop {
        let choice = message.get(at).map_or(0, |byte| usize::from(*byte));
        let end = if choice % 3 == 0 { message.len() } else { message.len().min(at + choice * choice) };
        let first = u8::from(end == message.len()) << 7 | if at == 0 { 2 } else { 0 };
        frame(first, &message[at..end], [7, choice as u8, 0, 9], &mut stream);
        at = end;
        if at == message.len() {
            break;
        }
        if choice % 2 == 0 && pings < PINGS_ANSWERED {
            frame(0x89, b"still there?", [1; 4], &mut stream);
            pings += 1;
        }
    }
    let seen = session(&stream, message.iter().map(|byte| usize::from(byte % 61) * 60));
    let is_blank = message.iter().all(|byte| b"\r\n".contains(byte));
    assert_eq!((seen.end, seen.messages.len()), (None, usize::from(!is_blank)));
    assert!(seen.messages.iter().all(|seen| seen == message));
    assert_eq!(seen.pings, pings + u64::from(message == b"\r\n\r\n"));
}

fn frame(first: u8, payload: &[u8], mask: [u8; 4], out: &mut Vec<u8>) {
    match payload.len() {
        short @ 0..126 => out.extend_from_slice(&[first, 0x80 | short as u8]),
        long => out.extend_from_slice(&[first, 0xFE, (long >> 8) as u8, long as u8]),
    }
    out.extend_from_slice(&mask);
    out.extend(payload.iter().zip(mask.iter().cycle()).map(|(byte, mask)| byte ^ mask));
}
