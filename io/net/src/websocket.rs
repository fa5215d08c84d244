//! SIP over WebSocket (RFC 7118, RFC 6455) on an accepted connection: the upgrade, then messages out of frames.
//!
//! One WebSocket message is one SIP message. A session that waits for nothing holds no buffer; otherwise one message bounds
//! what it holds. A client's error ends the connection with the code of RFC 6455 §7.4.1.

mod frame;
mod stored;
mod upgrade;

use base::Time;
use sip::frame::MESSAGE_BYTES_MAX;

use frame::{BadHead, CONTROL_MAX, Head};
pub(crate) use frame::{Kind, OwnHead};
use upgrade::Upgrade;

/// Pings answered after one read; the rest of a flood is not answered.
const PONGS_MAX: usize = 32;

/// An allocation up to this size is kept when most of its content is gone.
const ROOM_TO_KEEP: usize = 4 << 10;

/// Why a session ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// The client ended it.
    Closed,
    RefusedUpgrade,
    Unmasked,
    /// Not a correct frame of RFC 6455.
    WrongFrame,
    TooLarge,
    NotUtf8,
    /// There is no memory for the message.
    NoMemory,
}

/// The result of received bytes, besides the messages.
#[derive(Debug, Default)]
pub struct Taken {
    pub messages: u64,
    /// Keep-alives: pings, and messages of line ends alone.
    pub pings: u64,
    /// Bytes to write to the client as they are.
    pub answer: Vec<u8>,
    /// The session is over once the answer is written.
    pub end: Option<End>,
}

#[derive(Debug, Default)]
pub struct WebSocket {
    is_open: bool,
    /// Received bytes that are not yet a complete request or frame.
    partial: Vec<u8>,
    /// The message whose last frame has not come: its kind and its content.
    fragments: Option<(Kind, Vec<u8>)>,
    /// When the first byte of the incomplete message came, or of the request or frame outside a message.
    since: Option<Time>,
}

impl WebSocket {
    /// Whether the upgrade is over.
    pub fn is_open(&self) -> bool {
        self.is_open
    }

    /// Bytes kept.
    pub fn held(&self) -> usize {
        self.partial.capacity() + self.fragments.as_ref().map_or(0, |(_, bytes)| bytes.capacity())
    }

    /// Since when a request, frame or message is incomplete.
    pub fn partial_since(&self) -> Option<Time> {
        self.since
    }

    /// Hands out the messages that are complete now, and keeps the rest.
    pub fn take_in(&mut self, bytes: &[u8], now: Time, take: &mut dyn FnMut(&[u8])) -> Taken {
        let mut taken = Taken::default();
        let mut kept = std::mem::take(&mut self.partial);
        if !kept.is_empty() && !append(&mut kept, bytes) {
            return Taken { end: Some(End::NoMemory), ..taken };
        }
        let whole = if kept.is_empty() { bytes } else { &kept[..] };
        let mut at = 0;
        // What is kept now began in these bytes, not in earlier ones.
        let mut is_new = false;
        if !self.is_open {
            match upgrade::read(whole) {
                Upgrade::Incomplete => {}
                Upgrade::Agreed(answer, length) => {
                    taken.answer.extend_from_slice(answer.as_bytes());
                    self.is_open = true;
                    (at, is_new) = (length, true);
                }
                Upgrade::Refused(answer) => {
                    taken.answer.extend_from_slice(answer.as_bytes());
                    taken.end = Some(End::RefusedUpgrade);
                }
            }
        }
        while self.is_open && taken.end.is_none() {
            match self.frame(&whole[at..], &mut taken, take) {
                Ok(0) => break,
                Ok(length) => {
                    at += length;
                    // Between fragments, pings and further fragments are no progress of the message: only its end is.
                    is_new |= self.fragments.is_none();
                }
                Err(end) => {
                    close_frame(end, &mut taken.answer);
                    taken.end = Some(end);
                }
            }
        }
        let rest = whole.len() - at;
        if taken.end.is_none() && rest > 0 {
            if kept.is_empty() {
                if !append(&mut self.partial, &bytes[at..]) {
                    taken.end = Some(End::NoMemory);
                }
            } else {
                kept.drain(..at);
                if kept.capacity() > ROOM_TO_KEEP.max(4 * kept.len()) {
                    kept.shrink_to_fit();
                }
                self.partial = kept;
            }
        }
        let waits = !self.partial.is_empty() || self.fragments.is_some();
        self.since = waits.then(|| self.since.filter(|_| !is_new).unwrap_or(now));
        taken
    }

