//! Load managers, servers, callers, phones and a stranger, each with a clock of its own, and a network between them.

use std::collections::{BTreeSet, HashMap};
use std::net::SocketAddr;

use base::{Chance, Duration, Time};
use heartbeat::datagram::ServerState;

use crate::callers::Caller;
use crate::clock::Clock;
use crate::fault::What;
use crate::link::{Link, Packet, Way};
use crate::manager::Manager;
use crate::node::{Arrival, Id, Node};
use crate::phones::Phone;
use crate::scenario::{HEARTBEAT_PERIOD, Kind, NOTICE_PORT, Scenario, address};
use crate::servers::{Fate, Server};
use crate::stranger::Stranger;

/// No run takes longer; one that does has something that never ends.
const END: Time = Time::from_secs(300);
/// What is remembered when all calls are over has gone after this time: timer C and 64·T1.
const QUIET: Duration = Duration::from_secs(250);
/// The right time at the beginning of a run, microseconds since 1970.
const BEGAN_US: i64 = 1_790_000_000_000_000;
/// So much of a datagram an ICMP message quotes: what common systems do, which fill 576 bytes.
const QUOTED_BYTES: usize = 500;
/// How soon the other end of a connection that is refused says so.
const REFUSED_AFTER: Duration = Duration::from_millis(2);

/// A fault that no network has, for tests of the checkers: what is sent instead of a packet.
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
    /// Heartbeats of all that live.
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
    /// What went over the network, if it is to be kept.
    pub trace: Option<Vec<String>>,
    pub plant: Option<Plant>,
    /// Kinds of faults that happened.
    pub seen: BTreeSet<&'static str>,
    clock: Clock<Event>,
    link: Link,
    chance: Chance,
    nodes: HashMap<SocketAddr, Id>,
    wakes: HashMap<Id, Time>,
    /// As of the last heartbeat.
    over: bool,
}

impl Farm {
    pub fn new(scenario: Scenario) -> Farm {
        let seed = scenario.seed;
        let clocks = &scenario.clocks;
        let manager = |(number, settings): (usize, &lb::settings::Settings)| {
            let id = Id::Manager(number);
            let offset = clocks.offset(id);
            // Its own clock was at zero before the run began, and its wall clock may be wrong.
            let began = BEGAN_US - offset.as_micros() as i64 + clocks.wrong_us(id);
            let seed = seed ^ number as u64;
            Manager::new(Time::ZERO + offset, settings.clone(), scenario.workers, seed, began as u64)
        };
        let managers: Vec<Manager> = scenario.managers.iter().enumerate().map(manager).collect();
        let server = |address: &SocketAddr| {
            let ipv4 = u64::from(address.ip().to_canonical().is_ipv4());
            let chance = Chance::seeded(seed ^ ipv4 ^ hash(*address));
            Server::new(*address, scenario.manners, chance)
        };
        let mut servers: Vec<Server> = scenario.servers.iter().map(server).collect();
        servers.iter_mut().for_each(|server| server.abandons = scenario.kind.loses_calls());
        let caller = |(number, plan): (usize, &crate::callers::Plan)| {
            let plan =
                crate::callers::Plan { starts: plan.starts + clocks.offset(Id::Caller(number)), ..*plan };
            Caller::new(address(3, number as u8 + 1), number, plan)
        };
        let callers: Vec<Caller> = scenario.calls.iter().enumerate().map(caller).collect();
        let phone = |(number, plan): (usize, &crate::phones::Plan)| {
            let plan =
                crate::phones::Plan { starts: plan.starts + clocks.offset(Id::Phone(number)), ..*plan };
            Phone::new(address(4, number as u8 + 1), number, plan)
        };
        let phones: Vec<Phone> = scenario.phones.iter().enumerate().map(phone).collect();
        let stranger = Stranger::default();
        let mut nodes = HashMap::new();
        for (at, manager) in managers.iter().enumerate() {
            nodes.insert(manager.address, Id::Manager(at));
            nodes.insert(SocketAddr::new(manager.address.ip(), NOTICE_PORT), Id::Manager(at));
        }
        nodes.extend(servers.iter().enumerate().map(|(at, server)| (server.address, Id::Server(at))));
        nodes.extend(callers.iter().enumerate().map(|(at, caller)| (caller.address, Id::Caller(at))));
        nodes.extend(phones.iter().enumerate().map(|(at, phone)| (phone.address, Id::Phone(at))));
        nodes.insert(stranger.address, Id::Stranger);
        if scenario.has_shared_address() && scenario.kind != Kind::Anycast {
            nodes.insert(scenario.shared_address(), Id::Manager(0));
        }
        let mut clock = Clock::default();
        for (at, fault) in scenario.faults.iter().enumerate() {
            clock.add(fault.at, Event::Fault(at));
        }
        clock.add(Time::ZERO, Event::Beat);
        let mut all: Vec<Id> = nodes.values().copied().collect();
        all.sort_unstable();
        all.dedup();
        let mut farm = Farm {
            link: Link::new(scenario.weather, Chance::seeded(seed.wrapping_add(1))),
            chance: Chance::seeded(seed.wrapping_add(2)),
            scenario,
            managers,
            servers,
            callers,
            phones,
            stranger,
            afterwards: Vec::new(),
            trace: None,
            plant: None,
            seen: BTreeSet::new(),
            clock,
            nodes,
            wakes: HashMap::new(),
            over: false,
        };
        if farm.scenario.clocks.are_apart() {
            farm.seen.insert("clocks apart");
        }
        all.into_iter().for_each(|id| farm.wake(id));
        farm
    }

