//! One connection: the bytes of a message that is not complete yet, and the bytes that wait to be written.

mod stored;

use std::io::{self, ErrorKind};
use std::net::SocketAddr;

use base::Time;
use sip::frame::Framer;
use sip::{Flow, Target, Transport};

use super::cut::{Cut, cut};
use super::limits::Limits;
use super::news::Received;
use super::out_queue::OutQueue;
use super::phase::{Close, Phase};
use crate::tcp::Stream;
use crate::websocket::{self, OwnHead, Taken, WebSocket};

/// Messages kept for a peer that may have closed both directions. Most peers have one open request.
const UNCONFIRMED_MAX: usize = 8;

#[derive(Debug)]
struct Partial {
    bytes: Vec<u8>,
    framer: Framer,
    /// When the first byte came.
    since: Time,
}

impl Partial {
    /// Line ends alone may be half a keep-alive, or what a careless peer puts after a message; they may stay.
    fn is_message(&self) -> bool {
        self.bytes.iter().any(|byte| !matches!(byte, b'\r' | b'\n'))
    }
}

#[derive(Debug)]
pub(crate) struct Connection {
    pub(crate) stream: Stream,
    pub(crate) remote: SocketAddr,
    pub(crate) listener: u8,
    pub(crate) transport: Transport,
    pub(crate) phase: Phase,
    /// We opened it; otherwise the peer did.
    pub(crate) opened: bool,
    websocket: Option<Box<WebSocket>>,
    /// Requests of the peer whose final response has not gone back here. The number only decides how long we wait for a peer
    /// that has ended its sending, so it may be wrong by a repeated response or by a request that nobody answers.
    unanswered: u16,
    /// Messages written to a peer that has ended its sending. A peer that has closed both directions looks the same until it
    /// refuses what it gets; then these messages go by another connection if their targets allow (RFC 3261 §18.2.2).
    pub(crate) unconfirmed: Option<Box<Unconfirmed>>,
    /// The time of the last byte in either direction.
    pub(crate) active: Time,
    /// The connection is in the list that is looked at in every tick.
    pub(crate) watched: bool,
    /// The connection is in the list of connections that may have more bytes than were read.
    pub(crate) unread: bool,
    /// What [`Limits::stray_bytes`] says.
    pub(crate) skips_stray_bytes: bool,
    /// The value of [`Connection::held`] when it was last added to the worker's sum.
    pub(crate) accounted: usize,
    partial: Option<Box<Partial>>,
    pub(crate) queue: Option<Box<OutQueue>>,
}

/// Messages, and the target of each by another connection.
#[derive(Debug, Default)]
pub(crate) struct Unconfirmed(pub(crate) Vec<(Box<[u8]>, Target)>);

/// What the peer took from a queue.
#[derive(Debug, Default)]
pub(crate) struct Written {
    pub(crate) messages: u64,
    pub(crate) bytes: u64,
}

impl Connection {
    pub(crate) fn new(
        stream: Stream,
        remote: SocketAddr,
        (listener, transport): (u8, Transport),
        opened: bool,
        now: Time,
    ) -> Connection {
        let phase = match (opened, stream.is_established() && !transport.is_websocket()) {
            (true, _) => Phase::Connecting { since: now },
            (false, false) => Phase::Handshaking { since: now },
            (false, true) => Phase::Open,
        };
        let websocket = transport.is_websocket().then(Box::default);
        Connection {
            stream,
            remote,
            listener,
            transport,
            phase,
            opened,
            websocket,
            unanswered: 0,
            unconfirmed: None,
            active: now,
            watched: false,
            unread: false,
            skips_stray_bytes: false,
            accounted: 0,
            partial: None,
            queue: None,
        }
    }

    pub(crate) fn takes_messages(&self) -> bool {
        match self.phase {
            Phase::Connecting { .. } | Phase::Handshaking { .. } | Phase::Open | Phase::HalfClosed { .. } => {
                true
            }
            Phase::Ending | Phase::Ended { .. } => false,
        }
    }

    /// This message is written to the peer, now or as soon as the peer takes it.
    pub(crate) fn says(&mut self, message: &[u8], target: Target) {
        self.unanswered -= u16::from(self.unanswered > 0 && is_final_response(message));
        if let (Phase::HalfClosed { .. }, Target::Connection { listener, to, or_connect: true, .. }) =
            (self.phase, target)
        {
            let kept = self.unconfirmed.get_or_insert_default();
            if kept.0.len() < UNCONFIRMED_MAX {
                kept.0.push((Box::from(message), Target::Stream { listener, to }));
            }
        }
    }

