//! A stream of RESP: bytes of a client to a server of records, and of a server to an engine.
//!
//! Besides not panicking: how the stream is cut changes nothing; a command that is taken is written as it was read; what is held is
//! bounded by the limits.

#![no_main]

use libfuzzer_sys::fuzz_target;
use state::{Bounds, Partition};
use state_redis::resp::{Limits, Malformed, Reader, Value};
use state_redis::wire::{read_answer, read_command, write_answer, write_command};

const LIMITS: Limits = Limits { bytes_max: 4096, values_max: 64, depth_max: 3 };

fn read(stream: &[u8], piece: usize) -> (Vec<Value>, Option<Malformed>) {
    let (mut reader, mut values) = (Reader::new(LIMITS), Vec::new());
    for piece in stream.chunks(piece.max(1)) {
        reader.feed(piece);
        loop {
            match reader.read() {
                Ok(Some(value)) => values.push(value),
                Ok(None) => break,
                Err(malformed) => return (values, Some(malformed)),
            }
        }
    }
    (values, None)
}

fuzz_target!(|bytes: &[u8]| {
    // The first byte is the size of the pieces.
    let Some((&piece, stream)) = bytes.split_first() else { return };
    let (values, malformed) = read(stream, stream.len());
    let (in_pieces, malformed_in_pieces) = read(stream, usize::from(piece));
    assert_eq!((&values, malformed.is_some()), (&in_pieces, malformed_in_pieces.is_some()));
    let mut partition = Partition::new(Bounds { bytes_max: 1 << 16, effects_max: 4 });
    for value in values {
        let Some(words) = value.clone().into_words() else { continue };
        let Ok((number, command)) = read_command(words) else { continue };
        let mut written = Vec::new();
        write_command(number, &command, &mut written);
        let (again, _) = read(&written, usize::from(piece));
        // A command may be longer than it came: it lists all its names.
        if let Some(words) = again.into_iter().next().and_then(Value::into_words) {
            assert_eq!(read_command(words), Ok((number, command.clone())));
        }
        // What anybody sent is no answer, or one that this command may have.
        let _ = read_answer(&command, value);
        let answer = partition.apply(0, command.clone());
        written.clear();
        write_answer(&answer, &mut written);
        let mut reader = Reader::new(Limits::REPLIES);
        reader.feed(&written);
        let value = reader.read().expect("our own RESP").expect("a whole value");
        assert_eq!(read_answer(&command, value), Ok(answer));
    }
});
