//! The streams of one worker: listening sockets, the connections accepted there, and those opened to servers.
//!
//! Promises: a message is handed out whole, and is given to the socket whole or reported as failed. An idle connection has
//! no buffer. Every queue, table and wait has a bound in [`Limits`] and a counter. The core decides what a message means and
//! where it goes.

mod accepting;
mod connection;
mod cut;
mod deadlines;
mod handed;
mod introduced;
mod introducing;
mod limits;
mod news;
mod out_queue;
mod outgoing;
mod phase;
mod reading;
mod relay;
mod shares;
mod slots;
mod source;
mod staged;
#[cfg(test)]
mod tests;

use std::collections::{HashMap, VecDeque};
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::sync::Arc;

use base::{Network, Time};
use mio::event::Event;
use mio::net::TcpListener;
use mio::{Interest, Registry, Token};
use sip::{ConnectionId, Transport};

use crate::counters::Counters;
use crate::tcp;
use crate::tls::Identities;

use connection::Connection;
pub(crate) use handed::Pairs;
pub use handed::Part;
use introducing::Introducing;
pub use limits::Limits;
pub use news::{News, Received};
use phase::{Close, Phase};
pub(crate) use relay::Relay;
use slots::{Key, Slots, id_of};
use source::{Source, source};
use staged::Staged;

/// Bytes read from a connection at once: one message of the largest size.
const READ_BYTES: usize = 64 << 10;

/// Tokens from here on belong to connections and their listeners; lower tokens are the worker's.
pub const TOKENS_FROM: usize = 1 << 62;
const LISTENER_TOKENS: usize = TOKENS_FROM;
const INTRODUCED_TOKENS: usize = 1 << 62 | 1 << 61;
const CONNECTION_TOKENS: usize = 1 << 63;

struct Listening {
    listener: u8,
    transport: Transport,
    socket: TcpListener,
    /// There may be more connections to accept than the turn allowed.
    more: bool,
    /// Descriptors or memory were short. No event will report the waiting connections, so the next tick tries again.
    short: bool,
}

pub struct Connections {
    worker: u8,
    limits: Limits,
    registry: Registry,
    counters: Arc<Counters>,
    listening: Vec<Listening>,
    /// Transport and address of each listener of the configuration, by its index: the addresses that connections come from.
    bound: Vec<(Transport, SocketAddr)>,
    identities: Arc<Identities>,
    /// Of each listener, by its index: the proxies whose connections begin with the address of their client.
    proxies: Vec<Vec<Network>>,
    /// Connections of such proxies that have not said yet who is behind them.
    introducing: Slots<Introducing>,
    slots: Slots<Connection>,
    by_remote: HashMap<(u8, SocketAddr), Key>,
    per_source: HashMap<IpAddr, Source>,
    /// Accepted connections.
    accepted: usize,
    /// Accepted connections whose handshake is in progress.
    handshakes: usize,
    scratch: Vec<u8>,
    /// Connections that may have more bytes than were read.
    unread: VecDeque<Key>,
    /// Connections that wait for something; see [`Connection::is_waiting`].
    watched: Vec<Key>,
    /// Connections to close when the outbox of this turn is sent.
    ending: Vec<Key>,
    staged: Vec<Staged>,
    /// Sum of the bytes that the connections hold.
    buffered: usize,
    news: News,
    ticked: Time,
    sweep_position: usize,
}

