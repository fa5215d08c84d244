//! Messages into streams: found or opened connections, with one write per connection and turn.

use std::io::{ErrorKind, IoSlice};
use std::net::SocketAddr;
use std::ops::Range;

use base::Time;
use sip::{Target, Transport};

use super::connection::Connection;
use super::phase::{Close, Phase};
use super::slots::Key;
use super::staged::Staged;
use super::{Connections, tcp};
use crate::tcp::{is_ours, is_short_of_descriptors};
use crate::tls::PARTS_MAX;
use crate::websocket::OwnHead;

/// Messages given to the kernel in one write, each with the bytes in front of it.
const MESSAGES: usize = PARTS_MAX / 2;

/// Why a message has no connection.
#[derive(Clone, Copy, Debug)]
enum Fault {
    /// This process or host lacks a descriptor, port, memory or certificate, or a bound of ours is reached.
    Here,
    There,
}

impl Connections {
    /// Takes a message that goes by stream; it leaves with the next [`Connections::flush`]. `bytes` is the whole buffer that
    /// contains the ranges of this turn.
    pub fn stage(
        &mut self,
        bytes: &[u8],
        range: Range<u32>,
        target: Target,
        fallback: Option<(Range<u32>, Target)>,
        now: Time,
    ) {
        match self.connection_for(target, now) {
            Ok(key) => {
                let order = self.staged.len() as u32;
                self.staged.push(Staged { key, order, range, target, fallback });
            }
            Err(fault) => {
                let counters = &self.counters;
                match address_to_connect(target) {
                    Some(_) => counters.messages_failed.add(1),
                    None => counters.messages_without_connection.add(1),
                }
                let fallback = fallback.map(|(range, to)| (part(bytes, &range), to));
                self.lose_by(fault, target, fallback);
            }
        }
    }

    /// Writes the staged messages, and ends the connections that end with this turn.
    pub fn flush(&mut self, bytes: &[u8], now: Time) {
        if !self.staged.is_empty() {
            let mut staged = std::mem::take(&mut self.staged);
            staged.sort_unstable_by_key(|message| (message.key, message.order));
            for group in staged.chunk_by(|a, b| a.key == b.key) {
                self.write_group(group, bytes, now);
            }
            staged.clear();
            self.staged = staged;
        }
        while let Some(key) = self.ending.pop() {
            self.write_queued(key, now);
        }
    }

    /// The connection that RFC 3261 §18.1.1 and §18.2.2 give for this target, opened if necessary and allowed.
    fn connection_for(&mut self, target: Target, now: Time) -> Result<Key, Fault> {
        if let Target::Connection { id, .. } = target {
            let key = Key { slot: id.slot, generation: id.generation };
            // A connection that ends with this turn still takes the answer to the message that broke it.
            let alive = |connection: &mut Connection| !matches!(connection.phase, Phase::Ended { .. });
            if id.worker == self.worker && self.slots.get_mut(key).is_some_and(alive) {
                return Ok(key);
            }
        }
        let (listener, to) = address_to_connect(target).ok_or(Fault::There)?;
        match self.by_remote.get(&(listener, to)) {
            Some(&key) if self.slots.get_mut(key).is_some_and(|c| c.takes_messages()) => Ok(key),
            _ => self.open(listener, to, now),
        }
    }

    fn open(&mut self, listener: u8, to: SocketAddr, now: Time) -> Result<Key, Fault> {
        let (transport, from) = *self.bound.get(usize::from(listener)).ok_or(Fault::Here)?;
        if transport.is_websocket() {
            // Nobody listens for us there: a client opens its connection itself (RFC 7118 §5).
            self.counters.messages_without_connection.add(1);
            return Err(Fault::There);
        }
        if self.slots.is_full() && !self.displace(0) {
            self.counters.connections_refused_worker_full.add(1);
            return Err(Fault::Here);
        }
        let mut connected = tcp::Stream::connect(from, to, &self.limits);
        if connected.as_ref().is_err_and(is_short_of_descriptors) && self.displace(0) {
            connected = tcp::Stream::connect(from, to, &self.limits);
        }
        let mut stream = connected.map_err(|error| {
            self.counters.connect_failures.add(1);
            if is_ours(&error) { Fault::Here } else { Fault::There }
        })?;
        if transport == Transport::Tls {
            let Ok(session) = self.identities.connect(to.ip()) else {
                self.counters.connections_without_identity.add(1);
                return Err(Fault::Here);
            };
            stream.secure(session);
        }
        let connection = Connection::new(stream, to, (listener, transport), true, now);
        let key = self.add(connection).ok_or(Fault::Here)?;
        self.watch(key);
        Ok(key)
    }

