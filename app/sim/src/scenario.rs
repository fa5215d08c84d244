//! The parts of a run, all drawn from one seed.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use base::{Chance, Duration, Time};
use lb::register::settings::{RegisterSettings, RegisterTo};
use lb::settings::{
    Affinity, Heartbeats, HoldSetup, Listener, Peers, Probe, Selection, ServerEntry, Settings,
};
use sip::Transport;

pub use crate::addresses::{NOTICE_PORT, address};
use crate::callers::Plan;
use crate::fate::{Fate, Manners};
use crate::fault::{Fault, KEYS, What};
pub use crate::kinds::Kind;
use crate::kinds::faults;
use crate::link::Weather;
use crate::node::Id;
use crate::phones;

#[derive(Clone, Debug)]
pub struct Scenario {
    pub seed: u64,
    pub kind: Kind,
    pub weather: Weather,
    pub workers: u8,
    pub managers: Vec<Settings>,
    pub servers: Vec<SocketAddr>,
    pub server_transport: Transport,
    pub manners: Manners,
    pub calls: Vec<Plan>,
    pub phones: Vec<phones::Plan>,
    pub faults: Vec<Fault>,
    pub clocks: Clocks,
    /// ICMP port unreachable answers a datagram to a dead server.
    pub icmp: bool,
    /// Servers have agents, which send heartbeats.
    pub agents: bool,
}

/// The difference of each node's clock from the farm's.
#[derive(Clone, Debug, Default)]
pub struct Clocks(BTreeMap<Id, (Duration, i64)>);

impl Clocks {
    /// The time by which the node's own clock began before the run.
    pub fn offset(&self, id: Id) -> Duration {
        self.0.get(&id).map_or(Duration::ZERO, |(offset, _)| *offset)
    }

    /// The error of the node's wall clock, microseconds.
    pub fn wrong_us(&self, id: Id) -> i64 {
        self.0.get(&id).map_or(0, |(_, wrong)| *wrong)
    }

    pub fn are_apart(&self) -> bool {
        !self.0.is_empty()
    }
}

/// Time between heartbeats; a server is failed after three missed ones.
pub const HEARTBEAT_PERIOD: Duration = Duration::from_millis(500);

const CALLS: u64 = 8;
/// All calls begin within this time.
const RUSH: Duration = Duration::from_secs(10);
/// A session is forgotten after this time without messages: longer than any call, shorter than the quiet after a run.
const SESSION_IDLE: Duration = Duration::from_secs(120);
/// If calls may be lost, every caller gives up in the end.
const PATIENCE_AT_LAST: Duration = Duration::from_secs(60);
/// Clocks of load managers that send each other notices of calls must agree within ten minutes.
const WRONG_US_MAX: u64 = 240_000_000;