impl Connections {
    /// `listeners`: all listeners of the configuration, in its order; those of stream transports are opened, except those that
    /// another process gave: `given`, by the same order.
    pub fn new(
        worker: u8,
        listeners: &[(Transport, SocketAddr)],
        given: &mut [Option<OwnedFd>],
        limits: Limits,
        identities: Arc<Identities>,
        registry: Registry,
        counters: Arc<Counters>,
    ) -> io::Result<Connections> {
        let mut listening = Vec::new();
        let mut bound = Vec::new();
        for (listener, &(transport, address)) in listeners.iter().enumerate() {
            bound.push((transport, address));
            if transport.is_reliable() {
                let mut socket = match given.get_mut(listener).and_then(Option::take) {
                    Some(given) => tcp::listening(given)?,
                    None => tcp::listen(address)?,
                };
                let token = Token(LISTENER_TOKENS + listening.len());
                registry.register(&mut socket, token, Interest::READABLE)?;
                let listener = listener as u8;
                listening.push(Listening { listener, transport, socket, more: false, short: false });
            }
        }
        Ok(Connections {
            worker,
            limits,
            registry,
            counters,
            listening,
            bound,
            identities,
            proxies: Vec::new(),
            introducing: Slots::new(limits.handshakes, u32::from_ne_bytes(os::chance::bytes()?)),
            slots: Slots::new(limits.connections, u32::from_ne_bytes(os::chance::bytes()?)),
            by_remote: HashMap::new(),
            per_source: HashMap::new(),
            accepted: 0,
            handshakes: 0,
            scratch: vec![0; READ_BYTES],
            unread: VecDeque::new(),
            watched: Vec::new(),
            ending: Vec::new(),
            staged: Vec::new(),
            buffered: 0,
            news: News::default(),
            ticked: Time::ZERO,
            sweep_position: 0,
        })
    }

    /// The addresses of the listening sockets, in the order of their listeners.
    pub fn local_addresses(&self) -> impl Iterator<Item = io::Result<SocketAddr>> {
        self.listening.iter().map(|listening| listening.socket.local_addr())
    }

    /// The listening sockets once more, with the numbers of their listeners.
    pub(crate) fn listening(&self) -> impl Iterator<Item = (u8, BorrowedFd<'_>)> {
        self.listening.iter().map(|listening| (listening.listener, listening.socket.as_fd()))
    }

    pub fn open_count(&self) -> usize {
        self.slots.len()
    }