    /// The peer has ended its sending. True: there are answers for it, and it may still read them. Over TLS 1.2 it may not:
    /// who has received a close_notify must close at once (RFC 5246 §7.2.1). Over WebSocket it may not: nothing follows the
    /// close frames (RFC 6455 §5.5.1). A server that ends its sending to us gives up our requests, so that they are sent
    /// again elsewhere.
    pub(crate) fn half_close(&mut self, now: Time) -> bool {
        match self.phase {
            Phase::HalfClosed { .. } => true,
            Phase::Open if !self.opened && self.websocket.is_none() => {
                let stays = self.has_answers_to_come() && self.stream.may_write_after_the_end();
                if stays {
                    self.phase = Phase::HalfClosed { since: now };
                    self.partial = None;
                }
                stays
            }
            _ => false,
        }
    }

    pub(crate) fn has_answers_to_come(&self) -> bool {
        self.unanswered > 0 || self.queue.is_some() || self.stream.is_waiting()
    }

    /// Whether a new message must wait: another message waits already, or the connection is not open yet.
    pub(crate) fn must_wait(&self) -> bool {
        self.queue.is_some() || matches!(self.phase, Phase::Connecting { .. } | Phase::Handshaking { .. })
    }

    /// Whether all negotiation with the peer before messages is done.
    pub(crate) fn is_agreed(&self) -> bool {
        self.stream.is_established() && self.websocket.as_ref().is_none_or(|websocket| websocket.is_open())
    }

    /// Whether received bytes are of use: messages, or the negotiation before them.
    pub(crate) fn is_heard(&self) -> bool {
        match self.phase {
            Phase::Open => true,
            Phase::Handshaking { .. } => self.websocket.is_some(),
            Phase::Connecting { .. } | Phase::HalfClosed { .. } | Phase::Ending | Phase::Ended { .. } => {
                false
            }
        }
    }

    /// The bytes in front of this message on the connection.
    pub(crate) fn head(&self, message: &[u8]) -> OwnHead {
        match self.websocket {
            Some(_) => websocket::head_of(message),
            None => OwnHead::default(),
        }
    }

    /// The connection is open: from now on messages go in both directions.
    pub(crate) fn open(&mut self, now: Time) {
        self.phase = Phase::Open;
        self.active = now;
        if let Some(queue) = &mut self.queue {
            queue.moved = now;
        }
    }

    /// An accepted connection whose handshake is in progress; their number has a bound.
    pub(crate) fn is_shaking_hands(&self) -> bool {
        !self.opened && matches!(self.phase, Phase::Handshaking { .. })
    }

    /// Bytes of memory that the connection holds for an incomplete message and for waiting bytes.
    pub(crate) fn held(&self) -> usize {
        let partial = self.partial.as_ref().map_or(0, |partial| partial.bytes.capacity());
        let websocket = self.websocket.as_ref().map_or(0, |websocket| websocket.held());
        let unconfirmed = self.unconfirmed.iter().flat_map(|kept| kept.0.iter());
        let unconfirmed = unconfirmed.map(|(bytes, _)| bytes.len()).sum::<usize>();
        partial
            + websocket
            + unconfirmed
            + self.queue.as_ref().map_or(0, |queue| queue.held())
            + self.stream.held()
    }

