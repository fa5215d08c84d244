//! One worker: a thread that owns its sockets, its connections, a core and an outbox, and runs turns.
//!
//! A turn waits for the sockets, takes what came, gives message by message to the core, and sends what the core left in the
//! outbox. There is no lock, no queue and no allocation on the way of a datagram. The clock is read once per turn.

mod aside;
mod asked;
mod balance;
mod beside;
mod edge;
mod introduce;
mod leaving;
mod setup;
mod standstill;
#[cfg(test)]
mod tests;

use std::io;
use std::os::fd::AsRawFd;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use base::{Duration, Network, Time};
use mio::unix::SourceFd;
use mio::{Events, Interest, Poll, Token};
use sip::{Flow, Transport};
use turn::{Core, Input};

use crate::udp::BATCH;
use crate::{
    Clock, Connections, Counters, Datagram, Mailbox, Received, Receiver, Returned, Spread, Udp, Wait,
};

pub use aside::Aside;
use aside::ServiceRate;
use balance::Balance;
pub use beside::Beside;
use edge::Edge;
pub use introduce::introduce;
use leaving::{Outbox, empty, throw_away_if_late};
pub use setup::{Handle, Setup};
pub use standstill::Standstill;

/// Turns in a row that may go on with known work before the kernel is asked again, so that a flood on one socket cannot make
/// the others wait for more than some 500 messages.
const TURNS_WITHOUT_WAIT: u32 = 8;

/// The outbox is sent at the latest when it holds this many bytes: a bound on its memory, far above a usual turn.
const OUTBOX_BYTES_MAX: usize = 1 << 20;

/// Readiness reports taken from epoll at one time.
const EVENTS: usize = 256;

/// Time between two looks at what changes slowly: drops in the kernel, processor time, spread.
const HOUSEKEEPING: Duration = Duration::from_millis(200);

/// Longest wait when nothing is due; only a safeguard, because every source of work wakes the worker.
const WAIT_MAX: Duration = Duration::from_secs(1);

const TOKEN_MAILBOX: Token = Token(0);
const TOKEN_ASIDE: Token = Token(1);
const TOKEN_BESIDE: Token = Token(2);

pub struct Worker<C: Core> {
    core: C,
    outbox: Outbox<C>,
    receiver: Receiver,
    edge: Edge<C::Letter>,
    beside: Box<dyn Beside<C>>,
    /// Answers to the core's questions, until the core has them.
    answers: Vec<C::Answer>,
    /// The poll of everything except the UDP sockets.
    poll: Poll,
    events: Option<Events>,
    /// Waits for the UDP sockets and for `poll`.
    wait: Wait,
    /// UDP sockets, by position in `edge.udp`, that may have more than was taken.
    unread: Vec<bool>,
    aside: Option<Box<dyn Aside>>,
    rate: ServiceRate,
    clock: Clock,
    /// When the present turn began.
    now: Time,
    pin: Option<usize>,
    late: Option<Duration>,
    handle: Handle,
    turns_without_wait: u32,
    housekeeping_due: Time,
    spread: Spread,
    /// Only the first of several workers has it.
    balance: Option<Balance>,
}

impl<C: Core> Worker<C> {
    /// Opens the sockets. All workers of a process are made before the first runs: the sockets of a reuseport group must
    /// exist before traffic comes.
    pub fn new(mut setup: Setup<'_, C>, core: C) -> io::Result<Worker<C>> {
        let poll = Poll::new()?;
        let counters = Arc::new(Counters::default());
        let mut udp = Vec::new();
        for (listener, &(transport, bind)) in setup.listeners.iter().enumerate() {
            let listener = u8::try_from(listener).map_err(|_| io::Error::other("more than 256 listeners"))?;
            if transport == Transport::Udp {
                let given = setup.given.get_mut(usize::from(listener)).and_then(Option::take);
                udp.push(Udp::open(listener, bind, setup.udp, given)?);
            }
        }
        let registry = poll.registry().try_clone()?;
        let connections = Connections::new(
            setup.index,
            setup.listeners,
            &mut setup.given,
            setup.limits,
            setup.identities,
            registry,
            Arc::clone(&counters),
        )?;
        let mailbox = Arc::new(Mailbox::new(poll.registry(), TOKEN_MAILBOX)?);
        if let Some(answers) = setup.beside.source() {
            poll.registry().register(&mut SourceFd(&answers), TOKEN_BESIDE, Interest::READABLE)?;
        }
        let handle = Handle {
            stop: Arc::default(),
            wake: mailbox.waker(),
            counters: Arc::clone(&counters),
            asked: Arc::default(),
        };
        Ok(Worker {
            core,
            outbox: turn::Outbox::default(),
            receiver: Receiver::new(BATCH),
            unread: vec![false; udp.len()],
            wait: Wait::new(&udp, poll.as_raw_fd()),
            edge: Edge::new(setup.index, udp, connections, mailbox, counters),
            beside: setup.beside,
            answers: Vec::new(),
            poll,
            events: Some(Events::with_capacity(EVENTS)),
            aside: None,
            rate: ServiceRate::default(),
            clock: setup.clock,
            now: setup.clock.now(),
            pin: setup.pin,
            late: setup.late,
            handle,
            turns_without_wait: 0,
            housekeeping_due: Time::ZERO,
            spread: setup.spread,
            balance: None,
        })
    }