    /// Handles the readiness of a token from [`TOKENS_FROM`] on, and hands out the messages that came.
    pub fn ready(&mut self, event: &Event, now: Time, take: &mut dyn FnMut(Received<'_>)) {
        let Token(token) = event.token();
        if token < INTRODUCED_TOKENS {
            return self.accept(token - LISTENER_TOKENS, now);
        }
        if token < CONNECTION_TOKENS {
            return self.hear_introduction(key_of(token), now);
        }
        let key = key_of(token);
        if event.is_writable() || event.is_error() || event.is_write_closed() {
            self.write_ready(key, now);
        }
        if event.is_readable() || event.is_error() || event.is_read_closed() {
            let Some(connection) = self.slots.get_mut(key) else { return };
            connection.stream.ready();
            if event.is_error() && matches!(connection.phase, Phase::HalfClosed { .. }) {
                // After the end of the stream, a read would not tell.
                return self.refused_answers(key);
            }
            let ends = event.is_error() || event.is_read_closed();
            self.read(key, now, ends, take);
        }
    }

    /// Whether the peer of this connection has shown a certificate over TLS that we would have believed on our own
    /// connection to `address`, and that contains `name` if a name is given.
    pub fn proves(&mut self, id: ConnectionId, address: IpAddr, name: Option<&[u8]>) -> bool {
        let key = Key { slot: id.slot, generation: id.generation };
        let Some(connection) = self.slots.get_mut(key).filter(|_| id.worker == self.worker) else {
            return false;
        };
        self.identities.proves(connection.stream.certificates(), address, name)
    }

    /// Whether something is left that no event will report. [`Connections::resume`] and [`Connections::accept_rest`] go on
    /// with it.
    pub fn has_more(&self) -> bool {
        !self.unread.is_empty() || self.listening.iter().any(|listening| listening.more)
    }

    pub fn unread_count(&self) -> usize {
        self.unread.len()
    }

    /// Goes on reading one connection that had more than its turn allowed.
    pub fn resume(&mut self, now: Time, take: &mut dyn FnMut(Received<'_>)) {
        // Connections are taken from the front and go back to the end if they have more: each has its turn.
        let Some(key) = self.unread.pop_front() else { return };
        if let Some(connection) = self.slots.get_mut(key) {
            connection.unread = false;
            self.read(key, now, true, take);
        }
    }

    /// What happened since the last call. The worker empties the list and returns it by [`Connections::give_back`].
    pub fn take_news(&mut self) -> News {
        std::mem::take(&mut self.news)
    }

    pub fn has_news(&self) -> bool {
        !self.news.is_empty()
    }

    /// Returns the emptied lists, so that the next turn uses their memory again.
    pub fn give_back(&mut self, mut emptied: News) {
        if self.news.is_empty() {
            emptied.failed.clear();
            emptied.without_room.clear();
            emptied.closed.clear();
            emptied.without_length = None;
            emptied.handshakes_failed.clear();
            emptied.fallbacks.clear();
            emptied.fallback_bytes.clear();
            self.news = emptied;
        }
    }

    fn add(&mut self, mut connection: Connection) -> Option<Key> {
        let key = self.slots.vacant()?;
        connection.skips_stray_bytes = self.limits.stray_bytes;
        connection.stream.register(&self.registry, token_of(key)).ok()?;
        self.by_remote.insert((connection.listener, connection.remote), key);
        self.slots.insert(key, connection);
        self.counters.connections_open.set(self.slots.len() as u64);
        Some(key)
    }

    /// The socket takes bytes, or an attempt to connect has ended.
    fn write_ready(&mut self, key: Key, now: Time) {
        let Some(connection) = self.slots.get_mut(key) else { return };
        if matches!(connection.phase, Phase::Connecting { .. }) {
            match connection.stream.connected() {
                Ok(true) => {
                    match connection.is_agreed() {
                        true => connection.open(now),
                        false => connection.phase = Phase::Handshaking { since: now },
                    }
                    self.counters.connections_opened.add(1);
                }
                Ok(false) => return,
                Err(_) => return self.close(key, Close::ConnectFailed),
            }
        }
        self.write_queued(key, now);
    }

    fn write_queued(&mut self, key: Key, now: Time) {
        let Some(connection) = self.slots.get_mut(key) else { return };
        match connection.write_queued(now) {
            Ok(written) => {
                self.counters.messages_out.add(written.messages);
                self.counters.stream_bytes_out.add(written.bytes);
                self.account(key);
                self.watch(key);
            }
            Err(_) => self.close(key, Close::Error),
        }
    }

    /// Removes the connection; reports it, and the messages in its queue as failed.
    fn close(&mut self, key: Key, why: Close) {
        let Some(connection) = self.slots.remove(key) else { return };
        self.buffered -= connection.accounted;
        self.counters.buffered_bytes.set(self.buffered as u64);
        let remote = (connection.listener, connection.remote);
        if self.by_remote.get(&remote) == Some(&key) {
            self.by_remote.remove(&remote);
        }
        if connection.is_shaking_hands() {
            self.handshake_over(connection.remote);
        }
        if !connection.opened {
            let from = source(connection.remote.ip());
            self.accepted -= 1;
            if let Some(has) = self.per_source.get_mut(&from) {
                has.connections -= 1;
                has.held -= connection.accounted;
                if has.connections == 0 {
                    self.per_source.remove(&from);
                }
            }
        }
        let counters = &self.counters;
        counters.connections_open.set(self.slots.len() as u64);
        let counter = match why {
            Close::Peer => &counters.connections_closed_by_peer,
            Close::Error => &counters.connections_closed_error,
            Close::Idle => &counters.connections_closed_idle,
            Close::Slow => &counters.connections_closed_slow,
            Close::Stuck => &counters.connections_closed_stuck,
            Close::WebSocketEnded => &counters.websockets_ended,
            Close::BrokenFrame => &counters.connections_closed_broken_frame,
            Close::Memory => &counters.connections_closed_memory,
            Close::ConnectFailed => &counters.connect_failures,
            Close::HandshakeFailed => &counters.handshakes_failed,
            Close::HandshakeSlow => &counters.handshakes_slow,
            Close::Displaced => &counters.connections_displaced,
            Close::HandshakeDisplaced => &counters.handshakes_displaced,
        };
        counter.add(1);
        self.news.closed.push((id_of(self.worker, key), connection.remote));
        if let Some(queue) = connection.queue {
            for message in queue.into_messages() {
                if let Some(target) = message.target {
                    self.counters.messages_failed.add(1);
                    let fallback = message.fallback.as_ref().map(|(bytes, to)| (&bytes[..], *to));
                    self.lose(target, fallback);
                }
            }
        }
    }
}

fn token_of(key: Key) -> Token {
    Token(CONNECTION_TOKENS | (key.generation as usize) << 16 | usize::from(key.slot))
}

fn key_of(token: usize) -> Key {
    Key { slot: token as u16, generation: (token >> 16) as u32 }
}
