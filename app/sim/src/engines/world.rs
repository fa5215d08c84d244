//! The run itself: the virtual clock, the network, and who gets what.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::SocketAddr;

use base::{Chance, Duration, Time};

use super::case::{Case, Kind, farm_address};
use super::event::{Event, Who};
use super::member::{Deed, EPOCH_US, Incoming, Make, Member, letters_of};
use super::queries::Queries;
use super::shard::Shard;
use super::tap::Tap;
use crate::addresses::address;
use crate::callers::Caller;
use crate::clock::Clock;
use crate::link::{Link, Packet};
use crate::losses::Losses;
use crate::node::{Arrival, Node};
use crate::servers::Server;

/// No run takes longer, unless something in it never ends.
const END: Time = Time::from_secs(600);
/// After the last call the records go, and after them what is left of them for late messages.
const QUIET: Duration = Duration::from_secs(40);
/// In that time nobody waits for an engine: it looks at its timers in steps of this length.
const AFTERWARDS: Duration = Duration::from_millis(250);
/// What is left after this time stays for ever, as far as a run can see.
const PATIENCE: Duration = Duration::from_secs(300);

/// More events than any run has that comes to an end.
const EVENTS_MAX: u64 = 400_000;

/// See the head of this module.
pub struct World {
    pub case: Case,
    pub callers: Vec<Caller>,
    pub callees: Vec<Server>,
    pub(super) members: Vec<Member>,
    pub(super) shard: Shard,
    pub(super) queries: Queries,
    pub(super) tap: Tap,
    pub(super) losses: Losses,
    /// Kinds of faults that happened.
    pub seen: BTreeSet<&'static str>,
    pub trace: Option<Vec<String>>,
    /// Engines that the network gives messages to.
    pub(super) spread: Vec<bool>,
    pub(super) engines_started: u32,
    pub(super) clock: Clock<Event>,
    pub(super) chance: Chance,
    /// Until then writes reach this replica late.
    pub(super) lags: Option<(usize, Time)>,
    pub(super) replies_lost_until: Time,
    /// When the last write to each replica arrives.
    pub(super) streams: HashMap<usize, Time>,
    /// The reign whose writes on their way are lost.
    pub(super) cut: Option<u64>,
    /// Spans in which the store did not answer.
    pub(super) out_of_reach: Vec<(Time, Time)>,
    events: u64,
    /// When the last call was over.
    over: Option<Time>,
    link: Link,
    wakes: BTreeMap<Who, Time>,
    nodes: HashMap<SocketAddr, Who>,
}

impl World {
    pub fn new(case: Case) -> World {
        let mut chance = Chance::seeded(case.seed ^ 0x0000_7711);
        let callers: Vec<Caller> = (case.calls.iter().enumerate())
            .map(|(number, plan)| Caller::new(address(3, number as u8 + 1), number, *plan))
            .collect();
        let callee = |to: &SocketAddr| Server::new(*to, case.manners, false, chance.fork());
        let callees: Vec<Server> = case.callees.iter().map(callee).collect();
        let make = |at| Make {
            at,
            farm: farm_address(),
            callees: case.callees.clone(),
            route: None,
            ring_max: case.ring_max,
            talk_max: case.talk_max,
        };
        let member = |at| {
            let offset = Duration::from_secs(1 + chance.below(1000));
            Member::new(make(at), offset, chance.below(200_000) as i64 - 100_000)
        };
        let members: Vec<Member> = (0..case.members).map(member).collect();
        let mut nodes = HashMap::new();
        nodes.extend(callers.iter().map(|one| (one.address, Who::Caller(one.number))));
        nodes.extend(callees.iter().enumerate().map(|(at, one)| (one.address, Who::Callee(at))));
        let mut world = World {
            callers,
            callees,
            spread: vec![true; members.len()],
            members,
            shard: Shard::new(case.replicas),
            queries: Queries::default(),
            tap: Tap::default(),
            losses: Losses::default(),
            seen: BTreeSet::new(),
            trace: None,
            engines_started: 0,
            clock: Clock::default(),
            link: Link::new(case.weather, chance.fork()),
            chance,
            lags: None,
            replies_lost_until: Time::ZERO,
            streams: HashMap::new(),
            cut: None,
            events: 0,
            over: None,
            out_of_reach: Vec::new(),
            wakes: BTreeMap::new(),
            nodes,
            case,
        };
        for at in 0..world.members.len() {
            world.start(at);
        }
        (0..world.callers.len()).for_each(|at| world.wake(Who::Caller(at)));
        for (number, fault) in world.case.faults.iter().enumerate() {
            world.clock.add(fault.at, Event::Fault(number));
        }
        world
    }

