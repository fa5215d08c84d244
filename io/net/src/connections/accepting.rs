//! Accepts connections from listening sockets: the bounds on them, and their handshakes.

use std::io::ErrorKind;
use std::net::SocketAddr;

use base::Time;
use sip::Transport;

use super::Connections;
use super::connection::Connection;
use super::phase::Phase;
use super::slots::Key;
use super::source::source;
use crate::tcp::{Stream, is_short_of_descriptors};
use crate::websocket::End;

/// Connections accepted before messages have their turn.
pub(super) const ACCEPTS_PER_TURN: usize = 64;

impl Connections {
    /// Goes on accepting if more connections waited than a turn allowed.
    pub fn accept_rest(&mut self, now: Time) {
        for index in 0..self.listening.len() {
            if self.listening[index].more {
                self.accept(index, now);
            }
        }
    }

    pub(super) fn accept(&mut self, index: usize, now: Time) {
        for _ in 0..ACCEPTS_PER_TURN {
            let Some(listening) = self.listening.get_mut(index) else { return };
            (listening.more, listening.short) = (false, false);
            match listening.socket.accept() {
                Ok((socket, remote)) => {
                    let place = (listening.listener, listening.transport);
                    let stream = Stream::over(socket, &self.limits);
                    match self.is_proxy(place.0, remote.ip()) {
                        true => self.await_introduction(stream, place, remote, now),
                        false => self.admit(stream, place, remote, now),
                    }
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => return,
                // The peer gave up before we accepted it; the next peer may wait.
                Err(error) if error.kind() == ErrorKind::ConnectionAborted => {}
                Err(error) => {
                    self.counters.accept_errors.add(1);
                    // A waiting connection can take the place of another, but cannot be refused: a refusal also needs a
                    // descriptor.
                    let another = is_short_of_descriptors(&error) && self.displace(1);
                    if let Some(listening) = self.listening.get_mut(index).filter(|_| !another) {
                        listening.short = true;
                        return;
                    }
                }
            }
        }
        self.listening[index].more = true;
    }

    /// `remote`: the client, which may be behind a proxy.
    pub(super) fn admit(
        &mut self,
        mut stream: Stream,
        place: (u8, Transport),
        remote: SocketAddr,
        now: Time,
    ) {
        let from = source(remote.ip());
        let has = self.share_of(from);
        if has.connections >= self.limits.per_source {
            self.counters.connections_refused_source_full.add(1);
            return;
        }
        let full = self.accepted >= self.limits.accepted || self.slots.is_full();
        if full && !self.displace(has.connections) {
            self.counters.connections_refused_worker_full.add(1);
            return;
        }
        if place.1 != Transport::Tcp {
            let full = self.handshakes >= self.limits.handshakes;
            if full && !self.displace_handshake(has.handshakes, now) {
                self.counters.connections_refused_handshakes_full.add(1);
                return;
            }
            if has.handshakes >= self.limits.handshakes_per_source {
                self.counters.connections_refused_source_handshakes_full.add(1);
                return;
            }
        }
        if place.1.is_secure() {
            match self.identities.accept(place.0) {
                Ok(session) => stream.secure(session),
                Err(_) => return self.counters.connections_without_identity.add(1),
            }
        }
        let connection = Connection::new(stream, remote, place, false, now);
        let shakes_hands = connection.is_shaking_hands();
        if let Some(key) = self.add(connection) {
            let has = self.per_source.entry(from).or_default();
            has.connections += 1;
            self.accepted += 1;
            has.handshakes += u32::from(shakes_hands);
            self.handshakes += usize::from(shakes_hands);
            self.counters.connections_accepted.add(1);
            self.watch(key);
        }
    }

    /// An accepted connection has ended its handshake, well or otherwise.
    pub(super) fn handshake_over(&mut self, remote: SocketAddr) {
        self.handshakes -= 1;
        if let Some(has) = self.per_source.get_mut(&source(remote.ip())) {
            has.handshakes -= 1;
        }
    }

    /// The close frame of a WebSocket is in the queue; once it is written, the end of the connection is written.
    pub(super) fn end_websocket(&mut self, key: Key, end: End, now: Time) {
        let counters = &self.counters;
        match end {
            End::Closed => {}
            End::RefusedUpgrade => counters.upgrades_refused.add(1),
            End::Unmasked => counters.frames_unmasked.add(1),
            End::WrongFrame => counters.frames_wrong.add(1),
            End::TooLarge => counters.frames_too_large.add(1),
            End::NotUtf8 => counters.texts_not_utf8.add(1),
            End::NoMemory => counters.connections_closed_memory.add(1),
        }
        let Some(connection) = self.slots.get_mut(key) else { return };
        let (shook_hands, remote) = (connection.is_shaking_hands(), connection.remote);
        connection.phase = Phase::Ending;
        if shook_hands {
            self.handshake_over(remote);
        }
        self.write_queued(key, now);
    }

    /// Opens the connection once its handshake is over, and writes what waited for it.
    pub(super) fn settle(&mut self, key: Key, now: Time) {
        let Some(connection) = self.slots.get_mut(key) else { return };
        if !matches!(connection.phase, Phase::Handshaking { .. }) || !connection.is_agreed() {
            return;
        }
        let (accepted, remote) = (connection.is_shaking_hands(), connection.remote);
        connection.open(now);
        if accepted {
            self.handshake_over(remote);
        }
        self.counters.handshakes_done.add(1);
        self.write_queued(key, now);
    }
}
