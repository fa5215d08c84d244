//! A load manager as it runs in the product: a server table, what workers share, and a router for each worker, moved by
//! the virtual clock instead of sockets.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;

use base::{Chance, Time};
use heartbeat::datagram::{Heartbeat, ServerState};
use lb::farm::server_table::ServerTable;
use lb::outbox::Outbox;
use lb::settings::Settings;
use lb::shared::Shared;
use lb::way::router::{Input, Router};
use sip::{ConnectionId, Flow, Target, Transport};

use crate::link::Packet;

/// Listeners of a simulated load manager: UDP first, TCP second, at one address.
const UDP: u8 = 0;
const TCP: u8 = 1;

pub struct Manager {
    /// What it sends from.
    pub address: SocketAddr,
    pub shared: Arc<Shared>,
    /// Held set-ups that were given to another server, and other messages that went to one that took over.
    pub taken_over: u64,
    table: ServerTable,
    routers: Vec<Router>,
    outbox: Outbox,
    connections: HashMap<SocketAddr, ConnectionId>,
}

impl Manager {
    /// Listens where the settings say, in this order: UDP, TCP.
    pub fn new(settings: Settings, workers: u8, seed: u64) -> Manager {
        let counters =
            lb::farm::server_counters::ServerCounters::for_settings(&settings, usize::from(workers));
        let table = ServerTable::new(Time::ZERO, &settings, counters.clone())
            .expect("servers of a scenario are good");
        let address = settings.listeners[usize::from(UDP)].bind;
        let shared = Arc::new(Shared::new(settings, counters, table.snapshot(), workers));
        let chance = |worker| Chance::seeded(seed.wrapping_add(u64::from(worker)));
        let router = |worker| Router::new(shared.clone(), worker, chance(worker));
        let routers = (0..workers).map(router).collect();
        let (outbox, connections) = (Outbox::default(), HashMap::new());
        Manager { address, shared, taken_over: 0, table, routers, outbox, connections }
    }

    pub fn next_deadline(&self) -> Option<Time> {
        self.routers.iter().filter_map(Router::next_deadline).min()
    }

    pub fn handle_timeout(&mut self, now: Time, out: &mut Vec<Packet>) {
        for worker in 0..self.routers.len() {
            if self.routers[worker].next_deadline().is_some_and(|deadline| deadline <= now) {
                self.routers[worker].handle_timeout(now, &mut self.outbox);
                self.flush(out);
            }
        }
    }

    /// What the control thread does ten times a second.
    pub fn tick(&mut self, now: Time) {
        if self.table.tick(now) {
            self.shared.publish(self.table.snapshot());
        }
    }

    /// The agent beside a server says how its server is.
    pub fn heartbeat(&mut self, now: Time, server: SocketAddr, state: ServerState) {
        let heartbeat = Heartbeat::plain(u32::from(server.port()), server.port(), state);
        let heard = self.table.heartbeat(now, server.ip(), &heartbeat);
        assert!(heard.is_ok(), "{heard:?}");
        self.tick(now);
    }

    pub fn receive(&mut self, now: Time, packet: &Packet, out: &mut Vec<Packet>) {
        let flow = self.flow(packet);
        let worker = self.worker_of(packet.from);
        let input = Input::Message { bytes: &packet.bytes, flow };
        self.routers[usize::from(worker)].handle(now, input, &mut self.outbox);
        self.flush(out);
    }

    /// A datagram to this address came back as ICMP port unreachable.
    pub fn unreachable(&mut self, now: Time, to: SocketAddr, out: &mut Vec<Packet>) {
        let worker = self.worker_of(to);
        let input = Input::SendFailed { to: Target::Datagram { listener: UDP, to } };
        self.routers[usize::from(worker)].handle(now, input, &mut self.outbox);
        self.flush(out);
    }

    /// As SO_REUSEPORT does: by the other end. So a caller's connection and its server's answers lie at different workers.
    fn worker_of(&self, other: SocketAddr) -> u8 {
        let last = match other {
            SocketAddr::V4(v4) => v4.ip().octets()[3],
            SocketAddr::V6(v6) => v6.ip().octets()[15],
        };
        last % self.routers.len() as u8
    }

    fn flow(&mut self, packet: &Packet) -> Flow {
        let (listener, transport) = if packet.stream { (TCP, Transport::Tcp) } else { (UDP, Transport::Udp) };
        let connection = packet.stream.then(|| {
            let worker = self.worker_of(packet.from);
            let slot = self.connections.len() as u16;
            *self.connections.entry(packet.from).or_insert(ConnectionId { worker, slot, generation: 1 })
        });
        Flow { listener, transport, remote: packet.from, connection }
    }

    fn flush(&mut self, out: &mut Vec<Packet>) {
        for send in self.outbox.sends.drain(..) {
            let (to, stream) = match send.to {
                Target::Datagram { to, .. } => (to, false),
                Target::Connection { id, to, .. } => {
                    let open = self.connections.iter().find(|(_, open)| **open == id);
                    (open.map_or(to, |(remote, _)| *remote), true)
                }
                Target::Stream { to, .. } => (to, true),
            };
            let bytes = self.outbox.bytes[send.bytes.start as usize..send.bytes.end as usize].to_vec();
            out.push(Packet { from: self.address, to, stream, bytes });
        }
        self.taken_over += self.outbox.events.len() as u64;
        self.outbox.bytes.clear();
        self.outbox.events.clear();
    }
}
