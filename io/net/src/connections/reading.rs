//! Reads what a connection brought and cuts it into messages.

use std::io::ErrorKind;

use base::Time;
use sip::Flow;

use super::news::Received;
use super::phase::{Close, Phase};
use super::slots::{Key, id_of};
use super::source::source;
use super::{Connections, READ_BYTES};

/// Reads from one connection before the next connection has its turn.
const READS_PER_TURN: usize = 4;

impl Connections {
    /// Reads until nothing is left or the turn is over. A read that leaves room in the buffer has taken everything, and
    /// later bytes are a new event. `to_the_end` reads on, because the end may have come as well.
    pub(super) fn read(&mut self, key: Key, now: Time, to_the_end: bool, take: &mut dyn FnMut(Received<'_>)) {
        for _ in 0..READS_PER_TURN {
            let Some(connection) = self.slots.get_mut(key) else { return };
            if matches!(connection.phase, Phase::Connecting { .. }) {
                return;
            }
            let shakes_hands = matches!(connection.phase, Phase::Handshaking { .. });
            let read = connection.stream.read(&mut self.scratch, to_the_end, now);
            if shakes_hands {
                self.settle(key, now);
            }
            if read.is_err() && self.account(key) > self.limits.buffered_bytes {
                self.make_room();
            }
            let Some(connection) = self.slots.get_mut(key) else { return };
            let length = match read {
                Ok(0) => {
                    let open = connection.phase == Phase::Open;
                    if connection.half_close(now) {
                        self.counters.connections_half_closed.add(open.into());
                        self.account(key);
                        return self.watch(key);
                    }
                    let why = match connection.phase {
                        Phase::Ended { .. } if connection.transport.is_websocket() => Close::WebSocketEnded,
                        Phase::Ended { .. } => Close::BrokenFrame,
                        Phase::Handshaking { .. } => Close::HandshakeFailed,
                        _ => Close::Peer,
                    };
                    return self.close(key, why);
                }
                Ok(length) => length,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return,
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(error) if matches!(connection.phase, Phase::Handshaking { .. }) => {
                    if connection.opened {
                        self.news.handshakes_failed.push((connection.remote, error.to_string()));
                    }
                    return self.close(key, Close::HandshakeFailed);
                }
                Err(_) => return self.close(key, Close::Error),
            };
            let all = connection.stream.short_read_is_all() && length < READ_BYTES && !to_the_end;
            if !connection.is_heard() {
                if all {
                    return;
                }
                continue;
            }
            let flow = Flow {
                listener: connection.listener,
                transport: connection.transport,
                remote: connection.remote,
                connection: Some(id_of(self.worker, key)),
            };
            let cut = connection.take_in(&self.scratch[..length], now, flow, take);
            self.counters.stream_bytes_in.add(length as u64);
            self.counters.messages_in.add(cut.messages);
            if cut.without_length > 0 {
                self.counters.messages_without_length.add(cut.without_length);
                self.news.without_length = Some(connection.remote);
            }
            if cut.no_memory {
                return self.close(key, Close::Memory);
            }
            if cut.broken {
                self.counters.frames_broken.add(1);
                connection.phase = Phase::Ending;
                self.ending.push(key);
                return;
            }
            self.counters.pings.add(cut.pings);
            if !cut.answer.is_empty() {
                if connection.answer(&cut.answer, &self.limits, now).is_err() {
                    return self.close(key, Close::Error);
                }
                self.watch(key);
            }
            if let Some(end) = cut.end {
                return self.end_websocket(key, end, now);
            }
            if shakes_hands {
                self.settle(key, now);
            }
            if self.account(key) > self.limits.buffered_bytes {
                self.make_room();
            }
            if all {
                return;
            }
        }
        if let Some(connection) = self.slots.get_mut(key)
            && !std::mem::replace(&mut connection.unread, true)
        {
            self.unread.push_back(key);
        }
    }

    /// Adds the change of the connection's held bytes to the sum of all connections and to the sum of its source.
    pub(super) fn account(&mut self, key: Key) -> usize {
        let Some(connection) = self.slots.get_mut(key) else { return self.buffered };
        let held = connection.held();
        if held != connection.accounted {
            let before = std::mem::replace(&mut connection.accounted, held);
            self.buffered = self.buffered + held - before;
            if !connection.opened
                && let Some(share) = self.per_source.get_mut(&source(connection.remote.ip()))
            {
                share.held = share.held + held - before;
            }
            self.counters.buffered_bytes.set(self.buffered as u64);
        }
        self.buffered
    }
}
