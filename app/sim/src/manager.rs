//! A load manager as it runs in the product: a server table, the workers' shared state, and a router for each worker, driven by
//! the virtual clock instead of sockets. It can die and be started again with empty memory, and it can be reloaded.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::Arc;

use base::{Chance, Time};
use heartbeat::datagram::{Heartbeat, ServerState};
use heartbeat::notice::{self, NOTICES_MAX, Senders};
use lb::farm::condition::Condition;
use lb::farm::server_counters::ServerCounters;
use lb::farm::server_table::ServerTable;
use lb::farm::snapshot::Snapshot;
use lb::outbox::{Ask, Event, Outbox};
use lb::settings::Settings;
use lb::shared::Shared;
use lb::way::router::Router;
use sip::{Target, Transport};
use turn::Input;

use crate::fault::Change;
use crate::link::Packet;
use crate::node::{Arrival, Node};
use crate::scenario::NOTICE_PORT;
use crate::sockets::{Sockets, TCP, UDP};

/// Most rounds in one turn in which failed sends lead to further failing sends: as in the product.
const FAILURE_ROUNDS: usize = 4;

pub struct Manager {
    /// The address from which it sends.
    pub address: SocketAddr,
    pub is_dead: bool,
    pub shared: Arc<Shared>,
    /// The workers' shared states in former lives, for their counters.
    pub former: Vec<Arc<Shared>>,
    /// Held set-ups that were given to another server, and other messages that went to a server that took over.
    pub taken_over: u64,
    /// Servers that it called failed at some time.
    pub called_failed: BTreeSet<SocketAddr>,
    /// Notices that named another server for a call than the one it knew.
    pub conflicts: u64,
    settings: Settings,
    workers: u8,
    seed: u64,
    /// The wall clock at the beginning of its own clock, microseconds since 1970.
    clock_began_us: u64,
    table: ServerTable,
    routers: Vec<Router>,
    outbox: Outbox,
    sockets: Sockets,
    senders: Senders,
    told: u64,
}

impl Manager {
    /// Has two listeners, at the address in the settings: UDP, then TCP.
    pub fn new(now: Time, settings: Settings, workers: u8, seed: u64, clock_began_us: u64) -> Manager {
        let life = Life::new(now, &settings, workers, seed, 0, clock_began_us);
        Manager {
            address: settings.listeners[usize::from(UDP)].bind,
            is_dead: false,
            shared: life.shared,
            former: Vec::new(),
            taken_over: 0,
            called_failed: BTreeSet::new(),
            conflicts: 0,
            settings,
            workers,
            seed,
            clock_began_us,
            table: life.table,
            routers: life.routers,
            outbox: Outbox::default(),
            sockets: Sockets::default(),
            senders: Senders::default(),
            told: 0,
        }
    }

    pub fn die(&mut self) {
        self.is_dead = true;
    }

    /// Starts a new process, with the settings of the last one and empty memory.
    pub fn start(&mut self, now: Time) {
        let run = self.former.len() as u32 + 1;
        let seed = self.seed.wrapping_add(u64::from(run) << 8);
        let life = Life::new(now, &self.settings, self.workers, seed, run, self.clock_began_us);
        self.former.push(std::mem::replace(&mut self.shared, life.shared));
        (self.table, self.routers, self.outbox) = (life.table, life.routers, Outbox::default());
        (self.is_dead, self.senders) = (false, Senders::default());
        self.sockets = Sockets::default();
    }

    /// The shared states of all its lives, with their counts.
    pub fn lives(&self) -> impl Iterator<Item = &Arc<Shared>> {
        self.former.iter().chain([&self.shared])
    }

    /// Reloads in the product's order: table, then terms and snapshot.
    pub fn reload(&mut self, now: Time, change: Change) {
        change.apply(&mut self.settings);
        if self.is_dead {
            return;
        }
        let refused = self.table.reconfigure(now, &self.settings.servers);
        assert!(refused.is_empty(), "{refused:?}");
        let terms = self.shared.terms().with(self.settings.clone());
        let snapshot = self.table.set_terms(now, &terms.settings, terms.tables.clone());
        self.note_failed(&snapshot);
        self.shared.change(terms, snapshot);
        self.tick(now);
    }

