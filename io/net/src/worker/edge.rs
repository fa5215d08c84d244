//! The sockets of one worker, and the way of an outbox into them.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use base::Time;
use sip::{ConnectionId, Target};
use turn::{Claim, Outbox, Outgoing};

use crate::{Connections, Counters, Failures, Letter, Mailbox, Passing, Receiver, Udp};

/// How often in one turn the core may answer failed sends with sends that fail, too: the cascade of a request to its next
/// server is one round. Further failures are not reported, so that a farm without any reachable server cannot hold a worker.
pub(super) const FAILURE_ROUNDS: usize = 4;

/// Time between two log lines about failed handshakes.
const TELL_PAUSE: Duration = Duration::from_secs(1);

/// Time between two log lines about servers that leave Content-Length out: this lasts until somebody repairs the server.
const LENGTH_PAUSE: Duration = Duration::from_secs(600);

/// Position of listeners that are not UDP.
const NONE: u8 = u8::MAX;

pub(super) struct Edge<L> {
    worker: u8,
    udp: Vec<Udp>,
    /// Listener index → position in `udp`.
    by_listener: Vec<u8>,
    pub(super) connections: Connections,
    /// The mailboxes of all workers, by their number, including this worker's.
    pub(super) mailboxes: Vec<Arc<Mailbox<L>>>,
    failures: Failures,
    closed: Vec<(ConnectionId, SocketAddr)>,
    /// Messages that left by UDP because their stream could not be opened, and their destinations: few, because a peer that
    /// refuses a stream is not asked for one again soon.
    fell_back: Vec<(Box<[u8]>, SocketAddr)>,
    /// When the log last had a line about a failed handshake.
    handshake_told: Option<Time>,
    /// When the log last had a line about a server that leaves Content-Length out.
    length_told: Option<Time>,
    /// Claims of peers, and whether their certificates prove them.
    pub(super) judged: Vec<(Claim, bool)>,
    pub(super) counters: Arc<Counters>,
}

impl<L> Edge<L> {
    /// `mailbox`: that of this worker.
    pub(super) fn new(
        worker: u8,
        udp: Vec<Udp>,
        connections: Connections,
        mailbox: Arc<Mailbox<L>>,
        counters: Arc<Counters>,
    ) -> Edge<L> {
        let mut by_listener = vec![NONE; 256];
        for (position, socket) in udp.iter().enumerate() {
            by_listener[usize::from(socket.listener())] = position as u8;
        }
        Edge {
            worker,
            udp,
            by_listener,
            connections,
            // Until the workers are introduced to each other, each knows only itself.
            mailboxes: vec![mailbox],
            failures: Failures::default(),
            closed: Vec::new(),
            fell_back: Vec::new(),
            handshake_told: None,
            length_told: None,
            judged: Vec::new(),
            counters,
        }
    }

    pub(super) fn udp(&self) -> &[Udp] {
        &self.udp
    }

    /// The own one.
    pub(super) fn mailbox(&self) -> Arc<Mailbox<L>> {
        let own = self.mailboxes.get(usize::from(self.worker)).or(self.mailboxes.first());
        Arc::clone(own.expect("a worker has its own mailbox from the start"))
    }

    /// Takes one batch from the socket at this position. Returns the number of datagrams and the listener.
    pub(super) fn receive(&mut self, position: usize, receiver: &mut Receiver) -> (usize, u8) {
        let socket = &mut self.udp[position];
        (socket.receive(receiver, &mut self.failures, &self.counters), socket.listener())
    }

    pub(super) fn take_errors(&mut self, position: usize) {
        self.udp[position].take_errors(&mut self.failures, &self.counters);
    }

