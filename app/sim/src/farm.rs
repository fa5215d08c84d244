//! Load managers, servers, callers, phones and a stranger, each with its own clock, and a network between them.

mod faults;
mod start;

use std::collections::{BTreeSet, HashMap};
use std::net::SocketAddr;

use base::{Chance, Duration, Time};
use heartbeat::datagram::ServerState;

use crate::callers::Caller;
use crate::clock::Clock;
use crate::fate::Fate;
use crate::link::{Link, Packet};
use crate::losses::Losses;
use crate::manager::Manager;
use crate::node::{Arrival, Id, Node};
use crate::phones::Phone;
use crate::scenario::{HEARTBEAT_PERIOD, Kind, Scenario};
use crate::servers::Server;
use crate::stranger::Stranger;

/// No run takes longer, unless something in it never ends.
const END: Time = Time::from_secs(300);
/// Within this time after the last call all memory of calls is gone: timer C and 64·T1.
const QUIET: Duration = Duration::from_secs(250);
/// Bytes of a datagram that an ICMP message quotes: common systems fill 576 bytes.
const QUOTED_BYTES: usize = 500;
/// Time until the sender learns that its connection is refused.
const REFUSED_AFTER: Duration = Duration::from_millis(2);

/// A fault that no network has, for tests of the checkers: it replaces a packet by others.
pub type Plant = fn(Packet) -> Vec<Packet>;

#[derive(Debug)]
enum Event {
    Deliver {
        packet: Packet,
        sent: Time,
    },
    Wake(Id),
    Unreachable {
        node: Id,
        to: SocketAddr,
        quoted: Vec<u8>,
    },
    Closed {
        one: SocketAddr,
        other: SocketAddr,
    },
    Refused {
        node: Id,
        to: SocketAddr,
    },
    Fault(usize),
    /// Heartbeats of all living servers.
    Beat,
}

pub struct Farm {
    pub scenario: Scenario,
    pub managers: Vec<Manager>,
    pub servers: Vec<Server>,
    pub callers: Vec<Caller>,
    pub phones: Vec<Phone>,
    pub stranger: Stranger,
    /// Messages sent after everything was over.
    pub afterwards: Vec<String>,
    /// The packets on the network, if the trace is kept.
    pub trace: Option<Vec<String>>,
    pub plant: Option<Plant>,
    pub losses: Losses,
    /// Kinds of faults that happened.
    pub seen: BTreeSet<&'static str>,
    clock: Clock<Event>,
    link: Link,
    chance: Chance,
    nodes: HashMap<SocketAddr, Id>,
    wakes: HashMap<Id, Time>,
    /// Whether all was over at the last heartbeat.
    over: bool,
}

impl Farm {
    pub fn keep_trace(mut self) -> Farm {
        let clocks = format!("clocks: {:?}", self.scenario.clocks);
        self.trace = Some(vec![format!("seed {} {:?}", self.scenario.seed, self.scenario.kind), clocks]);
        self
    }

    /// Runs until all calls and their consequences are over, and then through the time in which everything is forgotten.
    pub fn run(mut self) -> Farm {
        while let Some(event) = self.clock.next(END) {
            self.happen(event);
        }
        self.quiet();
        self
    }

    pub fn node(&self, id: Id) -> &dyn Node {
        match id {
            Id::Manager(at) => &self.managers[at],
            Id::Server(at) => &self.servers[at],
            Id::Caller(at) => &self.callers[at],
            Id::Phone(at) => &self.phones[at],
            Id::Stranger => &self.stranger,
        }
    }

    fn node_mut(&mut self, id: Id) -> &mut dyn Node {
        match id {
            Id::Manager(at) => &mut self.managers[at],
            Id::Server(at) => &mut self.servers[at],
            Id::Caller(at) => &mut self.callers[at],
            Id::Phone(at) => &mut self.phones[at],
            Id::Stranger => &mut self.stranger,
        }
    }