    /// The work that the control thread does ten times a second.
    pub fn tick(&mut self, now: Time) {
        if self.is_dead {
            return;
        }
        for result in self.shared.probes.take_results() {
            let retry_after = result.retry_after.map(|seconds| base::Duration::from_secs(u64::from(seconds)));
            match result.call.zip(retry_after) {
                Some((refused, retry_after)) => {
                    self.table.refused_call(now, result.server, refused, retry_after);
                }
                None => self.table.probe_answered(now, result.server, result.status, retry_after),
            }
        }
        if self.table.tick(now) {
            let snapshot = self.table.snapshot();
            self.note_failed(&snapshot);
            self.shared.publish(snapshot);
        }
        let probes = &self.shared.probes;
        self.table.take_probes(now, |server, _, _| probes.want(server));
        self.shared.terms().calls.sweep(now);
    }

    fn note_failed(&mut self, snapshot: &Snapshot) {
        let failed = snapshot.servers().iter().filter(|server| server.condition == Condition::Failed);
        self.called_failed.extend(failed.map(|server| server.address));
    }

    /// The agent beside a server reports the server's state.
    pub fn heartbeat(&mut self, now: Time, server: SocketAddr, state: ServerState, transport: Transport) {
        if self.is_dead {
            return;
        }
        let transport = match transport {
            Transport::Udp => heartbeat::Transport::Udp,
            _ => heartbeat::Transport::Tcp,
        };
        let plain = Heartbeat::plain(u32::from(server.port()), server.port(), state);
        let heartbeat = Heartbeat { transport: Some(transport), ..plain };
        let heard = self.table.heartbeat(now, server.ip(), &heartbeat);
        assert!(heard.is_ok(), "{heard:?}");
    }

    fn input(&mut self, now: Time, worker: u8, input: Input<'_>, out: &mut Vec<Packet>) {
        self.routers[usize::from(worker)].handle(now, input, &mut self.outbox);
        self.flush(now, worker, out);
    }

    /// Handles a notice of calls from another load manager.
    fn hear(&mut self, now: Time, bytes: &[u8]) {
        let terms = self.shared.terms();
        let Ok(batch) = notice::decode(bytes, |id| terms.keys.notice_key(id)) else { return };
        let wall = self.clock_began_us + now.as_micros();
        if self.senders.admit(wall, &batch).is_err() {
            return;
        }
        for notice in batch.notices() {
            let told = terms.calls.told(now, notice);
            self.conflicts += u64::from(told == lb::memory::calls::told::Told::Otherwise);
        }
    }

    /// Chooses the worker by the far end, as SO_REUSEPORT does. So a caller's connection and its server's answers may be at
    /// different workers.
    fn worker_of(&self, other: SocketAddr) -> u8 {
        let last = match other {
            SocketAddr::V4(v4) => v4.ip().octets()[3],
            SocketAddr::V6(v6) => v6.ip().octets()[15],
        };
        last % self.routers.len() as u8
    }

    /// Sends the messages in the outbox, notices first. The router hears of messages that cannot be sent, and its reaction is
    /// sent too.
    fn flush(&mut self, now: Time, worker: u8, out: &mut Vec<Packet>) {
        for round in 0..=FAILURE_ROUNDS {
            self.tell(now, out);
            let mut failed = Vec::new();
            for send in std::mem::take(&mut self.outbox.sends) {
                let Some((to, stream)) = self.sockets.way_of(send.to) else {
                    failed.push(send.to);
                    continue;
                };
                let bytes = self.outbox.bytes[send.bytes.start as usize..send.bytes.end as usize].to_vec();
                out.push(Packet { from: self.address, to, stream, bytes });
            }
            let is_taken_over = |event: &&Event| matches!(event, Event::TakenOver { .. });
            self.taken_over += self.outbox.events.iter().filter(is_taken_over).count() as u64;
            self.outbox.bytes.clear();
            self.outbox.events.clear();
            if failed.is_empty() || round == FAILURE_ROUNDS {
                return;
            }
            for to in failed {
                let input = Input::SendFailed { to };
                self.routers[usize::from(worker)].handle(now, input, &mut self.outbox);
            }
            self.routers[usize::from(worker)].handle_timeout(now, &mut self.outbox);
        }
    }

