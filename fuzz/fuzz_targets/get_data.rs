//! Any bytes as a stream of "get data" frames, in pieces, and as an agent-check line: no panic, nothing kept beyond a frame,
//! and what is believed is encoded again to what is believed.
#![no_main]

use heartbeat::stream::{Frame, FrameReader};
use libfuzzer_sys::fuzz_target;

const KEY: &[u8] = b"a key that no input is signed with";

fuzz_target!(|bytes: &[u8]| {
    let Some((piece, stream)) = bytes.split_first() else { return };
    let mut reader = FrameReader::default();
    'stream: for part in stream.chunks(usize::from(*piece).max(1)) {
        reader.push(part);
        loop {
            match reader.next() {
                Ok(Some(datagram)) => {
                    assert!(Frame::decode(datagram, Some(KEY)).is_err());
                    if let Ok(frame) = Frame::decode(datagram, None) {
                        let again = frame.encode(Some(KEY));
                        assert_eq!(Frame::decode(&again[2..], Some(KEY)), Ok(frame));
                    }
                }
                Ok(None) => break,
                Err(_) => break 'stream,
            }
        }
    }
    let _ = perf::agent_check::parse(bytes);
});