    /// Hands out the messages that are complete now, and keeps the rest. If nothing was kept before, messages are handed out
    /// of `bytes` itself. If the frame is lost, the unreadable bytes are handed out as broken.
    pub(crate) fn take_in(
        &mut self,
        bytes: &[u8],
        now: Time,
        flow: Flow,
        take: &mut dyn FnMut(Received<'_>),
    ) -> Cut {
        self.active = now;
        if let Some(websocket) = &mut self.websocket {
            let taken = websocket.take_in(bytes, now, &mut |bytes| take(Received::Message { bytes, flow }));
            let Taken { messages, pings, answer, end } = taken;
            return Cut { messages, pings, answer, end, ..Cut::default() };
        }
        let Some(mut partial) = self.partial.take() else {
            let mut framer = Framer::of_server(self.opened).tolerant(self.skips_stray_bytes);
            let mut cut = cut(&mut framer, bytes, flow, take);
            self.unanswered = self.unanswered.saturating_add(cut.requests);
            if cut.consumed < bytes.len() && !cut.broken {
                let mut kept = Vec::new();
                cut.no_memory = kept.try_reserve_exact(bytes.len() - cut.consumed).is_err();
                if !cut.no_memory {
                    kept.extend_from_slice(&bytes[cut.consumed..]);
                    self.partial = Some(Box::new(Partial { bytes: kept, framer, since: now }));
                }
            }
            cut.answer_pings();
            return cut;
        };
        if partial.bytes.try_reserve(bytes.len()).is_err() {
            return Cut { no_memory: true, ..Cut::default() };
        }
        partial.bytes.extend_from_slice(bytes);
        let mut cut = cut(&mut partial.framer, &partial.bytes, flow, take);
        self.unanswered = self.unanswered.saturating_add(cut.requests);
        if cut.consumed < partial.bytes.len() && !cut.broken {
            if cut.consumed > 0 {
                partial.bytes.drain(..cut.consumed);
                partial.since = now;
            }
            self.partial = Some(partial);
        }
        cut.answer_pings();
        cut
    }

    /// Writes waiting bytes, as far as the peer takes them.
    pub(crate) fn write_queued(&mut self, now: Time) -> io::Result<Written> {
        let mut written = Written::default();
        self.stream.flush()?;
        if matches!(self.phase, Phase::Handshaking { .. }) {
            return Ok(written);
        }
        while let Some(queue) = &mut self.queue {
            match self.stream.write(queue.unwritten()) {
                Ok(0) => return Err(ErrorKind::WriteZero.into()),
                Ok(bytes) => {
                    written.bytes += bytes as u64;
                    written.messages += queue.advance(bytes, now);
                    self.active = now;
                    if queue.is_empty() {
                        self.queue = None;
                    }
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        if self.queue.is_none() && self.phase == Phase::Ending && !self.stream.is_waiting() {
            self.stream.end();
            self.phase = Phase::Ended { since: now };
        }
        Ok(written)
    }

    /// Writes the bytes of the layers below messages. If there is no room, they are left out: the peer has not read what was
    /// sent earlier.
    pub(crate) fn answer(&mut self, answers: &[u8], limits: &Limits, now: Time) -> io::Result<()> {
        // What waits for the upgrade to WebSocket comes after the answer to the upgrade.
        let behind = self.queue.as_ref().filter(|_| !matches!(self.phase, Phase::Handshaking { .. }));
        let written = match behind {
            Some(_) => 0,
            None => match self.stream.write(answers) {
                Ok(written) => written,
                Err(error) if error.kind() == ErrorKind::WouldBlock => 0,
                Err(error) => return Err(error),
            },
        };
        if written < answers.len()
            && self.has_room(answers.len(), limits.queue_bytes)
            && !self.queue_of(now).push(&[&answers[written..]], None, None)
        {
            return Err(ErrorKind::OutOfMemory.into());
        }
        Ok(())
    }

    /// Whether this many more bytes may wait.
    pub(crate) fn has_room(&self, bytes: usize, bound: usize) -> bool {
        self.queue.as_ref().map_or(0, |queue| queue.size()) + bytes <= bound
    }

    pub(crate) fn queue_of(&mut self, now: Time) -> &mut OutQueue {
        self.queue.get_or_insert_with(|| Box::new(OutQueue::new(now)))
    }

    /// Whether the connection waits for something that must end soon, so that every tick looks at it.
    pub(crate) fn is_waiting(&self) -> bool {
        self.queue.is_some() || self.phase != Phase::Open || self.stream.is_waiting()
    }

    /// Whether the connection has waited too long.
    pub(crate) fn overdue(&self, limits: &Limits, now: Time) -> Option<Close> {
        match self.phase {
            Phase::Connecting { since } if now.since(since) >= limits.connect_time => {
                return Some(Close::ConnectFailed);
            }
            Phase::Handshaking { since } if now.since(since) >= limits.handshake_time => {
                return Some(Close::HandshakeSlow);
            }
            Phase::Ended { since } if now.since(since) >= limits.linger_time => {
                return Some(match self.transport.is_websocket() {
                    true => Close::WebSocketEnded,
                    false => Close::BrokenFrame,
                });
            }
            Phase::HalfClosed { since } => {
                // Whether the peer took the last of these messages shows within a round trip.
                let said = !self.has_answers_to_come()
                    && (self.unconfirmed.is_none() || now.since(self.active) >= limits.linger_time);
                if said || now.since(since) >= limits.half_closed_time {
                    return Some(Close::Peer);
                }
            }
            Phase::Connecting { .. } | Phase::Handshaking { .. } | Phase::Ended { .. } => return None,
            Phase::Open | Phase::Ending => {}
        }
        if self.queue.as_ref().is_some_and(|queue| now.since(queue.moved) >= limits.stuck_time) {
            return Some(Close::Stuck);
        }
        let slow =
            |partial: &Partial| partial.is_message() && now.since(partial.since) >= limits.partial_time;
        let since = self.websocket.as_ref().and_then(|websocket| websocket.partial_since());
        let late = |since: Time| now.since(since) >= limits.partial_time;
        if self.partial.as_deref().is_some_and(slow)
            || since.is_some_and(late)
            || self.stream.partial_since().is_some_and(late)
        {
            return Some(Close::Slow);
        }
        let idle = if self.opened { limits.idle_opened } else { limits.idle_accepted };
        (now.since(self.active) >= idle).then_some(Close::Idle)
    }
}

fn is_final_response(message: &[u8]) -> bool {
    matches!(message.strip_prefix(b"SIP/2.0 "), Some([b'2'..=b'6', ..]))
}