impl Scenario {
    pub fn drawn(seed: u64, kind: Kind) -> Scenario {
        let mut chance = Chance::seeded(seed ^ 0x05CE_4A71);
        let servers: Vec<SocketAddr> =
            (0..2 + chance.below(3)).map(|number| address(2, number as u8 + 1)).collect();
        let several = matches!(kind, Kind::Anycast | Kind::AddressMoves);
        let managers = 1 + chance.below(2) as u8 + u8::from(several);
        let fair = chance.permille(300) || kind == Kind::Forged;
        let weather = if fair { Weather::FAIR } else { Weather::FOUL };
        let (affinity, selection) = drawn_policy(&mut chance, kind, fair);
        // A caller over UDP stops repeating when its call rings: the call survives its server only if UDP set-ups are held too.
        // And a load manager can hold a set-up only if the answers come back to it.
        let hold_all = chance.permille(500) && kind != Kind::Anycast;
        let hold_setup = if hold_all { HoldSetup::All } else { HoldSetup::Stream };
        let streams_permille = match (kind, hold_setup) {
            // A connection belongs to one load manager; at a shared address, it could reach any.
            (Kind::Anycast, _) => 0,
            (Kind::ServerLost | Kind::WaysCut, HoldSetup::Stream) => 1000,
            (_, _) => 600,
        };
        let tcp_permille = match kind {
            Kind::ConnectionsEnd => 700,
            Kind::Everything => 400,
            Kind::Calm | Kind::Reload | Kind::ManagerLost => 200,
            _ => 0,
        };
        let server_transport = if chance.permille(tcp_permille) { Transport::Tcp } else { Transport::Udp };
        // In a farm that changes, the last server joins later by its heartbeat.
        let known = servers.len() - usize::from(kind == Kind::FarmChanges);
        let policy = Policy { affinity, selection, hold_setup, server_transport };
        let register_to = match chance.permille(500) && kind != Kind::Anycast {
            true => RegisterTo::All,
            false => RegisterTo::Hash,
        };
        let settings = (0..managers).map(|number| {
            let shared = several.then(|| address(1, 100));
            let mut settings = settings(address(1, number + 1), shared, &servers[..known], policy, kind);
            settings.register = RegisterSettings { to: register_to.clone(), ..settings.register };
            let told = (0..managers).filter(|other| *other != number);
            let at = |number: u8| SocketAddr::new(address(1, number + 1).ip(), NOTICE_PORT);
            settings.peers = (kind == Kind::AddressMoves || kind == Kind::Everything).then(|| Peers {
                listen: at(number),
                group: None,
                to: told.map(at).collect(),
            });
            settings
        });
        let managers: Vec<Settings> = settings.collect();
        let mut calls: Vec<Plan> =
            (0..CALLS).map(|_| drawn_call(&mut chance, &managers, streams_permille)).collect();
        if kind.loses_calls() {
            calls.iter_mut().for_each(|call| _ = call.patience.get_or_insert(PATIENCE_AT_LAST));
        }
        let phones = (0..chance.below(4)).map(|_| drawn_phone(&mut chance, &managers, streams_permille));
        let phones: Vec<phones::Plan> = phones.collect();
        let manners = Manners {
            refuses_permille: 200,
            hangs_up_permille: 200,
            rings: Duration::from_millis(500 + chance.below(10_000)),
        };
        let workers = 1 + chance.below(2) as u8;
        let icmp = chance.permille(500);
        let agents = kind != Kind::Forged || chance.permille(500);
        let clocks = drawn_clocks(&mut chance, managers.len(), servers.len(), calls.len(), phones.len());
        let mut scenario = Scenario {
            seed,
            kind,
            weather,
            workers,
            managers,
            servers,
            server_transport,
            manners,
            calls,
            phones,
            faults: Vec::new(),
            clocks,
            icmp,
            agents,
        };
        scenario.faults = faults(&mut chance, &scenario);
        scenario
    }

    /// One address leads to different load managers.
    pub fn has_shared_address(&self) -> bool {
        matches!(self.kind, Kind::Anycast | Kind::AddressMoves)
    }

    /// This server and its callers may lose each other, so the server must be able to end its calls by itself.
    pub fn may_lose_callers_of(&self, server: usize) -> bool {
        let lost = |what: &What| matches!(what, What::Server { server: at, fate: Fate::Dead | Fate::Hung } if *at == server);
        self.kind.loses_calls() || self.faults.iter().any(|fault| lost(&fault.what))
    }

    pub fn shared_address(&self) -> SocketAddr {
        address(1, 100)
    }
}

fn drawn_policy(chance: &mut Chance, kind: Kind, fair: bool) -> (Affinity, Selection) {
    let affinity = match kind {
        // Any load manager may get a datagram, so all must choose the same server (SPEC A8).
        Kind::Anycast => return (Affinity::Hash, Selection::Hash),
        // A session list dies with its process; another load manager has only the sessions of which it got notices.
        Kind::ManagerLost => [Affinity::Hash, Affinity::Tag][chance.below(2) as usize],
        Kind::AddressMoves if !fair => [Affinity::Hash, Affinity::Tag][chance.below(2) as usize],
        _ => [Affinity::Hash, Affinity::Session, Affinity::Tag][chance.below(3) as usize],
    };
    let selection = match affinity {
        Affinity::Hash => Selection::Hash,
        Affinity::Session | Affinity::Tag => {
            let all =
                [Selection::RoundRobin, Selection::Cjsq, Selection::Tjsq, Selection::Tlwl, Selection::Hash];
            all[chance.below(all.len() as u64) as usize]
        }
    };
    (affinity, selection)
}