    pub fn address_of(&self, id: Id) -> SocketAddr {
        match id {
            Id::Manager(at) => self.managers[at].address,
            Id::Server(at) => self.servers[at].address,
            Id::Caller(at) => self.callers[at].address,
            Id::Phone(at) => self.phones[at].address,
            Id::Stranger => self.stranger.address,
        }
    }

    /// The time on a node's own clock.
    fn local(&self, id: Id) -> Time {
        self.clock.now() + self.scenario.clocks.offset(id)
    }

    fn is_over(&self) -> bool {
        let faults = self.scenario.faults.iter().all(|fault| fault.at <= self.clock.now());
        faults
            && self.callers.iter().all(Caller::is_done)
            && self.phones.iter().all(Phone::is_done)
            && self.servers.iter().enumerate().all(|(at, server)| !server.is_busy(self.local(Id::Server(at))))
    }

    fn happen(&mut self, event: Event) {
        match event {
            Event::Deliver { packet, sent } => self.deliver(packet, sent),
            Event::Wake(id) => {
                if self.wakes.get(&id) == Some(&self.clock.now()) {
                    self.wakes.remove(&id);
                }
                let (now, mut out) = (self.local(id), Vec::new());
                self.node_mut(id).handle_timeout(now, &mut out);
                self.send(id, out);
            }
            Event::Unreachable { node, to, quoted } => {
                self.arrive(node, Arrival::Unreachable { to, quoted: &quoted });
            }
            Event::Refused { node, to } => self.arrive(node, Arrival::Refused(to)),
            Event::Closed { one, other } => self.closed(one, other),
            Event::Fault(at) => self.fault(self.scenario.faults[at].what),
            Event::Beat => self.beat(),
        }
    }

    fn arrive(&mut self, id: Id, arrival: Arrival<'_>) {
        let (now, mut out) = (self.local(id), Vec::new());
        self.node_mut(id).receive(now, arrival, &mut out);
        self.send(id, out);
    }

    fn closed(&mut self, one: SocketAddr, other: SocketAddr) {
        for (node, peer) in [(one, other), (other, one)] {
            if let Some(id) = self.nodes.get(&node).copied() {
                self.arrive(id, Arrival::Closed(peer));
            }
        }
    }

    /// Agents are processes of their own: they send heartbeats for hanging servers, and none for dead servers.
    fn beat(&mut self) {
        for at in 0..self.managers.len() {
            let now = self.local(Id::Manager(at));
            let (manager, transport) = (&mut self.managers[at], self.scenario.server_transport);
            for server in self.servers.iter().filter(|_| self.scenario.agents) {
                if self.link.is_cut(server.address, manager.address) {
                    continue;
                }
                match server.fate {
                    Fate::Alive | Fate::Hung => {
                        manager.heartbeat(now, server.address, ServerState::Started, transport);
                    }
                    Fate::Drained => {
                        manager.heartbeat(now, server.address, ServerState::Draining, transport);
                    }
                    Fate::Dead | Fate::Absent => {}
                }
            }
            manager.tick(now);
        }
        self.over = self.is_over();
        (0..self.managers.len()).for_each(|at| self.wake(Id::Manager(at)));
        if !self.over {
            self.clock.add(self.clock.now() + HEARTBEAT_PERIOD, Event::Beat);
        }
    }

