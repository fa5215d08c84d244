//! A worker's half of the streams, over real sockets on loopback. The test sets the time.

use std::net::{SocketAddr, TcpStream};
use std::os::fd::{BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::thread::JoinHandle;

use base::{Duration, Time};
use mio::{Events, Poll};
use sip::{ConnectionId, Flow, Target, Transport};

use crate::connections::{Connections, Limits, Received};
use crate::counters::Counters;
use crate::tls::Identities;

/// A worker's half: connections, the poll where they are registered, and what they brought.
pub(super) struct Bench {
    pub(super) poll: Poll,
    pub(super) connections: Connections,
    pub(super) counters: Arc<Counters>,
    pub(super) now: Time,
    pub(super) messages: Vec<(String, Flow)>,
    pub(super) broken: Vec<(String, Flow)>,
    pub(super) failed: Vec<Target>,
    pub(super) without_room: Vec<Target>,
    pub(super) handshakes_failed: Vec<(SocketAddr, String)>,
    pub(super) closed: Vec<(ConnectionId, SocketAddr)>,
    pub(super) fallbacks: Vec<(String, Target)>,
    /// Sent to the connection that a broken frame came on, in the same turn.
    pub(super) answer_broken: Option<&'static str>,
}

impl Bench {
    pub(super) fn with(limits: Limits) -> Bench {
        Bench::over(Transport::Tcp, limits, Arc::default())
    }

    /// With one listener of this transport.
    pub(super) fn over(transport: Transport, limits: Limits, identities: Arc<Identities>) -> Bench {
        Bench::on(&[transport], limits, identities)
    }

    /// With a listener for each of these.
    pub(super) fn on(transports: &[Transport], limits: Limits, identities: Arc<Identities>) -> Bench {
        Bench::at(transports, &mut [], limits, identities)
    }

    /// Some of the listeners are there already.
    fn at(
        transports: &[Transport],
        given: &mut [Option<OwnedFd>],
        limits: Limits,
        identities: Arc<Identities>,
    ) -> Bench {
        let poll = Poll::new().unwrap();
        let counters = Arc::new(Counters::default());
        let listeners: Vec<_> =
            transports.iter().map(|&transport| (transport, "127.0.0.1:0".parse().unwrap())).collect();
        let registry = poll.registry().try_clone().unwrap();
        let counted = Arc::clone(&counters);
        let connections =
            Connections::new(0, &listeners, given, limits, identities, registry, counted).unwrap();
        Bench {
            poll,
            connections,
            counters,
            now: Time::from_secs(1000),
            messages: Vec::new(),
            broken: Vec::new(),
            failed: Vec::new(),
            without_room: Vec::new(),
            handshakes_failed: Vec::new(),
            closed: Vec::new(),
            fallbacks: Vec::new(),
            answer_broken: None,
        }
    }

    pub(super) fn new() -> Bench {
        Bench::with(Limits::default())
    }

    /// Another process goes on with its listeners and connections, under these transports; this one relays TLS until the last
    /// of those connections has ended.
    pub(super) fn handed_over(self, transports: &[Transport]) -> (Bench, JoinHandle<std::io::Result<()>>) {
        let (part, pairs) = self.connections.part();
        let copy = |fd: BorrowedFd<'_>| fd.try_clone_to_owned().unwrap();
        // SAFETY: the connections are open until the end of this function.
        let borrowed = part.descriptors.iter().map(|fd| unsafe { BorrowedFd::borrow_raw(*fd) });
        let descriptors: Vec<OwnedFd> = borrowed.map(copy).collect();
        let mut given: Vec<_> = self.connections.listening().map(|(_, socket)| Some(copy(socket))).collect();
        let mut next = Bench::at(transports, &mut given, Limits::default(), Arc::default());
        next.now = self.now;
        let all = descriptors.len();
        let (taken, _) = next.connections.restore(&part.bytes, descriptors, self.now);
        assert_eq!((taken, part.left_out), (all, 0));
        let relay = self.connections.into_relay(pairs).unwrap();
        (next, std::thread::spawn(move || relay.run(os::Clock::start())))
    }

    pub(super) fn client(&self) -> TcpStream {
        let address = self.connections.local_addresses().next().unwrap().unwrap();
        let client = TcpStream::connect(address).unwrap();
        client.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
        client
    }

    pub(super) fn turn(&mut self, wait: Duration) {
        let mut events = Events::with_capacity(64);
        self.poll.poll(&mut events, Some(wait)).unwrap();
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let (messages, broken) = (&mut self.messages, &mut self.broken);
        let mut take = |received: Received<'_>| match received {
            Received::Message { bytes, flow } => messages.push((text(bytes), flow)),
            Received::Broken { bytes, flow } => broken.push((text(bytes), flow)),
        };
        for event in &events {
            self.connections.ready(event, self.now, &mut take);
        }
        while self.connections.has_more() {
            self.connections.accept_rest(self.now);
            self.connections.resume(self.now, &mut take);
        }
        self.connections.handle_timeout(self.now);
        if let (Some(answer), Some((_, flow))) = (self.answer_broken, self.broken.first()) {
            let to = Target::Connection {
                listener: 0,
                id: flow.connection.unwrap(),
                to: flow.remote,
                or_connect: false,
            };
            self.answer_broken = None;
            self.send(answer, to);
        }
        self.connections.flush(&[], self.now);
        let news = self.connections.take_news();
        self.failed.extend(&news.failed);
        self.without_room.extend(&news.without_room);
        self.closed.extend(&news.closed);
        self.handshakes_failed.extend(news.handshakes_failed.iter().cloned());
        for (range, to) in &news.fallbacks {
            self.fallbacks.push((text(&news.fallback_bytes[range.start as usize..range.end as usize]), *to));
        }
        self.connections.give_back(news);
    }

    /// Turns until `done` is true; fails if that takes more than some seconds.
    pub(super) fn until(&mut self, what: &str, mut done: impl FnMut(&Bench) -> bool) {
        for _ in 0..500 {
            if done(self) {
                return;
            }
            self.turn(Duration::from_millis(10));
        }
        panic!("not within 5 s: {what}; {:?}", self.counters.read().filter(|c| c.1 > 0).collect::<Vec<_>>());
    }

    /// Lets time pass, and has every connection looked at.
    pub(super) fn pass(&mut self, time: Duration) {
        self.now = self.now + time;
        for _ in 0..11 {
            self.turn(Duration::ZERO);
            self.now = self.now + Limits::default().tick;
        }
    }

    pub(super) fn send(&mut self, text: &str, to: Target) {
        self.send_or(text, to, None);
    }

    pub(super) fn send_or(&mut self, text: &str, to: Target, fallback: Option<(&str, Target)>) {
        let mut bytes = text.as_bytes().to_vec();
        let range = 0..text.len() as u32;
        let fallback = fallback.map(|(text, to)| {
            bytes.extend_from_slice(text.as_bytes());
            (range.end..bytes.len() as u32, to)
        });
        self.connections.stage(&bytes, range, to, fallback, self.now);
        self.connections.flush(&bytes, self.now);
    }

    pub(super) fn count(&self, name: &str) -> u64 {
        self.counters.read().find(|(counter, _)| *counter == name).unwrap().1
    }
}