fn drawn_call(chance: &mut Chance, managers: &[Settings], streams_permille: u32) -> Plan {
    let manager = &managers[chance.below(managers.len() as u64) as usize];
    let stream = chance.permille(streams_permille);
    let ms = |chance: &mut Chance, bound: u64| Duration::from_millis(chance.below(bound));
    Plan {
        transport: if stream { Transport::Tcp } else { Transport::Udp },
        manager: manager.listeners[0].advertise,
        starts: Time::ZERO + Duration::from_secs(1) + ms(chance, RUSH.as_millis() as u64),
        talks: ms(chance, 5000),
        patience: chance.permille(250).then(|| ms(chance, 6000)),
    }
}

fn drawn_phone(chance: &mut Chance, managers: &[Settings], streams_permille: u32) -> phones::Plan {
    let manager = &managers[chance.below(managers.len() as u64) as usize];
    phones::Plan {
        transport: if chance.permille(streams_permille) { Transport::Tcp } else { Transport::Udp },
        manager: manager.listeners[0].advertise,
        starts: Time::from_millis(500 + chance.below(5000)),
        pause: Duration::from_millis(1000 + chance.below(4000)),
        registrations: 1 + chance.below(4) as u32,
    }
}

/// Draws the nodes' clocks. In half of the runs all clocks are equal.
fn drawn_clocks(
    chance: &mut Chance,
    managers: usize,
    servers: usize,
    callers: usize,
    phones: usize,
) -> Clocks {
    if chance.permille(500) {
        return Clocks::default();
    }
    let all = (0..managers)
        .map(Id::Manager)
        .chain((0..servers).map(Id::Server))
        .chain((0..callers).map(Id::Caller))
        .chain((0..phones).map(Id::Phone));
    let drawn = all.map(|id| {
        let offset = Duration::from_micros(chance.below(1 << 40));
        (id, (offset, chance.below(2 * WRONG_US_MAX) as i64 - WRONG_US_MAX as i64))
    });
    Clocks(drawn.collect())
}

#[derive(Clone, Copy)]
struct Policy {
    affinity: Affinity,
    selection: Selection,
    hold_setup: HoldSetup,
    server_transport: Transport,
}

fn settings(
    bind: SocketAddr,
    shared_address: Option<SocketAddr>,
    servers: &[SocketAddr],
    policy: Policy,
    kind: Kind,
) -> Settings {
    let Policy { affinity, selection, hold_setup, server_transport } = policy;
    let advertise = shared_address.unwrap_or(bind);
    let listener = |transport| Listener { transport, bind, advertise, name: None };
    let entry = |address: &SocketAddr| ServerEntry::at(*address, server_transport);
    let listeners = vec![listener(Transport::Udp), listener(Transport::Tcp)];
    let small = Settings::small(listeners, servers.iter().map(entry).collect(), KEYS[0].1);
    Settings {
        affinity,
        selection,
        new_calls_max: 1024,
        sessions_max: 1024,
        session_idle: SESSION_IDLE,
        hold_setup,
        held_bytes_max: 10_000_000,
        // With a shared address each load manager sees only a part of the answers, so missing answers say nothing.
        probe: if kind == Kind::Anycast { Probe::Off } else { Probe::Traffic },
        probe_interval: Duration::from_secs(10),
        heartbeat: Heartbeats { period: HEARTBEAT_PERIOD, ..small.heartbeat },
        ..small
    }
}