    pub fn handle(&self) -> Handle {
        self.handle.clone()
    }

    /// The proxies in front of each listener, by its index ([`crate::Connections::trust_proxies`]).
    pub fn trust_proxies(&mut self, proxies: Vec<Vec<Network>>) {
        self.edge.connections.trust_proxies(proxies);
    }

    /// The UDP sockets, in the order of their listeners.
    pub fn udp(&self) -> &[Udp] {
        self.edge.udp()
    }

    /// Thread model `one` (SPEC A7): `aside` shares this worker's thread from now on.
    pub fn share_thread(&mut self, aside: Box<dyn Aside>) -> io::Result<()> {
        self.poll.registry().register(&mut SourceFd(&aside.source()), TOKEN_ASIDE, Interest::READABLE)?;
        self.aside = Some(aside);
        Ok(())
    }

    /// Runs until [`Handle::stop`].
    pub fn run(mut self) -> io::Result<()> {
        if let Some(core) = self.pin {
            // Pinning only makes the worker faster; in a container that forbids it, the worker still works.
            let _ = crate::option::pin_thread(core);
        }
        while !self.handle.stop.load(Ordering::Acquire) {
            if let Some(request) = self.handle.asked.take()
                && let Some(pairs) = self.stand_still(&request)
            {
                return self.relay(pairs);
            }
            self.turn()?;
        }
        Ok(())
    }

    fn turn(&mut self) -> io::Result<()> {
        let unread = self.unread.contains(&true) || self.edge.connections.has_more();
        let now = if unread && self.turns_without_wait < TURNS_WITHOUT_WAIT {
            self.turns_without_wait += 1;
            self.clock.now()
        } else {
            self.turns_without_wait = 0;
            self.wait(unread)?
        };
        self.now = now;
        self.edge.counters.turns.add(1);
        let busy = self.take_datagrams(now);
        self.take_rest_of_streams(now);
        self.run_timers(now);
        self.flush(now);
        self.run_aside(now, busy);
        if now >= self.housekeeping_due {
            self.housekeeping_due = now + HOUSEKEEPING;
            self.edge.keep_house();
            if let Some(balance) = &mut self.balance {
                balance.look(now, self.edge.udp(), &self.edge.counters);
            }
        }
        Ok(())
    }

    /// Waits until a socket is ready, a deadline has come, or somebody wakes the worker, and handles the input of streams.
    /// Datagrams are only noted, because they are taken in batches. Returns the time of this turn.
    fn wait(&mut self, unread: bool) -> io::Result<Time> {
        let Some(mut events) = self.events.take() else { return Ok(self.clock.now()) };
        let mut patience = if unread { Duration::ZERO } else { self.patience() };
        let mut polled = Ok(());
        events.clear();
        if self.wait.has_sockets() {
            polled = self.wait.wait(patience);
            for ready in self.wait.sockets() {
                self.unread[ready.socket] = true;
                if ready.errors {
                    self.edge.take_errors(ready.socket);
                }
            }
            patience = Duration::ZERO;
        }
        if polled.is_ok() && (self.wait.epoll() || !self.wait.has_sockets()) {
            polled = self.poll.poll(&mut events, Some(patience));
        }
        let now = self.clock.now();
        for event in &events {
            match event.token() {
                TOKEN_MAILBOX => {
                    let (core, outbox) = (&mut self.core, &mut self.outbox);
                    self.edge.take_letters(outbox, |letter, outbox| {
                        core.handle(now, Input::Letter(&letter), outbox);
                    });
                    self.flush(now);
                }
                TOKEN_BESIDE => self.take_answers(now),
                TOKEN_ASIDE => self.rate.arrived(),
                _ => {
                    let (core, outbox) = (&mut self.core, &mut self.outbox);
                    self.edge.connections.ready(event, now, &mut |received| {
                        core.handle(now, input_of(received), outbox);
                    });
                    self.flush_if_large(now);
                }
            }
        }
        self.events = Some(events);
        match polled {
            Err(error) if error.kind() != io::ErrorKind::Interrupted => Err(error),
            _ => Ok(now),
        }
    }

    fn patience(&self) -> Duration {
        if self.rate.is_behind() {
            return Duration::ZERO;
        }
        let aside = self.aside.as_ref().and_then(|aside| aside.next_deadline());
        let deadlines = [
            self.core.next_deadline(),
            self.edge.connections.next_deadline(),
            self.beside.next_deadline(),
            aside,
        ];
        match deadlines.into_iter().flatten().min() {
            // Counted from the start of the last turn: reading the clock again would cost more than the difference matters.
            Some(deadline) => deadline.since(self.now).min(WAIT_MAX),
            None => WAIT_MAX,
        }
    }