    /// Takes one frame off the front. Returns its length; 0: the frame is incomplete.
    fn frame(&mut self, bytes: &[u8], taken: &mut Taken, take: &mut dyn FnMut(&[u8])) -> Result<usize, End> {
        let head = match frame::read(bytes) {
            Ok(None) => return Ok(0),
            Ok(Some(head)) => head,
            Err(BadHead::Unmasked) => return Err(End::Unmasked),
            Err(BadHead::Wrong) => return Err(End::WrongFrame),
        };
        // A control frame between fragments is not part of their message.
        let before = self.fragments.as_ref().filter(|_| !head.kind.is_control());
        let before = before.map_or(0, |(_, bytes)| bytes.len());
        // Checked as soon as the head is there: a client that announces too much need not send it.
        if head.payload > (MESSAGE_BYTES_MAX - before.min(MESSAGE_BYTES_MAX)) as u64 {
            return Err(End::TooLarge);
        }
        let length = head.size + head.payload as usize;
        let Some(payload) = bytes.get(head.size..length) else { return Ok(0) };
        match head.kind {
            Kind::Ping => self.ping(&head, payload, taken),
            Kind::Pong => {}
            Kind::Close => {
                let mut code = Vec::new();
                unmask(&head, payload, &mut code);
                code.truncate(2);
                // A code of one byte is not a code.
                let code = if code.len() == 2 { &code[..] } else { &[] };
                taken.answer.extend_from_slice(OwnHead::new(Kind::Close, code.len()).bytes());
                taken.answer.extend_from_slice(code);
                taken.end = Some(End::Closed);
            }
            Kind::Text | Kind::Binary | Kind::Continuation => self.data(&head, payload, taken, take)?,
        }
        Ok(length)
    }

    fn ping(&mut self, head: &Head, payload: &[u8], taken: &mut Taken) {
        taken.pings += 1;
        if taken.answer.len() < PONGS_MAX * (CONTROL_MAX + 2) {
            taken.answer.extend_from_slice(OwnHead::new(Kind::Pong, payload.len()).bytes());
            unmask(head, payload, &mut taken.answer);
        }
    }

    /// A part of a message, or a whole one.
    fn data(
        &mut self,
        head: &Head,
        payload: &[u8],
        taken: &mut Taken,
        take: &mut dyn FnMut(&[u8]),
    ) -> Result<(), End> {
        let (kind, mut message) = match (head.kind, self.fragments.take()) {
            (Kind::Continuation, Some(fragments)) => fragments,
            (Kind::Text | Kind::Binary, None) => (head.kind, Vec::new()),
            // A new message began before the last one ended, or a fragment belongs to no message.
            _ => return Err(End::WrongFrame),
        };
        let room = match head.last {
            true => message.try_reserve_exact(payload.len()),
            false => message.try_reserve(payload.len()),
        };
        if room.is_err() {
            return Err(End::NoMemory);
        }
        unmask(head, payload, &mut message);
        if !head.last {
            self.fragments = Some((kind, message));
            return Ok(());
        }
        if kind == Kind::Text && std::str::from_utf8(&message).is_err() {
            return Err(End::NotUtf8);
        }
        if message.iter().all(|byte| matches!(byte, b'\r' | b'\n')) {
            // RFC 5626 §3.5.1 over WebSocket (RFC 7118 §6): a ping of two line ends is answered by one line end.
            if message == b"\r\n\r\n" {
                taken.pings += 1;
                if taken.answer.len() < PONGS_MAX * (CONTROL_MAX + 2) {
                    taken.answer.extend_from_slice(OwnHead::new(Kind::Text, 2).bytes());
                    taken.answer.extend_from_slice(b"\r\n");
                }
            }
            return Ok(());
        }
        taken.messages += 1;
        take(&message);
        Ok(())
    }
}

/// The head of a message of ours: a text frame if it is text, as browsers want.
pub(crate) fn head_of(message: &[u8]) -> OwnHead {
    let kind = if std::str::from_utf8(message).is_ok() { Kind::Text } else { Kind::Binary };
    OwnHead::new(kind, message.len())
}

/// False: there is no memory. The client decides how much is asked for, so a refusal costs the client its connection, and
/// not the process its life.
fn append(to: &mut Vec<u8>, bytes: &[u8]) -> bool {
    let has_room = to.try_reserve(bytes.len()).is_ok();
    if has_room {
        to.extend_from_slice(bytes);
    }
    has_room
}

fn unmask(head: &Head, payload: &[u8], out: &mut Vec<u8>) {
    out.extend(payload.iter().zip(head.mask.iter().cycle()).map(|(byte, mask)| byte ^ mask));
}

fn close_frame(end: End, out: &mut Vec<u8>) {
    let (code, why): (u16, &str) = match end {
        End::Closed | End::RefusedUpgrade => return,
        End::Unmasked => (1002, "frames from a client must be masked"),
        End::WrongFrame => (1002, "a frame of this kind is not allowed here"),
        End::NotUtf8 => (1007, "a text message must be UTF-8"),
        End::TooLarge => (1009, "a message may have at most 65535 bytes"),
        End::NoMemory => (1013, "no memory for the message"),
    };
    out.extend_from_slice(OwnHead::new(Kind::Close, 2 + why.len()).bytes());
    out.extend_from_slice(&code.to_be_bytes());
    out.extend_from_slice(why.as_bytes());
}

#[cfg(test)]
mod tests;