    /// Sends all messages and letters of the outbox, and empties it.
    pub(super) fn send<A, E>(&mut self, outbox: &mut Outbox<A, L, E>, now: Time) {
        for send in &outbox.sends {
            match send.to {
                Target::Datagram { listener, to } => {
                    let position = usize::from(self.by_listener[usize::from(listener)]);
                    let Some(socket) = self.udp.get_mut(position) else {
                        self.counters.sends_without_socket.add(1);
                        self.failures.without_room.push(send.to);
                        continue;
                    };
                    socket.queue(
                        &outbox.bytes,
                        send.bytes.clone(),
                        to,
                        send.call,
                        &mut self.failures,
                        &self.counters,
                    );
                }
                Target::Connection { id, .. } if id.worker != self.worker => {
                    self.post(id, send, &outbox.bytes, now);
                }
                Target::Connection { .. } | Target::Stream { .. } => {
                    let (range, fallback) = (send.bytes.clone(), send.fallback.clone());
                    self.connections.stage(&outbox.bytes, range, send.to, fallback, now);
                }
            }
        }
        for socket in &mut self.udp {
            socket.flush(&outbox.bytes, &mut self.failures, &self.counters);
        }
        self.connections.flush(&outbox.bytes, now);
        for claim in outbox.claims.drain(..) {
            let proven = self.connections.proves(claim.id, claim.address.ip(), claim.name.as_deref());
            self.judged.push((claim, proven));
        }
        for (worker, letter) in outbox.letters.drain(..) {
            let mailbox = self.mailboxes.get(usize::from(worker));
            if mailbox.is_some_and(|mailbox| mailbox.post(Letter::Core(letter))) {
                self.counters.mailbox_out.add(1);
            } else {
                self.counters.mailbox_dropped_full.add(1);
            }
        }
        outbox.sends.clear();
        outbox.bytes.clear();
        if self.connections.has_news() {
            self.take_news(now);
        }
    }

    /// A message for a connection of another worker.
    fn post(&mut self, id: ConnectionId, send: &Outgoing, bytes: &[u8], now: Time) {
        let Some(mailbox) = self.mailboxes.get(usize::from(id.worker)) else {
            // No worker has that number: the connection belongs to nobody, so only the target's alternatives are left.
            let (range, fallback) = (send.bytes.clone(), send.fallback.clone());
            return self.connections.stage(bytes, range, send.to, fallback, now);
        };
        let copy = |range: &std::ops::Range<u32>| {
            Box::from(bytes.get(range.start as usize..range.end as usize).unwrap_or_default())
        };
        let fallback = send.fallback.as_ref().map(|(range, to)| (copy(range), *to));
        if mailbox.post(Letter::Message(Passing { bytes: copy(&send.bytes), to: send.to, fallback })) {
            self.counters.mailbox_out.add(1);
        } else {
            self.counters.mailbox_dropped_full.add(1);
            self.failures.without_room.push(send.to);
        }
    }

    /// Takes the content of this worker's mailbox: messages into the outbox, letters to the core.
    pub(super) fn take_letters<A, E>(
        &mut self,
        outbox: &mut Outbox<A, L, E>,
        mut hear: impl FnMut(L, &mut Outbox<A, L, E>),
    ) {
        let mailbox = self.mailbox();
        mailbox.open();
        // At most one full mailbox: a sender that posts as fast as we take must not keep us here.
        for _ in 0..crate::mailbox::LETTERS {
            let Some(letter) = mailbox.take() else { return };
            self.counters.mailbox_in.add(1);
            let letter = match letter {
                Letter::Message(message) => message,
                Letter::Core(letter) => {
                    hear(letter, outbox);
                    continue;
                }
            };
            let mut add = |bytes: &[u8]| {
                let start = outbox.bytes.len() as u32;
                outbox.bytes.extend_from_slice(bytes);
                start..outbox.bytes.len() as u32
            };
            let bytes = add(&letter.bytes);
            let fallback = letter.fallback.map(|(bytes, to)| (add(&bytes), to));
            outbox.sends.push(Outgoing { bytes, to: letter.to, fallback, call: 0 });
        }
        mailbox.wake();
    }