    pub fn keep_trace(mut self) -> World {
        self.trace = Some(vec![format!("{:#?}", self.case)]);
        self
    }

    /// Runs until all calls are over and the store is empty.
    pub fn run(mut self) -> World {
        while let Some(event) = self.clock.next(END) {
            self.happen(event);
            self.events += 1;
            let now = self.now();
            if self.is_endless() {
                break;
            }
            match self.over {
                None if self.is_over() => self.over = Some(now),
                Some(since) if now > since + PATIENCE => break,
                Some(since) if now > since + QUIET && self.is_empty() => break,
                _ => {}
            }
        }
        self
    }

    /// Something goes round and round.
    pub(super) fn is_endless(&self) -> bool {
        self.events > EVENTS_MAX
    }

    pub(super) fn now(&self) -> Time {
        self.clock.now()
    }

    /// Milliseconds since 1970.
    pub(super) fn millis(&self) -> u64 {
        (EPOCH_US + self.now().as_micros()) / 1000
    }

    fn is_over(&self) -> bool {
        self.now() > self.case.last_fault() + Duration::from_secs(10)
            && self.callers.iter().all(Caller::is_done)
            && self.callees.iter().all(|callee| !callee.is_busy(self.now()))
    }

    fn is_empty(&self) -> bool {
        let counts = self.shard.counts();
        counts.tombstones == 0
            && (counts.records == 0 || self.shard.records().is_subset(&self.shard.ends_lost()))
    }

    fn happen(&mut self, event: Event) {
        match event {
            Event::Deliver(packet) => self.deliver(packet),
            Event::Wake(who) => {
                if self.wakes.get(&who) == Some(&self.now()) {
                    self.wakes.remove(&who);
                }
                self.timeout(who);
            }
            Event::Fault(number) => self.fault(self.case.faults[number].what),
            other => self.befall(other),
        }
    }

    fn timeout(&mut self, who: Who) {
        let now = self.now();
        let mut out = Vec::new();
        match who {
            Who::Caller(at) => self.callers[at].handle_timeout(now, &mut out),
            Who::Callee(at) => {
                self.callees[at].handle_timeout(now, &mut out);
                out.iter().for_each(|packet| self.tap.answers(packet));
            }
            Who::Member(at) => {
                let deeds = self.members[at].handle_timeout(now);
                return self.carry_out(at, deeds);
            }
        }
        self.send(out);
        self.wake(who);
    }

    /// The engine that gets a message for the farm's address. `None`: it has come to a dead one.
    fn spread(&mut self, packet: &Packet) -> Option<usize> {
        let count = self.members.len();
        let place = match self.case.kind {
            Kind::Affinity => {
                let text = String::from_utf8_lossy(&packet.bytes);
                let letters = super::tap::field(&text, "Call-ID").bytes();
                letters.fold(7, |sum: usize, byte| sum.wrapping_mul(31).wrapping_add(byte.into()))
            }
            Kind::Scattered | Kind::StateTier | Kind::Lasting => self.chance.below(count as u64) as usize,
        };
        (0..count).map(|step| place.wrapping_add(step) % count).find(|at| self.spread[*at])
    }

