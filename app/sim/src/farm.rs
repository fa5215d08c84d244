//! Load managers, servers and callers on one clock, with a network between them.

use std::collections::HashMap;
use std::net::SocketAddr;

use base::{Chance, Duration, Time};
use heartbeat::datagram::ServerState;

use crate::callers::Caller;
use crate::clock::Clock;
use crate::link::{Link, Packet};
use crate::manager::Manager;
use crate::scenario::{HEARTBEAT_PERIOD, Kind, Scenario};
use crate::servers::{Fate, Server};

/// No run takes longer; one that does has something that never ends.
const END: Time = Time::from_secs(300);
/// What is remembered when all calls are over has gone after this time: timer C and 64·T1.
const QUIET: Duration = Duration::from_secs(250);

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Node {
    Manager(usize),
    Server(usize),
    Caller(usize),
}

#[derive(Debug)]
enum Event {
    Deliver(Packet),
    Wake(Node),
    Unreachable {
        manager: usize,
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
    /// Messages sent after everything was over.
    pub afterwards: Vec<String>,
    /// What went over the network, if it is to be kept.
    pub trace: Option<Vec<String>>,
    clock: Clock<Event>,
    link: Link,
    chance: Chance,
    nodes: HashMap<SocketAddr, Node>,
    wakes: HashMap<Node, Time>,
    /// As of the last heartbeat.
    over: bool,
}

impl Farm {
    pub fn new(scenario: Scenario) -> Farm {
        let seed = scenario.seed;
        let managers: Vec<Manager> = scenario
            .managers
            .iter()
            .enumerate()
            .map(|(number, settings)| Manager::new(settings.clone(), scenario.workers, seed ^ number as u64))
            .collect();
        let servers: Vec<Server> = scenario
            .servers
            .iter()
            .map(|address| {
                let chance =
                    Chance::seeded(seed ^ u64::from(address.ip().to_canonical().is_ipv4()) ^ hash(*address));
                Server::new(*address, scenario.manners, chance)
            })
            .collect();
        let caller = |(number, plan): (usize, _)| {
            Caller::new(crate::scenario::address(3, number as u8 + 1), number, plan)
        };
        let callers: Vec<Caller> = scenario.calls.iter().copied().enumerate().map(caller).collect();
        let mut nodes = HashMap::new();
        nodes.extend(managers.iter().enumerate().map(|(at, manager)| (manager.address, Node::Manager(at))));
        nodes.extend(servers.iter().enumerate().map(|(at, server)| (server.address, Node::Server(at))));
        nodes.extend(callers.iter().enumerate().map(|(at, caller)| (caller.address, Node::Caller(at))));
        let mut clock = Clock::default();
        for (at, fault) in scenario.faults.iter().enumerate() {
            clock.add(fault.at, Event::Fault(at));
        }
        clock.add(Time::ZERO, Event::Beat);
        let mut farm = Farm {
            link: Link::new(scenario.weather, Chance::seeded(seed.wrapping_add(1))),
            chance: Chance::seeded(seed.wrapping_add(2)),
            scenario,
            managers,
            servers,
            callers,
            afterwards: Vec::new(),
            trace: None,
            clock,
            nodes,
            wakes: HashMap::new(),
            over: false,
        };
        let all: Vec<Node> = farm.nodes.values().copied().collect();
        all.into_iter().for_each(|node| farm.wake(node));
        farm
    }

    /// A server was lost, or so many datagrams in a row that it seemed to be.
    pub fn lost_one(&self) -> bool {
        self.scenario.kind == Kind::ServerLost || self.managers.iter().any(|manager| manager.taken_over > 0)
    }

