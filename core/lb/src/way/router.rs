//! The core that a worker drives: one message in, messages and events out.

use std::net::SocketAddr;
use std::sync::Arc;

use base::{Chance, Duration, Time};
use heartbeat::notice::Notice;
use sip::{Edits, Flow, Parser, Start, Target, Transport};
use turn::Input;

use crate::counters::{Counter, WorkerCounters};
use crate::farm::server::{Server, ServerId};
use crate::farm::snapshot::Snapshot;
use crate::hold::Alarms;
use crate::outbox::{Event, Outbox};
use crate::shared::Shared;
use crate::way::encapsulated;
use crate::way::refused::Refusals;

/// How often a worker looks whether a probe is wanted.
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// Held requests attended to in one turn; the rest keep the deadline in the past.
pub(crate) const ACTIONS_MAX: usize = 256;

/// One per worker: scratch space and a reference to what is shared.
pub struct Router {
    parser: Parser,
    core: Core,
    /// When this worker last looked at what the control thread wants.
    looked: Time,
    /// The held message that is being sent again.
    kept: Vec<u8>,
}

/// All of a router but the parser, which lends the message.
pub(crate) struct Core {
    pub shared: Arc<Shared>,
    pub snapshot: Arc<Snapshot>,
    pub counters: Arc<WorkerCounters>,
    pub edits: Edits,
    pub chance: Chance,
    pub worker: u8,
    pub alarms: Alarms,
    pub alarms_of_registrations: Alarms,
    pub refusing: crate::connections::refusing::Refusing,
    /// Where choices of servers are noted.
    pub why: Arc<crate::why::Ring>,
    /// The turn and the server of the last look for requests that could not be sent: one look finds all.
    unsent: Option<(Time, ServerId)>,
    pub refusals: Refusals,
}

impl turn::Core for Router {
    type Ask = Notice;
    type Answer = turn::None;
    type Letter = turn::None;
    type Event = Event;

    fn handle(&mut self, now: Time, input: Input<'_>, out: &mut Outbox) {
        Router::handle(self, now, input, out);
    }

    fn handle_timeout(&mut self, now: Time, out: &mut Outbox) {
        Router::handle_timeout(self, now, out);
    }

    fn next_deadline(&self) -> Option<Time> {
        Router::next_deadline(self)
    }
}

impl Router {
    /// `chance` is from outside: ties between servers, the random part of a choice, what our own requests are known by.
    pub fn new(shared: Arc<Shared>, worker: u8, chance: Chance) -> Router {
        let counters = shared.counters_of(worker);
        let snapshot = shared.snapshot();
        let why = shared.why.ring(worker);
        let alarms = Alarms::new(worker, shared.settings.held_max);
        let alarms_of_registrations = Alarms::new(worker, shared.settings.register.in_progress_max);
        let core = Core {
            shared,
            snapshot,
            counters,
            edits: Edits::new(),
            chance,
            worker,
            alarms,
            alarms_of_registrations,
            refusing: Default::default(),
            why,
            unsent: None,
            refusals: Refusals::default(),
        };
        Router { parser: Parser::new(), core, looked: Time::ZERO, kept: Vec::new() }
    }

    /// Never fails: a bad input becomes an answer, a counter, or both.
    pub fn handle(&mut self, now: Time, input: Input<'_>, out: &mut Outbox) {
        self.core.refresh(now);
        self.core.refusals.now = now;
        if let Input::Message { flow: Flow { connection: Some(id), .. }, .. } = input {
            self.core.shared.flows.heard(id);
        }
        match input {
            Input::Message { bytes, flow }
                if flow.transport == Transport::Udp && self.core.quick_response(now, bytes, out) => {}
            Input::Message { bytes, flow } if encapsulated::is_meant(bytes) => {
                self.core.encapsulated(now, bytes, flow, &mut self.parser, out);
            }
            Input::Message { bytes, flow } => match self.parser.parse(bytes) {
                Err(_) if flow.transport == Transport::Udp && sip::stun::is_meant(bytes) => {
                    self.core.keep_alive(bytes, flow, out);
                }
                Err(_) => {
                    self.core.count(Counter::Malformed);
                    self.core.say_dropped(None, "no SIP message", flow, out);
                }
                Ok(message) => match message.start() {
                    Start::Request { .. } => self.core.request(now, &message, flow, out),
                    Start::Response { .. } => {
                        if let Err(why) = self.core.response(now, &message, flow.remote, None, out) {
                            self.core.say_dropped(Some(&message), why, flow, out);
                        }
                    }
                },
            },
            Input::BrokenFrame { bytes, flow } => self.broken_frame(bytes, flow, out),
            Input::SendFailed { to } => self.core.send_failed(now, to),
            Input::FellBack { bytes, to } => {
                if let Ok(message) = self.parser.parse(bytes) {
                    self.core.fell_back(now, &message, to);
                }
            }
            Input::NoRoom { to } => self.core.no_room(now, to),
            Input::Returned { to, quoted } => self.core.returned(now, to, quoted),
            Input::Closed { id, peer } => {
                self.core.shared.flows.closed(id);
                let peer = self.core.shared.aliases.closed(id).unwrap_or(peer);
                self.core.closed(now, peer, out);
            }
            Input::Judged { claim, proven } => self.core.alias_judged(claim, proven),
            Input::Answer(never) | Input::Letter(never) => match *never {},
        }
    }

