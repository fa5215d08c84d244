//! "Get data" over a stream (SPEC B3, FIG. 12 and 13): a performance server asks an agent, or a load manager a performance
//! server, over one lasting connection. Each frame is a length of two bytes in network byte order and a datagram: a
//! [`Query`], the [`Heartbeat`] of a server, or the [`End`] of an answer.
//!
//! An answer is a heartbeat for each server, with the nonce of the query, and an end with their number. A heartbeat without
//! a nonce is a notification that nobody asked for: the server is above a threshold, or its state has changed. Each datagram
//! is signed as over UDP.

use crate::authenticator::{self, AUTHENTICATOR_BYTES};
use crate::datagram::{DATAGRAM_BYTES_MAX, Heartbeat};
use crate::form::Form;
use crate::ignored::Ignored;
use crate::query::{QUERY_ID, Query};

/// First field of an end, in network byte order.
pub const END_ID: u32 = Form::End.id();

/// Length of every end: id, number of servers, nonce, authenticator (zero without a key).
pub const END_BYTES: usize = 32;

const COVERED_BYTES: usize = END_BYTES - AUTHENTICATOR_BYTES;

/// Length of the length.
const LENGTH_BYTES: usize = 2;

/// The longest frame, including its length. A stream that announces a longer frame is not a stream of ours.
pub const FRAME_BYTES_MAX: usize = LENGTH_BYTES + DATAGRAM_BYTES_MAX;

/// Ends an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct End {
    /// The nonce of the query.
    pub nonce: u64,
    /// How many heartbeats the answer has.
    pub servers: u32,
}

/// One frame, without its length.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Frame {
    Query(Query),
    Heartbeat(Heartbeat),
    End(End),
}

impl Frame {
    /// The frame as it goes into the stream, length in front.
    pub fn encode(&self, key: Option<&[u8]>) -> Vec<u8> {
        match self {
            Frame::Query(query) => framed(&query.encode(key)),
            Frame::Heartbeat(heartbeat) => framed(&heartbeat.encode(key)),
            Frame::End(end) => framed(&end.encode(key)),
        }
    }

    /// Reads a datagram from [`FrameReader::next`]. With a key, only a datagram with the right authenticator is accepted.
    pub fn decode(bytes: &[u8], key: Option<&[u8]>) -> Result<Frame, Ignored> {
        let id = bytes.first_chunk::<4>().ok_or(Ignored::Short)?;
        match u32::from_be_bytes(*id) {
            QUERY_ID => Query::decode(bytes, key).map(Frame::Query),
            END_ID => End::decode(bytes, key).map(Frame::End),
            _ => Heartbeat::decode(bytes, key).map(Frame::Heartbeat),
        }
    }
}

/// Puts the length in front of a datagram. A datagram that is too long for a frame becomes empty, which every reader
/// refuses; ours are never too long.
pub fn framed(datagram: &[u8]) -> Vec<u8> {
    let datagram = if datagram.len() > DATAGRAM_BYTES_MAX { &[] } else { datagram };
    let mut bytes = Vec::with_capacity(LENGTH_BYTES + datagram.len());
    bytes.extend_from_slice(&(datagram.len() as u16).to_be_bytes());
    bytes.extend_from_slice(datagram);
    bytes
}

impl End {
    fn encode(&self, key: Option<&[u8]>) -> [u8; END_BYTES] {
        let mut bytes = [0; END_BYTES];
        bytes[..4].copy_from_slice(&END_ID.to_be_bytes());
        bytes[4..8].copy_from_slice(&self.servers.to_be_bytes());
        bytes[8..16].copy_from_slice(&self.nonce.to_be_bytes());
        if let Some(key) = key {
            let authenticator = authenticator::make(key, &bytes[..COVERED_BYTES]);
            bytes[COVERED_BYTES..].copy_from_slice(&authenticator);
        }
        bytes
    }

    fn decode(bytes: &[u8], key: Option<&[u8]>) -> Result<End, Ignored> {
        if bytes.len() > END_BYTES {
            return Err(Ignored::Long);
        }
        let covered = authenticator::covered::<COVERED_BYTES>(bytes, key)?;
        let (mut servers, mut nonce) = ([0; 4], [0; 8]);
        servers.copy_from_slice(&covered[4..8]);
        nonce.copy_from_slice(&covered[8..16]);
        Ok(End { nonce: u64::from_be_bytes(nonce), servers: u32::from_be_bytes(servers) })
    }
}

/// Cuts a stream into frames, in whatever pieces the stream comes. Holds at most one frame and the last piece.
#[derive(Debug, Default)]
pub struct FrameReader {
    bytes: Vec<u8>,
    at: usize,
}

