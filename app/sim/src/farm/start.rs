//! A farm before the first event: all nodes, made from the scenario.

use std::collections::{BTreeSet, HashMap};
use std::net::SocketAddr;

use base::{Chance, Time};

use super::{Event, Farm};
use crate::callers::{self, Caller};
use crate::clock::Clock;
use crate::link::Link;
use crate::losses::Losses;
use crate::manager::Manager;
use crate::node::Id;
use crate::phones::{self, Phone};
use crate::scenario::{Kind, NOTICE_PORT, Scenario, address};
use crate::servers::Server;
use crate::stranger::Stranger;

/// The true wall clock time at the beginning of a run, microseconds since 1970.
const BEGAN_US: i64 = 1_790_000_000_000_000;

impl Farm {
    pub fn new(scenario: Scenario) -> Farm {
        let seed = scenario.seed;
        let clocks = &scenario.clocks;
        let manager = |(number, settings): (usize, &lb::settings::Settings)| {
            let id = Id::Manager(number);
            let offset = clocks.offset(id);
            // The node's own clock began before the run, and its wall clock may be wrong.
            let began = BEGAN_US - offset.as_micros() as i64 + clocks.wrong_us(id);
            let seed = seed ^ number as u64;
            Manager::new(Time::ZERO + offset, settings.clone(), scenario.workers, seed, began as u64)
        };
        let managers: Vec<Manager> = scenario.managers.iter().enumerate().map(manager).collect();
        let server = |(at, address): (usize, &SocketAddr)| {
            let ipv4 = u64::from(address.ip().to_canonical().is_ipv4());
            let chance = Chance::seeded(seed ^ ipv4 ^ hash(*address));
            Server::new(*address, scenario.manners, scenario.may_lose_callers_of(at), chance)
        };
        let servers: Vec<Server> = scenario.servers.iter().enumerate().map(server).collect();
        let caller = |(number, plan): (usize, &callers::Plan)| {
            let plan = callers::Plan { starts: plan.starts + clocks.offset(Id::Caller(number)), ..*plan };
            Caller::new(address(3, number as u8 + 1), number, plan)
        };
        let callers: Vec<Caller> = scenario.calls.iter().enumerate().map(caller).collect();
        let phone = |(number, plan): (usize, &phones::Plan)| {
            let plan = phones::Plan { starts: plan.starts + clocks.offset(Id::Phone(number)), ..*plan };
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
            losses: Losses::default(),
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
}

/// A seed for each server.
fn hash(address: SocketAddr) -> u64 {
    let id = lb::farm::server::ServerId::of(address);
    u64::from(id.0) << 16
}