    pub fn keep_trace(mut self) -> Farm {
        let clocks = format!("clocks: {:?}", self.scenario.clocks);
        self.trace = Some(vec![format!("seed {} {:?}", self.scenario.seed, self.scenario.kind), clocks]);
        self
    }

    /// Until all calls and all that follows from them are over, then the time in which everything is forgotten.
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

    /// The time of a node's own clock.
    fn local(&self, id: Id) -> Time {
        self.clock.now() + self.scenario.clocks.offset(id)
    }

    fn is_over(&self) -> bool {
        let faults = self.scenario.faults.iter().all(|fault| fault.at <= self.clock.now());
        faults
            && self.callers.iter().all(Caller::is_done)
            && self.phones.iter().all(Phone::is_done)
            && self.servers.iter().all(|server| server.unfinished().next().is_none())
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

    fn fault(&mut self, what: What) {
        let now = self.clock.now();
        self.note(|| format!("{now:?} *** {what}"));
        let mut is_kind = true;
        match what {
            What::Server { server, fate } => {
                let (id, mut out) = (Id::Server(server), Vec::new());
                let local = self.local(id);
                self.servers[server].suffer(local, fate, &mut out);
                self.send(id, out);
                if fate == Fate::Dead {
                    self.cut_off(id);
                }
            }
            What::ManagerDies(at) => {
                self.managers[at].die();
                self.cut_off(Id::Manager(at));
            }
            What::ManagerStarts(at) => {
                let local = self.local(Id::Manager(at));
                self.managers[at].start(local);
                self.wake(Id::Manager(at));
            }
            What::AddressMoves { to } => {
                let shared = self.scenario.shared_address();
                self.nodes.insert(shared, Id::Manager(to));
                for other in self.link.connected(shared) {
                    self.link.tear(now, shared, other);
                    self.closed(other, shared);
                }
            }
            What::Cut { from, to, both } => {
                for id in [from, to] {
                    if let Id::Server(at) = id {
                        let local = self.local(id);
                        self.servers[at].may_be_given_up(local);
                    }
                }
                self.link.cut(self.way(from, to, both));
            }
            What::Heal { from, to, both } => {
                for (arrives, packet) in self.link.heal(now, self.way(from, to, both)) {
                    self.clock.add(arrives, Event::Deliver { packet, sent: now });
                }
            }
            What::Closes { by, with } => {
                is_kind = false;
                for (one, other) in self.connections(by, with) {
                    if let Some(at) = self.link.close(now, one, other) {
                        is_kind = true;
                        self.clock.add(at, Event::Closed { one, other });
                    }
                }
            }
            What::Tears { by, with } => {
                let between = self.connections(by, with);
                is_kind = !between.is_empty();
                for (one, other) in between {
                    self.link.tear(now, one, other);
                    self.closed(one, other);
                }
            }
            What::Reload { manager, change } => {
                let local = self.local(Id::Manager(manager));
                self.managers[manager].reload(local, change);
            }
            What::ForgedUnreachable { manager, server } => {
                let to = self.servers[server].address;
                let quoted = self.stranger.quote(self.managers[manager].address, to);
                self.arrive(Id::Manager(manager), Arrival::Unreachable { to, quoted: &quoted });
            }
            What::Forged { forgery, caller, manager } => {
                let (to, caller) = (self.managers[manager].address, &self.callers[caller]);
                let packet = self.stranger.forge(forgery, to, &caller.call_id, caller.address);
                self.clock.add(now, Event::Deliver { packet, sent: now });
            }
            What::Weather(weather) => self.link.set_weather(weather),
        }
        self.seen.extend(what.name().filter(|_| is_kind));
    }

    fn way(&self, from: Id, to: Id, both: bool) -> Way {
        Way { from: self.address_of(from), to: self.address_of(to), both }
    }

    /// The connections between two nodes, one of which may have the shared address too.
    fn connections(&self, one: Id, other: Id) -> Vec<(SocketAddr, SocketAddr)> {
        let (one, other) = (self.address_of(one), self.address_of(other));
        self.link.connected(one).into_iter().filter(|to| *to == other).map(|to| (one, to)).collect()
    }

    /// Its process is gone: the kernel ends its connections.
    fn cut_off(&mut self, id: Id) {
        let (now, address) = (self.clock.now(), self.address_of(id));
        for other in self.link.connected(address) {
            self.link.tear(now, address, other);
            self.closed(other, address);
        }
    }

    /// The agent is a process of its own: it speaks for a server that hangs, and not for one that is dead.
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
            for arrives in self.link.send(now, &packet) {
                self.clock.add(arrives, Event::Deliver { packet: packet.clone(), sent: now });
            }
        }
        self.wake(from);
    }

    /// Sees to it that the node is woken at its deadline.
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

    /// Nothing but load managers looking around is left to happen.
    fn is_idle(&self) -> bool {
        let idle = |manager: &Manager| {
            manager.is_dead || manager.shared.held.is_empty() && manager.shared.registrations.is_empty()
        };
        self.over && self.managers.iter().all(idle)
    }

    /// Time passes; nobody has anything to say, but for questions to servers that are in doubt.
    fn quiet(&mut self) {
        for at in 0..self.managers.len() {
            let begin = self.local(Id::Manager(at));
            // Agents are silent now, so that in the end all servers are called failed.
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

/// A seed of its own for each server.
fn hash(address: SocketAddr) -> u64 {
    let id = lb::farm::server::ServerId::of(address);
    u64::from(id.0) << 16
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