impl FrameReader {
    /// The bytes that were read from the stream. Call [`FrameReader::next`] after this until it returns nothing.
    pub fn push(&mut self, bytes: &[u8]) {
        self.bytes.drain(..self.at);
        self.at = 0;
        self.bytes.extend_from_slice(bytes);
    }

    /// The next complete datagram. An error is final: after a wrong length, the beginning of the next frame is unknown.
    #[allow(clippy::should_implement_trait, reason = "an iterator could not lend")]
    pub fn next(&mut self) -> Result<Option<&[u8]>, Ignored> {
        let rest = &self.bytes[self.at..];
        let Some((length, rest)) = rest.split_first_chunk::<LENGTH_BYTES>() else { return Ok(None) };
        let length = usize::from(u16::from_be_bytes(*length));
        match length {
            0 => Err(Ignored::Short),
            _ if length > DATAGRAM_BYTES_MAX => Err(Ignored::Long),
            _ => {
                let found = rest.get(..length);
                if found.is_some() {
                    self.at += LENGTH_BYTES + length;
                }
                Ok(found)
            }
        }
    }

    /// Whether a frame has begun and not ended.
    pub fn is_within_frame(&self) -> bool {
        self.at < self.bytes.len()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::datagram::ServerState;

    const KEY: &[u8] = b"sixteen bytes...";

    fn frames() -> [Frame; 3] {
        let heartbeat = Heartbeat {
            nonce: Some(7),
            age_ms: Some(250),
            down: true,
            ..Heartbeat::plain(3, 5060, ServerState::Started)
        };
        [
            Frame::Query(Query { nonce: 7 }),
            Frame::Heartbeat(heartbeat),
            Frame::End(End { nonce: 7, servers: 1 }),
        ]
    }

    #[test]
    fn the_end_is_these_bytes() {
        let bytes = Frame::End(End { nonce: 0x0102_0304_0506_0708, servers: 2 }).encode(None);
        let expected = [0, 32, 0xDE, 0xAD, 0xFA, 0xD0, 0, 0, 0, 2, 1, 2, 3, 4, 5, 6, 7, 8];
        assert_eq!(bytes[..18], expected);
        assert_eq!(bytes[18..], [0; 16]);
    }

    #[test]
    fn frames_arrive_whole_in_whatever_pieces_they_come() {
        let stream: Vec<u8> = frames().iter().flat_map(|frame| frame.encode(Some(KEY))).collect();
        for piece in [1, 2, 3, 7, 200, stream.len()] {
            let (mut reader, mut found) = (FrameReader::default(), Vec::new());
            for part in stream.chunks(piece) {
                reader.push(part);
                while let Some(datagram) = reader.next().unwrap() {
                    found.push(Frame::decode(datagram, Some(KEY)).unwrap());
                }
            }
            assert_eq!(found, frames(), "pieces of {piece}");
            assert!(!reader.is_within_frame());
        }
    }

    #[test]
    fn what_is_not_signed_or_signed_otherwise_is_not_believed() {
        for frame in frames() {
            let unsigned = frame.encode(None);
            assert_eq!(Frame::decode(&unsigned[2..], Some(KEY)), Err(Ignored::NoAuthenticator), "{frame:?}");
            let other = frame.encode(Some(b"another key of sixteen"));
            assert_eq!(Frame::decode(&other[2..], Some(KEY)), Err(Ignored::BadAuthenticator), "{frame:?}");
        }
    }

    #[test]
    fn a_length_that_no_frame_has_ends_the_stream() {
        for (length, expected) in [(0u16, Ignored::Short), (513, Ignored::Long), (u16::MAX, Ignored::Long)] {
            let mut reader = FrameReader::default();
            reader.push(&length.to_be_bytes());
            assert_eq!(reader.next(), Err(expected));
        }
        assert_eq!(framed(&[0; DATAGRAM_BYTES_MAX + 1]), [0, 0]);
    }

    proptest! {
        #[test]
        fn any_bytes_are_cut_or_refused_and_never_kept_beyond_a_frame(
            pieces in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..700), 0..8),
        ) {
            let mut reader = FrameReader::default();
            'stream: for piece in pieces {
                reader.push(&piece);
                loop {
                    match reader.next() {
                        Ok(Some(datagram)) => drop(Frame::decode(datagram, None)),
                        Ok(None) => break,
                        Err(_) => break 'stream,
                    }
                }
                prop_assert!(reader.bytes.len() - reader.at < FRAME_BYTES_MAX);
            }
        }
    }
}
