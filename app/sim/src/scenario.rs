//! What a run is made of, all of it drawn from one seed.

use std::net::SocketAddr;

use base::{Chance, Duration, Time};
use lb::settings::{Affinity, Heartbeats, HoldSetup, Listener, Probe, Selection, ServerEntry, Settings};
use sip::Transport;

use crate::callers::Plan;
use crate::link::Weather;
use crate::servers::{Fate, Manners};

/// What may go wrong in a scenario.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Servers stay well; the network need not be.
    Calm,
    /// One server dies or hangs, and returns (T3, T4).
    ServerLost,
    /// One server joins and another is drained in the middle of it (T1, T2).
    FarmChanges,
    /// All load managers share one address; each datagram reaches any of them (T5).
    Anycast,
}

/// Something that happens to a server.
#[derive(Clone, Copy, Debug)]
pub struct Fault {
    pub at: Time,
    pub server: usize,
    pub fate: Fate,
}

#[derive(Clone, Debug)]
pub struct Scenario {
    pub seed: u64,
    pub kind: Kind,
    pub weather: Weather,
    pub workers: u8,
    pub managers: Vec<Settings>,
    pub servers: Vec<SocketAddr>,
    pub manners: Manners,
    pub calls: Vec<Plan>,
    pub faults: Vec<Fault>,
    /// A datagram to a dead server comes back as ICMP port unreachable.
    pub icmp: bool,
}

/// Between heartbeats; three of them missed and a server is failed.
pub const HEARTBEAT_PERIOD: Duration = Duration::from_millis(500);

const CALLS: u64 = 8;
/// All calls begin within this time.
const RUSH: Duration = Duration::from_secs(10);

impl Scenario {
    pub fn drawn(seed: u64, kind: Kind) -> Scenario {
        let mut chance = Chance::seeded(seed ^ 0x05CE_4A71);
        let servers: Vec<SocketAddr> =
            (0..2 + chance.below(3)).map(|number| address(2, number as u8 + 1)).collect();
        let managers = 1 + chance.below(2) as u8 + u8::from(kind == Kind::Anycast);
        // A datagram that any load manager may get asks for a choice that all make alike (SPEC A8).
        let (affinity, selection) = match kind {
            Kind::Anycast => (Affinity::Hash, Selection::Hash),
            Kind::Calm | Kind::ServerLost | Kind::FarmChanges => drawn_policy(&mut chance),
        };
        // A caller over UDP that heard its call ring repeats no more: it survives its server only where it is held too.
        // And it can be held only where the answers come back to who holds it.
        let hold_all = chance.permille(500) && kind != Kind::Anycast;
        let hold_setup = if hold_all { HoldSetup::All } else { HoldSetup::Stream };
        let streams_permille = match (kind, hold_setup) {
            // A connection is one load manager's own: through a shared address it would reach any.
            (Kind::Anycast, _) => 0,
            (Kind::ServerLost, HoldSetup::Stream) => 1000,
            (_, _) => 600,
        };
        // The last server of a farm that changes joins later, by its heartbeat.
        let known = servers.len() - usize::from(kind == Kind::FarmChanges);
        let policy = Policy { affinity, selection, hold_setup };
        let settings = (0..managers).map(|number| {
            let shared = (kind == Kind::Anycast).then(|| address(1, 100));
            settings(address(1, number + 1), shared, &servers[..known], policy, kind)
        });
        let managers: Vec<Settings> = settings.collect();
        let calls = (0..CALLS).map(|_| drawn_call(&mut chance, &managers, streams_permille)).collect();
        let faults = match kind {
            Kind::ServerLost => drawn_loss(&mut chance, servers.len()),
            Kind::FarmChanges => drawn_changes(&mut chance, servers.len()),
            Kind::Calm | Kind::Anycast => Vec::new(),
        };
        let weather = if chance.permille(300) { Weather::FAIR } else { Weather::FOUL };
        let manners = Manners {
            refuses_permille: 200,
            hangs_up_permille: 200,
            rings: Duration::from_millis(500 + chance.below(10_000)),
        };
        let workers = 1 + chance.below(2) as u8;
        let icmp = chance.permille(500);
        Scenario { seed, kind, weather, workers, managers, servers, manners, calls, faults, icmp }
    }
}

pub fn address(network: u8, host: u8) -> SocketAddr {
    SocketAddr::from(([10, 0, network, host], 5060))
}

fn drawn_policy(chance: &mut Chance) -> (Affinity, Selection) {
    let affinity = [Affinity::Hash, Affinity::Session, Affinity::Tag][chance.below(3) as usize];
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

/// One server is lost in the thick of it and comes back later; whoever hangs answers what he was asked meanwhile.
fn drawn_loss(chance: &mut Chance, servers: usize) -> Vec<Fault> {
    let server = chance.below(servers as u64) as usize;
    let fate = if chance.permille(500) { Fate::Dead } else { Fate::Hung };
    let at = Time::from_millis(2000 + chance.below(10_000));
    let back = at + Duration::from_millis(3000 + chance.below(15_000));
    vec![Fault { at, server, fate }, Fault { at: back, server, fate: Fate::Alive }]
}

/// The last server joins; the first one gets no more new calls.
fn drawn_changes(chance: &mut Chance, servers: usize) -> Vec<Fault> {
    let joins = Time::from_millis(2000 + chance.below(4000));
    let drained = joins + Duration::from_millis(1000 + chance.below(4000));
    vec![
        Fault { at: Time::ZERO, server: servers - 1, fate: Fate::Absent },
        Fault { at: joins, server: servers - 1, fate: Fate::Alive },
        Fault { at: drained, server: 0, fate: Fate::Drained },
    ]
}

#[derive(Clone, Copy)]
struct Policy {
    affinity: Affinity,
    selection: Selection,
    hold_setup: HoldSetup,
}

fn settings(
    bind: SocketAddr,
    shared_address: Option<SocketAddr>,
    servers: &[SocketAddr],
    policy: Policy,
    kind: Kind,
) -> Settings {
    let Policy { affinity, selection, hold_setup } = policy;
    let advertise = shared_address.unwrap_or(bind);
    let listener = |transport| Listener { transport, bind, advertise };
    let entry =
        |address: &SocketAddr| ServerEntry { address: *address, transport: Transport::Udp, weight: 1 };
    let listeners = vec![listener(Transport::Udp), listener(Transport::Tcp)];
    let small = Settings::small(listeners, servers.iter().map(entry).collect(), *b"a key of the sim");
    Settings {
        affinity,
        selection,
        new_calls_max: 1024,
        sessions_max: 1024,
        hold_setup,
        held_bytes_max: 10_000_000,
        // One of several that share an address sees half of the answers: their absence says nothing there.
        probe: if kind == Kind::Anycast { Probe::Off } else { Probe::Traffic },
        probe_interval: Duration::from_secs(10),
        heartbeat: Heartbeats { period: HEARTBEAT_PERIOD, ..small.heartbeat },
        ..small
    }
}