    fn tell(&mut self, now: Time, out: &mut Vec<Packet>) {
        let asks = self.outbox.asks.drain(..);
        let notices: Vec<_> = asks
            .filter_map(|ask| match ask {
                Ask::Tell(notice) => Some(notice),
                Ask::LookUp(_) => None,
            })
            .collect();
        let Some(peers) = self.settings.peers.as_ref().filter(|_| !notices.is_empty()) else { return };
        let (id, key) = self.shared.terms().keys.signing_notice_key();
        for part in notices.chunks(NOTICES_MAX) {
            let mut bytes = Vec::new();
            self.told = (self.told + 1).max(self.clock_began_us + now.as_micros());
            notice::encode(
                self.seed << 8 | u64::from(self.shared.run),
                self.told,
                part,
                (id, &key),
                &mut bytes,
            );
            for to in &peers.to {
                let from = SocketAddr::new(self.address.ip(), NOTICE_PORT);
                out.push(Packet { from, to: *to, stream: false, bytes: bytes.clone() });
            }
        }
    }
}

impl Node for Manager {
    fn receive(&mut self, now: Time, arrival: Arrival<'_>, out: &mut Vec<Packet>) {
        if self.is_dead {
            return;
        }
        match arrival {
            Arrival::Message(packet) if packet.to.port() == NOTICE_PORT => self.hear(now, &packet.bytes),
            Arrival::Message(packet) => {
                let worker = self.worker_of(packet.from);
                let flow = self.sockets.flow(packet, worker, self.shared.run);
                self.input(now, worker, Input::Message { bytes: &packet.bytes, flow }, out);
            }
            Arrival::Unreachable { to, quoted } => {
                let input = Input::Returned { to: Target::Datagram { listener: UDP, to }, quoted };
                self.input(now, self.worker_of(to), input, out);
            }
            Arrival::Refused(to) => {
                let input = Input::SendFailed { to: Target::Stream { listener: TCP, to } };
                self.input(now, self.worker_of(to), input, out);
            }
            Arrival::Closed(peer) => {
                if let Some(id) = self.sockets.close(peer) {
                    self.input(now, id.worker, Input::Closed { id, peer }, out);
                }
            }
        }
    }

    fn next_deadline(&self) -> Option<Time> {
        self.routers.iter().filter_map(Router::next_deadline).min().filter(|_| !self.is_dead)
    }

    fn handle_timeout(&mut self, now: Time, out: &mut Vec<Packet>) {
        for worker in 0..self.routers.len() {
            let due = self.routers[worker].next_deadline().is_some_and(|deadline| deadline <= now);
            if due && !self.is_dead {
                self.routers[worker].handle_timeout(now, &mut self.outbox);
                self.flush(now, worker as u8, out);
            }
        }
    }
}

/// The state of a process from its start to its end.
struct Life {
    shared: Arc<Shared>,
    table: ServerTable,
    routers: Vec<Router>,
}

impl Life {
    fn new(now: Time, settings: &Settings, workers: u8, seed: u64, run: u32, clock_began_us: u64) -> Life {
        let counters = ServerCounters::for_settings(settings, usize::from(workers));
        let table =
            ServerTable::new(now, settings, counters.clone()).expect("servers of a scenario are good");
        // In the product this random number comes from outside, so that no two processes have the same.
        let process = Chance::seeded(seed ^ u64::from(run) << 32).next_u64() as u32;
        let shared = Shared::new(settings.clone(), counters, table.snapshot(), workers)
            .started_as(process)
            .with_clock(clock_began_us);
        let shared = Arc::new(shared);
        let chance = |worker| Chance::seeded(seed.wrapping_add(u64::from(worker)));
        let router = |worker| Router::new(shared.clone(), worker, chance(worker));
        let routers = (0..workers).map(router).collect();
        Life { shared, table, routers }
    }
}