    /// Takes one batch from every ready socket, and sends the results.
    fn take_datagrams(&mut self, now: Time) -> bool {
        let mut busy = false;
        for index in 0..self.unread.len() {
            if !self.unread[index] {
                continue;
            }
            let (count, listener) = self.edge.receive(index, &mut self.receiver);
            self.unread[index] = count == self.receiver.batch();
            busy |= count > 0;
            let mut bytes_in = 0;
            for datagram in self.receiver.datagrams() {
                let Datagram::Whole { bytes, from } = datagram else {
                    self.edge.counters.datagrams_truncated.add(1);
                    continue;
                };
                bytes_in += bytes.len() as u64;
                let flow = Flow { listener, transport: Transport::Udp, remote: from, connection: None };
                self.core.handle(now, Input::Message { bytes, flow }, &mut self.outbox);
                if self.outbox.bytes.len() > OUTBOX_BYTES_MAX {
                    throw_away_if_late(&mut self.outbox, &self.edge.counters, (self.late, now, &self.clock));
                    empty(&mut self.outbox, &mut self.edge, &mut *self.beside, now);
                }
            }
            self.edge.counters.datagram_bytes_in.add(bytes_in);
            self.flush(now);
        }
        busy
    }

    /// Goes on with the streams that had more than their turn allowed, each once.
    fn take_rest_of_streams(&mut self, now: Time) {
        self.edge.connections.accept_rest(now);
        for _ in 0..self.edge.connections.unread_count() {
            let (core, outbox) = (&mut self.core, &mut self.outbox);
            self.edge.connections.resume(now, &mut |received| core.handle(now, input_of(received), outbox));
            self.flush_if_large(now);
        }
    }

    fn run_timers(&mut self, now: Time) {
        if self.core.next_deadline().is_some_and(|deadline| deadline <= now) {
            self.core.handle_timeout(now, &mut self.outbox);
        }
        if self.beside.next_deadline().is_some_and(|deadline| deadline <= now) {
            self.take_answers(now);
        }
        self.edge.connections.handle_timeout(now);
    }

    fn run_aside(&mut self, now: Time, busy: bool) {
        let Some(aside) = &mut self.aside else { return };
        let due = aside.next_deadline().is_some_and(|deadline| deadline <= now);
        if let Some(budget) = self.rate.budget(busy, due) {
            let served = aside.turn(now, budget);
            self.rate.served(served, budget);
        }
    }

    fn flush_if_large(&mut self, now: Time) {
        if self.outbox.bytes.len() > OUTBOX_BYTES_MAX {
            self.flush(now);
        }
    }

    /// Sends the outbox and tells the core what could not be sent, until that leads to nothing more.
    fn flush(&mut self, now: Time) {
        self.send(now);
        for _ in 0..edge::FAILURE_ROUNDS {
            if !self.edge.has_reports() {
                return;
            }
            for (claim, proven) in std::mem::take(&mut self.edge.judged) {
                self.core.handle(now, Input::Judged { claim: &claim, proven }, &mut self.outbox);
            }
            for (bytes, to) in self.edge.take_fallbacks() {
                self.core.handle(now, Input::FellBack { bytes: &bytes, to }, &mut self.outbox);
            }
            let (mut failures, mut closed) = self.edge.take_reports();
            for to in failures.unsent.drain(..) {
                self.core.handle(now, Input::SendFailed { to }, &mut self.outbox);
            }
            for to in failures.without_room.drain(..) {
                self.core.handle(now, Input::NoRoom { to }, &mut self.outbox);
            }
            for Returned { to, quoted } in failures.returned() {
                self.core.handle(now, Input::Returned { to, quoted }, &mut self.outbox);
            }
            failures.clear();
            for (id, peer) in closed.drain(..) {
                self.core.handle(now, Input::Closed { id, peer }, &mut self.outbox);
            }
            self.edge.give_back((failures, closed));
            self.send(now);
        }
        self.edge.forget_failed();
    }

    fn send(&mut self, now: Time) {
        throw_away_if_late(&mut self.outbox, &self.edge.counters, (self.late, now, &self.clock));
        empty(&mut self.outbox, &mut self.edge, &mut *self.beside, now);
    }

    fn take_answers(&mut self, now: Time) {
        self.beside.answers(now, &mut self.answers);
        for answer in self.answers.drain(..) {
            self.core.handle(now, Input::Answer(&answer), &mut self.outbox);
        }
        self.flush(now);
    }
}

fn input_of<A, L>(received: Received<'_>) -> Input<'_, A, L> {
    match received {
        Received::Message { bytes, flow } => Input::Message { bytes, flow },
        Received::Broken { bytes, flow } => Input::BrokenFrame { bytes, flow },
    }
}