    /// Sends the fallbacks of messages that could not go by stream, and notes what the core must be told.
    fn take_news(&mut self, now: Time) {
        let mut news = self.connections.take_news();
        for (bytes, to) in news.fallbacks.drain(..) {
            let (listener, to, range) = match to {
                Target::Datagram { listener, to } => (listener, to, bytes),
                Target::Connection { id, .. } if id.worker != self.worker => {
                    self.post(
                        id,
                        &Outgoing { bytes, to, fallback: None, call: 0 },
                        &news.fallback_bytes,
                        now,
                    );
                    continue;
                }
                Target::Connection { .. } | Target::Stream { .. } => {
                    self.connections.stage(&news.fallback_bytes, bytes, to, None, now);
                    continue;
                }
            };
            let position = usize::from(self.by_listener[usize::from(listener)]);
            if let Some(socket) = self.udp.get_mut(position) {
                self.fell_back
                    .push((news.fallback_bytes[range.start as usize..range.end as usize].into(), to));
                socket.queue(&news.fallback_bytes, range, to, 0, &mut self.failures, &self.counters);
            }
        }
        for socket in &mut self.udp {
            socket.flush(&news.fallback_bytes, &mut self.failures, &self.counters);
        }
        self.connections.flush(&news.fallback_bytes, now);
        for (server, why) in news.handshakes_failed.drain(..) {
            // Each message to such a server may try again, so not every failure is logged.
            if self.handshake_told.is_none_or(|told| now.since(told) >= TELL_PAUSE) {
                self.handshake_told = Some(now);
                tracing::warn!(
                    "TLS with {server} failed: {why}; tls.server_ca and tls.server_name say which certificate is accepted"
                );
            }
        }
        if let Some(server) = news.without_length.take()
            && self.length_told.is_none_or(|told| now.since(told) >= LENGTH_PAUSE)
        {
            self.length_told = Some(now);
            tracing::warn!(
                "server {server} leaves Content-Length out of messages on a stream, which RFC 3261 §18.3 does not allow; they count as messages \
                 without a body; remedy: repair the server, because a message with a body would end the connection"
            );
        }
        self.failures.unsent.append(&mut news.failed);
        self.failures.without_room.append(&mut news.without_room);
        self.closed.append(&mut news.closed);
        self.connections.give_back(news);
    }

    pub(super) fn has_reports(&self) -> bool {
        // The failed fallbacks are failures, too.
        !self.failures.is_empty() || !self.closed.is_empty() || !self.judged.is_empty()
    }

    pub(super) fn take_fallbacks(&mut self) -> Vec<(Box<[u8]>, SocketAddr)> {
        std::mem::take(&mut self.fell_back)
    }

    /// Lends the lists of what the core must be told; [`Edge::give_back`] returns the memory.
    pub(super) fn take_reports(&mut self) -> (Failures, Vec<(ConnectionId, SocketAddr)>) {
        (std::mem::take(&mut self.failures), std::mem::take(&mut self.closed))
    }

    /// Both are empty except for what was added meanwhile.
    pub(super) fn give_back(
        &mut self,
        (mut failures, mut closed): (Failures, Vec<(ConnectionId, SocketAddr)>),
    ) {
        failures.append(&mut self.failures);
        closed.append(&mut self.closed);
        (self.failures, self.closed) = (failures, closed);
    }

    pub(super) fn forget_failed(&mut self) {
        self.counters.failures_unreported.add(self.failures.len() as u64);
        self.failures.clear();
        self.fell_back.clear();
    }

    /// What changes slowly: once every few hundred milliseconds.
    pub(super) fn keep_house(&mut self) {
        self.counters.busy_micros.set(crate::option::thread_cpu_micros());
        let captured = !self.udp.is_empty() && crate::is_capturing();
        self.counters.capture_seen.set(captured.into());
        for socket in &mut self.udp {
            socket.count_kernel_drops(&self.counters);
            socket.set_captured(captured);
        }
    }
}