    /// Writes the messages of one connection in as few calls as possible. The rest waits if the peer does not take
    /// everything.
    fn write_group(&mut self, group: &[Staged], bytes: &[u8], now: Time) {
        let Some(first) = group.first() else { return };
        let key = first.key;
        for messages in group.chunks(MESSAGES) {
            let Some(connection) = self.slots.get_mut(key) else {
                messages.iter().for_each(|message| self.try_elsewhere(message, bytes, now));
                continue;
            };
            let mut written = 0;
            if !connection.must_wait() {
                let mut heads = [OwnHead::default(); MESSAGES];
                for (head, message) in heads.iter_mut().zip(messages) {
                    *head = connection.head(part(bytes, &message.range));
                }
                let mut parts = [IoSlice::new(&[]); PARTS_MAX];
                let mut count = 0;
                for (head, message) in heads.iter().zip(messages) {
                    for bytes in [head.bytes(), part(bytes, &message.range)] {
                        if !bytes.is_empty() {
                            parts[count] = IoSlice::new(bytes);
                            count += 1;
                        }
                    }
                }
                match connection.stream.write_all_of(&parts[..count]) {
                    Ok(length) => {
                        written = length;
                        connection.active = now;
                        self.counters.stream_bytes_out.add(length as u64);
                        self.watch(key);
                    }
                    Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                    Err(_) => {
                        self.close(key, Close::Error);
                        messages.iter().for_each(|message| self.try_elsewhere(message, bytes, now));
                        continue;
                    }
                }
            }
            for message in messages {
                let Some(connection) = self.slots.get_mut(key) else { return };
                let body = part(bytes, &message.range);
                let length = connection.head(body).bytes().len() + body.len();
                connection.says(body, message.target);
                if written >= length {
                    written -= length;
                    self.counters.messages_out.add(1);
                } else {
                    self.enqueue(key, message, written, bytes, now);
                    written = 0;
                }
            }
            if self.slots.get_mut(key).is_some_and(|connection| connection.unconfirmed.is_some()) {
                self.account(key);
            }
        }
    }

    /// Puts the rest of a message into the queue of its connection. A message that has begun is queued in any case: the
    /// stream would be unreadable without its end.
    fn enqueue(&mut self, key: Key, message: &Staged, written: usize, bytes: &[u8], now: Time) {
        let fallback = message.fallback.as_ref().map(|(range, to)| (part(bytes, range), *to));
        let Some(connection) = self.slots.get_mut(key) else { return };
        let body = part(bytes, &message.range);
        let head = connection.head(body);
        let of_head = written.min(head.bytes().len());
        let rest = [&head.bytes()[of_head..], &body[written - of_head..]];
        let rest_bytes = rest.iter().map(|part| part.len()).sum::<usize>();
        let fallback_bytes = fallback.map_or(0, |(bytes, _)| bytes.len());
        if written == 0 && !connection.has_room(rest_bytes + fallback_bytes, self.limits.queue_bytes) {
            self.counters.messages_dropped_full.add(1);
            self.lose(message.target, fallback);
            return;
        }
        let room = self.limits.buffered_bytes;
        if self.buffered + rest_bytes + fallback_bytes > room {
            self.make_room();
        }
        let has_room = written > 0 || self.buffered + rest_bytes + fallback_bytes <= room;
        let queued =
            self.slots.get_mut(key).filter(|_| has_room).is_some_and(|connection| {
                connection.queue_of(now).push(&rest, Some(message.target), fallback)
            });
        if queued {
            self.account(key);
            return self.watch(key);
        }
        self.counters.messages_dropped_full.add(1);
        self.lose_here(message.target, fallback);
        if written > 0 {
            self.close(key, Close::Memory);
        }
    }

    /// The connection broke during the message: the message is sent once more on a new connection, if the target allows. A
    /// second loss is reported, because the new connection is being opened and only queues.
    fn try_elsewhere(&mut self, message: &Staged, bytes: &[u8], now: Time) {
        match self.connection_for(message.target, now) {
            Ok(key) => self.enqueue(key, message, 0, bytes, now),
            Err(fault) => {
                self.counters.messages_failed.add(1);
                let fallback = message.fallback.as_ref().map(|(range, to)| (part(bytes, range), *to));
                self.lose_by(fault, message.target, fallback);
            }
        }
    }

    /// Reports a message that was not sent through a fault of its destination, and returns the fallback.
    pub(super) fn lose(&mut self, target: Target, fallback: Option<(&[u8], Target)>) {
        self.lose_by(Fault::There, target, fallback);
    }

    /// The same through a fault of this host, which says nothing about the destination.
    fn lose_here(&mut self, target: Target, fallback: Option<(&[u8], Target)>) {
        self.lose_by(Fault::Here, target, fallback);
    }

    fn lose_by(&mut self, fault: Fault, target: Target, fallback: Option<(&[u8], Target)>) {
        match fault {
            Fault::Here => self.news.without_room.push(target),
            Fault::There => self.news.failed.push(target),
        }
        if let Some((bytes, to)) = fallback {
            self.instead(bytes, to);
            self.counters.fallbacks.add(1);
        }
    }

    /// A peer that had ended its sending took no more bytes either: the last messages to it go another way.
    pub(super) fn refused_answers(&mut self, key: Key) {
        let kept = self.slots.get_mut(key).and_then(|connection| connection.unconfirmed.take());
        self.close(key, Close::Peer);
        for (bytes, to) in kept.into_iter().flat_map(|kept| kept.0) {
            self.instead(&bytes, to);
        }
    }

    /// Returns the fallback.
    fn instead(&mut self, bytes: &[u8], to: Target) {
        let start = self.news.fallback_bytes.len() as u32;
        self.news.fallback_bytes.extend_from_slice(bytes);
        self.news.fallbacks.push((start..self.news.fallback_bytes.len() as u32, to));
    }
}

/// The address to which the target allows a connection to be opened.
fn address_to_connect(target: Target) -> Option<(u8, SocketAddr)> {
    match target {
        Target::Stream { listener, to } => Some((listener, to)),
        Target::Connection { listener, to, or_connect, .. } => or_connect.then_some((listener, to)),
        Target::Datagram { .. } => None,
    }
}

fn part<'a>(bytes: &'a [u8], range: &Range<u32>) -> &'a [u8] {
    bytes.get(range.start as usize..range.end as usize).unwrap_or_default()
}