    fn deliver(&mut self, packet: Packet) {
        let now = self.now();
        let member = match packet.to {
            to if to == farm_address() => self.spread(&packet),
            to => (0..self.members.len()).find(|at| self.members[*at].lives() && letters_of(*at) == to),
        };
        let node = self.nodes.get(&packet.to).copied();
        self.note(|| match (member, node) {
            (Some(at), _) => format!("{now:?} member {at}: {}", line(&packet)),
            (None, Some(who)) => format!("{now:?} {who:?}: {}", line(&packet)),
            (None, None) => format!("{now:?} nobody: {}", line(&packet)),
        });
        match (member, node) {
            (Some(at), _) => {
                if !self.members[at].lives() {
                    self.losses.came_to_nobody(&packet);
                }
                self.tap.reached(self.members[at].number, &packet);
                self.receive(at, Incoming::Message(packet));
            }
            (None, Some(who)) => {
                let mut out = Vec::new();
                self.tap.gets(now, &packet);
                match who {
                    Who::Caller(at) => self.callers[at].receive(now, Arrival::Message(&packet), &mut out),
                    Who::Callee(at) => {
                        self.tap.came(&packet);
                        self.callees[at].receive(now, Arrival::Message(&packet), &mut out);
                        out.iter().for_each(|packet| self.tap.answers(packet));
                    }
                    Who::Member(_) => {}
                }
                self.send(out);
                self.wake(who);
            }
            (None, None) => self.losses.came_to_nobody(&packet),
        }
    }

    /// Something comes to an engine.
    pub(super) fn receive(&mut self, at: usize, incoming: Incoming) {
        let now = self.now();
        let deeds = self.members[at].receive(now, incoming);
        self.carry_out(at, deeds);
    }

    /// The effects of an engine's turn, one behind the other: a blow may fall before each.
    pub(super) fn carry_out(&mut self, at: usize, deeds: Vec<Deed>) {
        let mut deeds = deeds.into_iter();
        while let Some(deed) = deeds.next() {
            if let Some(blow) = self.members[at].is_struck(&deed) {
                let rest = std::iter::once(deed).chain(deeds).collect();
                return self.blow(at, blow, rest);
            }
            match deed {
                Deed::Ask(ask) => self.ask(at, ask),
                Deed::Send(packet) => {
                    let now = self.now();
                    self.tap.sent(now, &packet);
                    self.tap.hands_over(self.members[at].number, &packet);
                    self.send(vec![packet]);
                }
            }
        }
        self.wake(Who::Member(at));
    }

    fn send(&mut self, packets: Vec<Packet>) {
        let now = self.now();
        for packet in packets {
            let arrivals = self.link.send(now, &packet);
            self.losses.sent(&packet, arrivals.is_empty());
            let (from, lost) = (packet.from, if arrivals.is_empty() { " LOST" } else { "" });
            self.note(|| format!("{now:?}   {from} sends{lost} {}", line(&packet)));
            for arrives in arrivals {
                self.clock.add(arrives, Event::Deliver(packet.clone()));
            }
        }
    }

    pub(super) fn wake(&mut self, who: Who) {
        let now = self.now();
        let deadline = match who {
            Who::Caller(at) => self.callers[at].next_deadline(),
            Who::Callee(at) => self.callees[at].next_deadline(),
            Who::Member(at) => self.members[at].next_deadline().map(|deadline| self.stepped(deadline)),
        };
        let Some(deadline) = deadline.map(|deadline| deadline.max(now)) else { return };
        if self.wakes.get(&who).is_none_or(|wake| deadline < *wake) {
            self.wakes.insert(who, deadline);
            self.clock.add(deadline, Event::Wake(who));
        }
    }

    /// Engines look at their timers in steps.
    fn stepped(&self, deadline: Time) -> Time {
        let step = if self.over.is_some() { AFTERWARDS } else { self.case.step };
        let step = step.as_micros() as u64;
        Time::from_micros(deadline.as_micros().div_ceil(step) * step)
    }

    pub(super) fn note(&mut self, text: impl FnOnce() -> String) {
        if let Some(trace) = &mut self.trace {
            trace.push(text());
        }
    }
}

fn line(packet: &Packet) -> String {
    let text = String::from_utf8_lossy(&packet.bytes);
    let field = |name| super::tap::field(&text, name);
    format!(
        "{} -> {} {} | {} | {} | {} | {}",
        packet.from,
        packet.to,
        text.lines().next().unwrap_or_default(),
        field("CSeq"),
        field("Call-ID"),
        field("Via"),
        field("To"),
    )
}
