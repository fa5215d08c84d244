//! A connection as values for the process that goes on with it (see [`base::fields`]): what it has received of a message that
//! is not complete, what it has not written yet, and where it stands. Its socket goes with it as a descriptor.

use base::Time;
use base::fields::{Reader, Writer};
use sip::{Flow, Transport};
use turn::stored::{read_target, transport_number, transport_of, write_target};

use super::{Connection, Unconfirmed};
use crate::connections::phase::Phase;
use crate::tcp::Stream;
use crate::websocket::WebSocket;

mod name {
    pub(super) const LISTENER: u8 = 1;
    pub(super) const TRANSPORT: u8 = 2;
    pub(super) const REMOTE: u8 = 3;
    pub(super) const PHASE: u8 = 4;
    pub(super) const SINCE: u8 = 5;
    pub(super) const OPENED: u8 = 6;
    pub(super) const UNANSWERED: u8 = 7;
    pub(super) const ACTIVE: u8 = 8;
    pub(super) const PARTIAL: u8 = 9;
    pub(super) const PARTIAL_SINCE: u8 = 10;
    pub(super) const MOVED: u8 = 11;
    pub(super) const WAITING: u8 = 12;
    pub(super) const UNCONFIRMED: u8 = 13;
    pub(super) const WEBSOCKET: u8 = 14;
    // 20 and above: see `handed.rs`.
}

/// Names within a message that waits.
mod message {
    pub(super) const BYTES: u8 = 1;
    pub(super) const TARGET: u8 = 2;
    pub(super) const FALLBACK: u8 = 3;
    pub(super) const FALLBACK_TARGET: u8 = 4;
}

impl Connection {
    /// `relayed`: another process does its TLS from now on, and hands the rest through.
    pub(in crate::connections) fn write(&self, relayed: bool, into: &mut Writer) {
        into.number(name::LISTENER, self.listener.into());
        into.number(name::TRANSPORT, transport_number(self.transport));
        into.address(name::REMOTE, self.remote);
        let (phase, since) = match self.phase {
            // The other process ends this by itself; what waits can be written at once.
            Phase::Connecting { .. } | Phase::Handshaking { .. } if relayed && self.websocket.is_none() => {
                (2, None)
            }
            Phase::Connecting { since } => (0, Some(since)),
            Phase::Handshaking { since } => (1, Some(since)),
            Phase::Open => (2, None),
            Phase::HalfClosed { since } => (3, Some(since)),
            Phase::Ending => (4, None),
            Phase::Ended { since } => (5, Some(since)),
        };
        into.number(name::PHASE, phase);
        into.time(name::SINCE, since.unwrap_or(Time::NEVER));
        into.flag(name::OPENED, self.opened);
        into.number(name::UNANSWERED, self.unanswered.into());
        into.time(name::ACTIVE, self.active);
        if let Some(partial) = &self.partial {
            into.bytes(name::PARTIAL, &partial.bytes);
            into.time(name::PARTIAL_SINCE, partial.since);
        }
        if let Some(queue) = &self.queue {
            into.time(name::MOVED, queue.moved);
            for (bytes, waiting) in queue.parts() {
                into.group(name::WAITING, |into| {
                    into.bytes(message::BYTES, bytes);
                    if let Some(target) = &waiting.target {
                        into.group(message::TARGET, |into| write_target(target, into));
                    }
                    if let Some((bytes, target)) = &waiting.fallback {
                        into.bytes(message::FALLBACK, bytes);
                        into.group(message::FALLBACK_TARGET, |into| write_target(target, into));
                    }
                });
            }
        }
        for (bytes, target) in self.unconfirmed.iter().flat_map(|kept| &kept.0) {
            into.group(name::UNCONFIRMED, |into| {
                into.bytes(message::BYTES, bytes);
                into.group(message::TARGET, |into| write_target(target, into));
            });
        }
        if let Some(websocket) = &self.websocket {
            into.group(name::WEBSOCKET, |into| websocket.write(into));
        }
    }

    /// `is_served`: whether there is still such a listener. `stray_bytes`: see [`super::Limits`]. `None`: there is no such
    /// listener, or the bytes are no connection.
    pub(in crate::connections) fn read(
        from: Reader<'_>,
        stream: Stream,
        is_served: &dyn Fn(u8, Transport) -> bool,
        stray_bytes: bool,
        now: Time,
    ) -> Option<Connection> {
        let listener = from.small(name::LISTENER)?;
        let transport =
            transport_of(from.number(name::TRANSPORT)?).filter(|found| is_served(listener, *found))?;
        let place = (listener, transport);
        let opened = from.flag(name::OPENED);
        let mut connection = Connection::new(stream, from.address(name::REMOTE)?, place, opened, now);
        connection.skips_stray_bytes = stray_bytes;
        let since = from.time(name::SINCE).min(now);
        connection.phase = match from.number(name::PHASE)? {
            0 => Phase::Connecting { since },
            1 => Phase::Handshaking { since },
            2 => Phase::Open,
            3 => Phase::HalfClosed { since },
            4 => Phase::Ending,
            5 => Phase::Ended { since },
            _ => return None,
        };
        if let Some(partial) = from.get(name::PARTIAL) {
            // An incomplete message has no whole one in it, so nothing is handed out; it gets its frame again.
            let flow = Flow { listener, transport, remote: connection.remote, connection: None };
            connection.take_in(partial, from.time(name::PARTIAL_SINCE).min(now), flow, &mut |_| {});
        }
        for waiting in from.groups(name::WAITING) {
            let target = |name| waiting.group(name).and_then(read_target);
            let fallback = waiting.get(message::FALLBACK).zip(target(message::FALLBACK_TARGET));
            let bytes = waiting.get(message::BYTES).unwrap_or_default();
            let moved = from.time(name::MOVED).min(now);
            if !connection.queue_of(moved).push(&[bytes], target(message::TARGET), fallback) {
                return None;
            }
        }
        let unconfirmed = from.groups(name::UNCONFIRMED).filter_map(|kept| {
            let target = kept.group(message::TARGET).and_then(read_target)?;
            Some((Box::from(kept.get(message::BYTES)?), target))
        });
        let unconfirmed: Vec<_> = unconfirmed.take(super::UNCONFIRMED_MAX).collect();
        connection.unconfirmed = (!unconfirmed.is_empty()).then(|| Box::new(Unconfirmed(unconfirmed)));
        if transport.is_websocket() {
            connection.websocket = from.group(name::WEBSOCKET).map(WebSocket::read).map(Box::new);
            connection.websocket.as_ref()?;
        }
        connection.unanswered = from.small(name::UNANSWERED).unwrap_or_default();
        connection.active = from.time(name::ACTIVE).min(now);
        Some(connection)
    }
}