    fn deliver(&mut self, packet: Packet, sent: Time) {
        let now = self.clock.now();
        if self.link.is_torn(sent, &packet) {
            return;
        }
        let id = match self.nodes.get(&packet.to) {
            Some(id) => *id,
            // The address that all load managers share.
            None if self.scenario.kind == Kind::Anycast => {
                Id::Manager(self.chance.below(self.managers.len() as u64) as usize)
            }
            None => return self.afterwards.push(format!("to nobody: {}", line(&packet))),
        };
        self.note(|| format!("{now:?} {id} {}", line(&packet)));
        let sender = self.nodes.get(&packet.from).copied();
        if self.is_dead(id) {
            self.losses.came_to_nobody(&packet);
        }
        if let (true, Some(node)) = (self.is_dead(id), sender) {
            let to = packet.to;
            if packet.stream {
                self.link.tear(now, packet.from, to);
                self.clock.add(now + REFUSED_AFTER, Event::Refused { node, to });
            } else if self.scenario.icmp {
                let quoted = packet.bytes[..packet.bytes.len().min(QUOTED_BYTES)].to_vec();
                self.clock.add(now, Event::Unreachable { node, to, quoted });
            }
        }
        self.arrive(id, Arrival::Message(&packet));
    }

    fn is_dead(&self, id: Id) -> bool {
        match id {
            Id::Manager(at) => self.managers[at].is_dead,
            Id::Server(at) => matches!(self.servers[at].fate, Fate::Dead | Fate::Absent),
            Id::Caller(_) | Id::Phone(_) | Id::Stranger => false,
        }
    }

    fn send(&mut self, from: Id, packets: Vec<Packet>) {
        let now = self.clock.now();
        let plant: Plant = self.plant.unwrap_or(|packet| vec![packet]);
        for packet in packets.into_iter().flat_map(plant) {
            let arrivals = self.link.send(now, &packet);
            self.losses.sent(&packet, arrivals.is_empty());
            for arrives in arrivals {
                self.clock.add(arrives, Event::Deliver { packet: packet.clone(), sent: now });
            }
        }
        self.wake(from);
    }

    /// Ensures that the node is woken at its deadline.
    fn wake(&mut self, id: Id) {
        let offset = self.scenario.clocks.offset(id);
        let deadline = self.node(id).next_deadline();
        let Some(deadline) = deadline.map(|deadline| (deadline - offset).max(self.clock.now())) else {
            return;
        };
        let known = self.wakes.get(&id).is_some_and(|wake| *wake <= deadline);
        let over = matches!(id, Id::Manager(_)) && deadline > self.clock.now() && self.is_idle();
        if !known && !over {
            self.wakes.insert(id, deadline);
            self.clock.add(deadline, Event::Wake(id));
        }
    }

    /// Only regular looks of load managers are left to happen.
    fn is_idle(&self) -> bool {
        let idle = |manager: &Manager| {
            manager.is_dead || manager.shared.held.is_empty() && manager.shared.registrations.is_empty()
        };
        self.over && self.managers.iter().all(idle)
    }

    /// Time passes. Load managers may only send questions to servers in doubt.
    fn quiet(&mut self) {
        for at in 0..self.managers.len() {
            let begin = self.local(Id::Manager(at));
            // Agents are silent now, so all servers are called failed in the end.
            let called_failed = self.managers[at].called_failed.clone();
            for second in 0..=QUIET.as_secs() {
                let (now, mut out) = (begin + Duration::from_secs(second), Vec::new());
                let manager = &mut self.managers[at];
                manager.tick(now);
                manager.handle_timeout(now, &mut out);
                let asks = |packet: &&Packet| !packet.bytes.starts_with(b"OPTIONS");
                self.afterwards.extend(out.iter().filter(asks).map(line));
            }
            self.managers[at].called_failed = called_failed;
        }
    }

    fn note(&mut self, text: impl FnOnce() -> String) {
        if let Some(trace) = &mut self.trace {
            trace.push(text());
        }
    }
}

fn line(packet: &Packet) -> String {
    let text = String::from_utf8_lossy(&packet.bytes);
    let field = |name: &str| text.lines().find(|line| line.starts_with(name)).unwrap_or_default();
    format!(
        "{} -> {} {} | {} | {} | {} | {}",
        packet.from,
        packet.to,
        if packet.stream { "stream" } else { "datagram" },
        text.lines().next().unwrap_or_default(),
        field("CSeq"),
        field("Call-ID"),
        field("To"),
    )
}
