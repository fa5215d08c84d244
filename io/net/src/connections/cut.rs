//! Whole messages are cut off the front of what a connection received, and keep-alives among them are answered.

use sip::Flow;
use sip::frame::{Frame, Framer};

use super::news::Received;
use crate::websocket::End;

/// Keep-alives answered after one read. A client sends one in some minutes; the rest of a flood is not answered.
const ANSWERS_MAX: usize = 32;

/// The result of received bytes.
#[derive(Debug, Default)]
pub(crate) struct Cut {
    pub(super) consumed: usize,
    pub(crate) messages: u64,
    /// How many of the messages are requests that get a response.
    pub(super) requests: u16,
    /// How many of the messages came from a server that left Content-Length out.
    pub(crate) without_length: u64,
    pub(crate) pings: u64,
    pub(crate) broken: bool,
    /// There is no memory to keep an incomplete message.
    pub(crate) no_memory: bool,
    /// The WebSocket is over.
    pub(crate) end: Option<End>,
    /// Bytes to write as they are.
    pub(crate) answer: Vec<u8>,
}

impl Cut {
    /// Keep-alives are answered (RFC 5626 §3.5.1), several at once if they came at once.
    pub(super) fn answer_pings(&mut self) {
        let all = [*b"\r\n"; ANSWERS_MAX];
        self.answer.extend_from_slice(&all.as_flattened()[..2 * self.pings.min(ANSWERS_MAX as u64) as usize]);
    }
}

/// Whether a received message is a request that gets a response; an ACK gets none.
fn is_answered(message: &[u8]) -> bool {
    !message.starts_with(b"SIP/2.0 ") && !message.starts_with(b"ACK ")
}

/// Cuts complete messages off the front of `bytes`.
pub(super) fn cut(framer: &mut Framer, bytes: &[u8], flow: Flow, take: &mut dyn FnMut(Received<'_>)) -> Cut {
    let mut cut = Cut::default();
    while cut.consumed < bytes.len() {
        let rest = &bytes[cut.consumed..];
        let length = match framer.next(rest) {
            frame @ (Frame::Message(length) | Frame::WithoutLength(length)) => {
                cut.messages += 1;
                cut.without_length += u64::from(matches!(frame, Frame::WithoutLength(_)));
                cut.requests = cut.requests.saturating_add(is_answered(&rest[..length]).into());
                take(Received::Message { bytes: &rest[..length], flow });
                length
            }
            Frame::Ping(length) => {
                cut.pings += 1;
                length
            }
            Frame::Blank(length) => length,
            Frame::Incomplete => break,
            Frame::Broken(_) => {
                cut.broken = true;
                take(Received::Broken { bytes: rest, flow });
                break;
            }
        };
        cut.consumed += length;
    }
    cut
}