    /// A request whose end cannot be found is answered where its fields allow, so that its sender learns why the
    /// connection closes (RFC 3261 §18.3).
    fn broken_frame(&mut self, bytes: &[u8], flow: Flow, out: &mut Outbox) {
        self.core.count(Counter::BrokenFrame);
        if let Ok(message) = self.parser.parse(bytes)
            && let Start::Request { .. } = message.start()
        {
            let reject = match sip::validate::request(&message) {
                Err(reject) => reject,
                Ok(_) => sip::Reject::bad_request("Bad Content-Length"),
            };
            self.core.answer(&message, &reject, flow, out);
        }
    }

    /// Repeats and moves what is held, sends probes that are wanted.
    pub fn handle_timeout(&mut self, now: Time, out: &mut Outbox) {
        self.core.refresh(now);
        self.core.refusals.now = now;
        if self.looks() && now >= self.looked + LOOK_EVERY {
            self.looked = now;
            self.core.send_wanted_probes(now, out);
        }
        self.core.registrations_due(now, &mut self.parser, &mut self.kept, out);
        let shared = self.core.shared.clone();
        for _ in 0..ACTIONS_MAX {
            let Some(action) = shared.held.next_due(now, &mut self.core.alarms, &mut self.kept) else {
                break;
            };
            match self.parser.parse(&self.kept) {
                Ok(message) => self.core.act(now, &message, &action, out),
                Err(_) => self.core.count(Counter::Malformed),
            }
        }
    }

    pub fn next_deadline(&self) -> Option<Time> {
        let look = self.looks().then(|| self.looked + LOOK_EVERY);
        [self.core.alarms.next_deadline(), self.core.alarms_of_registrations.next_deadline(), look]
            .into_iter()
            .flatten()
            .min()
    }

    /// One worker does it for all.
    fn looks(&self) -> bool {
        self.core.worker == 0
    }
}

impl Core {
    pub(crate) fn count(&self, counter: Counter) {
        self.counters.add(counter);
    }

    /// Takes a new snapshot, if there is one. What is held at a server that was lost with it is freed for others.
    fn refresh(&mut self, now: Time) {
        if self.shared.epoch() == self.snapshot.epoch {
            return;
        }
        let (renewed, snapshot) = self.shared.published();
        if let Some(renewed) = renewed {
            self.shared = Arc::new(renewed);
        }
        let before = std::mem::replace(&mut self.snapshot, snapshot);
        if self.shared.held.is_empty() && self.shared.registrations.is_empty() {
            return;
        }
        for server in before.servers().iter().filter(|server| server.is_reachable()) {
            if !self.snapshot.by_id(server.id).is_some_and(Server::is_reachable) {
                let alarms = &mut self.alarms_of_registrations;
                self.shared.registrations.server_failed(now, alarms, server.id);
                self.shared.held.server_failed(now, &mut self.alarms, server.id);
            }
        }
    }

    pub(crate) fn send_failed(&mut self, now: Time, to: Target) {
        self.count(Counter::SendFailed);
        if let Target::Connection { to, or_connect: false, .. } = to
            && to.ip().is_unspecified()
        {
            return self.count(Counter::FlowFailed);
        }
        let (address, stream) = match to {
            Target::Datagram { to, .. } => (to, false),
            Target::Connection { to, .. } | Target::Stream { to, .. } => (to, true),
        };
        if let Some(server) = self.snapshot.by_address(address) {
            if stream == server.transport.is_reliable() {
                let (evidence, slot, server) = (&self.shared.tables.evidence, server.seat.slot, server.id);
                if stream {
                    evidence.unreachable(self.worker, slot);
                    self.send_again_later(now, server);
                } else {
                    evidence.returned(self.worker, slot);
                }
            } else if stream {
                // A server of UDP that takes no streams is not ill.
                self.refusing.note(now, address);
            }
        } else if stream {
            self.refusing.note(now, address);
        }
    }

    /// What is held for the server is sent again after a pause, as after a refused connection. The server itself is not suspected.
    fn no_room(&mut self, now: Time, to: Target) {
        self.count(Counter::NoRoom);
        if let Target::Connection { to, .. } | Target::Stream { to, .. } = to
            && let Some(server) = self.snapshot.by_address(to).filter(|server| server.transport.is_reliable())
        {
            self.send_again_later(now, server.id);
        }
    }

    fn send_again_later(&mut self, now: Time, server: ServerId) {
        let look = Some((now, server));
        if !self.shared.held.is_empty() && self.unsent != look {
            self.unsent = look;
            self.shared.held.unsent(now, &mut self.alarms, server);
        }
    }

    /// A server that ends a connection may be tired of it, or dead. What waits for an answer from there is sent again over a
    /// new one; and the server is asked at once: if it is dead, the connection that the question needs is refused.
    fn closed(&mut self, now: Time, peer: SocketAddr, out: &mut Outbox) {
        if self.shared.held.is_empty() {
            return;
        }
        let server = self
            .snapshot
            .by_address(peer)
            .filter(|server| server.is_reachable() && server.transport.is_reliable());
        if let Some(server) = server.cloned()
            && self.shared.held.connection_lost(now, &mut self.alarms, server.id) > 0
        {
            for _ in 0..self.shared.settings.fail_after {
                self.send_probe(now, &server, out);
            }
        }
    }

    pub(crate) fn answered(&self, server: ServerId) {
        if let Some(server) = self.snapshot.by_id(server) {
            self.shared.tables.evidence.answered(self.worker, server.seat.slot);
        }
    }

    /// A request came to nothing through the server's fault.
    pub(crate) fn failed(&self, server: ServerId) {
        if let Some(server) = self.snapshot.by_id(server) {
            self.shared.tables.evidence.failed(self.worker, server.seat.slot);
        }
    }

    pub(crate) fn refuses_streams(&self, now: Time, to: std::net::SocketAddr) -> bool {
        self.refusing.contains(now, to)
    }
}