    pub fn keep_trace(mut self) -> Farm {
        self.trace = Some(Vec::new());
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

    fn is_over(&self) -> bool {
        let faults = self.scenario.faults.iter().all(|fault| fault.at <= self.clock.now());
        faults
            && self.callers.iter().all(Caller::is_done)
            && self.servers.iter().all(|server| server.unfinished().next().is_none())
    }

    fn happen(&mut self, event: Event) {
        let now = self.clock.now();
        let mut out = Vec::new();
        match event {
            Event::Deliver(packet) => self.deliver(now, packet, &mut out),
            Event::Wake(node) => {
                if self.wakes.get(&node) == Some(&now) {
                    self.wakes.remove(&node);
                }
                match node {
                    Node::Manager(at) => self.managers[at].handle_timeout(now, &mut out),
                    Node::Server(at) => self.servers[at].handle_timeout(now, &mut out),
                    Node::Caller(at) => self.callers[at].handle_timeout(now, &mut out),
                }
                self.send(now, node, out);
            }
            Event::Unreachable { manager, to } => {
                self.managers[manager].unreachable(now, to, &mut out);
                self.send(now, Node::Manager(manager), out);
            }
            Event::Fault(at) => {
                let fault = self.scenario.faults[at];
                self.note(|| format!("{now:?} server {} is {:?}", fault.server, fault.fate));
                self.servers[fault.server].suffer(now, fault.fate, &mut out);
                self.send(now, Node::Server(fault.server), out);
            }
            Event::Beat => self.beat(now),
        }
    }

    /// The agent is a process of its own: it speaks for a server that hangs, and not for one that is dead.
    fn beat(&mut self, now: Time) {
        for manager in &mut self.managers {
            for server in &self.servers {
                match server.fate {
                    Fate::Alive | Fate::Hung => manager.heartbeat(now, server.address, ServerState::Started),
                    Fate::Drained => manager.heartbeat(now, server.address, ServerState::Draining),
                    Fate::Dead | Fate::Absent => {}
                }
            }
            manager.tick(now);
        }
        self.over = self.is_over();
        (0..self.managers.len()).for_each(|at| self.wake(Node::Manager(at)));
        if !self.over {
            self.clock.add(now + HEARTBEAT_PERIOD, Event::Beat);
        }
    }

    fn deliver(&mut self, now: Time, packet: Packet, out: &mut Vec<Packet>) {
        let node = match self.nodes.get(&packet.to) {
            Some(node) => *node,
            // The address that all load managers share.
            None if self.scenario.kind == Kind::Anycast => {
                Node::Manager(self.chance.below(self.managers.len() as u64) as usize)
            }
            None => return self.afterwards.push(format!("to nobody: {}", line(&packet))),
        };
        self.note(|| format!("{now:?} {node:?} {}", line(&packet)));
        match node {
            Node::Manager(at) => self.managers[at].receive(now, &packet, out),
            Node::Server(at) => {
                let sender = self.nodes.get(&packet.from);
                if let (Fate::Dead, true, Some(Node::Manager(manager))) =
                    (self.servers[at].fate, self.scenario.icmp, sender)
                {
                    self.clock.add(now, Event::Unreachable { manager: *manager, to: packet.to });
                }
                self.servers[at].receive(now, &packet, out);
            }
            Node::Caller(at) => self.callers[at].receive(now, &packet, out),
        }
        self.send(now, node, std::mem::take(out));
    }

    fn send(&mut self, now: Time, from: Node, packets: Vec<Packet>) {
        for packet in packets {
            for arrives in self.link.send(now, &packet) {
                self.clock.add(arrives, Event::Deliver(packet.clone()));
            }
        }
        self.wake(from);
    }

    /// Sees to it that the node is woken at its deadline.
    fn wake(&mut self, node: Node) {
        let deadline = match node {
            Node::Manager(at) => self.managers[at].next_deadline(),
            Node::Server(at) => self.servers[at].next_deadline(),
            Node::Caller(at) => self.callers[at].next_deadline(),
        };
        let Some(deadline) = deadline.map(|deadline| deadline.max(self.clock.now())) else { return };
        let known = self.wakes.get(&node).is_some_and(|wake| *wake <= deadline);
        let over = matches!(node, Node::Manager(_)) && deadline > self.clock.now() && self.is_idle();
        if !known && !over {
            self.wakes.insert(node, deadline);
            self.clock.add(deadline, Event::Wake(node));
        }
    }

    /// Nothing but load managers looking around is left to happen.
    fn is_idle(&self) -> bool {
        self.over && self.managers.iter().all(|manager| manager.shared.held.is_empty())
    }

    /// Time passes; nobody has anything to say.
    fn quiet(&mut self) {
        let begin = self.clock.now();
        for second in (0..=QUIET.as_secs()).step_by(10) {
            let now = begin + Duration::from_secs(second);
            for manager in &mut self.managers {
                let mut out = Vec::new();
                manager.handle_timeout(now, &mut out);
                self.afterwards.extend(out.iter().map(line));
            }
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
