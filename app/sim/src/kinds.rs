//! Kinds of scenarios: the faults of each, drawn from the seed. The kind says what to expect of its runs; chance decides when,
//! where and how often faults happen.

use base::{Chance, Duration, Time};
use lb::settings::{HoldSetup, Selection};

use crate::fate::Fate;
use crate::fault::{Change, Fault, What};
use crate::link::Weather;
use crate::node::Id;
use crate::scenario::Scenario;
use crate::stranger::Forgery;

/// The faults that may happen in a scenario.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// No server fails; the network may be bad.
    Calm,
    /// One server dies or hangs, and returns (T3, T4).
    ServerLost,
    /// One server joins and another is drained during the run (T1, T2).
    FarmChanges,
    /// All load managers share one address; each datagram reaches a random one of them (T5).
    Anycast,
    /// Ways between servers, callers and load managers are cut for a time.
    WaysCut,
    /// A load manager dies and is started again, with empty memory and the same key.
    ManagerLost,
    /// A load manager dies, and another one that received notices of its calls gets its address.
    AddressMoves,
    /// Clients, servers and load managers close connections that have calls.
    ConnectionsEnd,
    /// Settings change during calls.
    Reload,
    /// A stranger forges messages about calls, and ICMP about servers.
    Forged,
    /// All of these faults.
    Everything,
}

impl Kind {
    pub const ALL: [Kind; 11] = [
        Kind::Calm,
        Kind::ServerLost,
        Kind::FarmChanges,
        Kind::Anycast,
        Kind::WaysCut,
        Kind::ManagerLost,
        Kind::AddressMoves,
        Kind::ConnectionsEnd,
        Kind::Reload,
        Kind::Forged,
        Kind::Everything,
    ];

    /// Calls of this kind may lose their servers or load managers, so both sides must be able to end by themselves.
    pub fn loses_calls(self) -> bool {
        match self {
            Kind::WaysCut | Kind::ManagerLost | Kind::AddressMoves | Kind::Everything => true,
            Kind::ServerLost | Kind::ConnectionsEnd | Kind::Calm | Kind::FarmChanges => false,
            Kind::Anycast | Kind::Reload | Kind::Forged => false,
        }
    }
}

/// Draws the faults of a scenario whose other parts are drawn.
pub fn faults(chance: &mut Chance, scenario: &Scenario) -> Vec<Fault> {
    let mut faults = match scenario.kind {
        Kind::Anycast => Vec::new(),
        Kind::Calm => weather(chance),
        Kind::ServerLost => loss(chance, scenario),
        Kind::FarmChanges => changes(scenario, chance),
        Kind::WaysCut => several(chance, 1, 3, |chance| cut(chance, scenario)),
        Kind::ManagerLost => manager_lost(chance, scenario),
        Kind::AddressMoves => address_moves(chance, scenario),
        Kind::ConnectionsEnd => several(chance, 3, 8, |chance| ends(chance, scenario)),
        Kind::Reload => reloads(chance, scenario),
        Kind::Forged => several(chance, 5, 15, |chance| forged(chance, scenario)),
        Kind::Everything => several(chance, 2, 5, |chance| match chance.below(9) {
            0 => loss(chance, scenario),
            1 | 2 => cut(chance, scenario),
            3 => manager_lost(chance, scenario),
            4 => ends(chance, scenario),
            5 => reloads(chance, scenario),
            6 => forged(chance, scenario),
            7 => vec![torn(chance, scenario)],
            _ => weather(chance),
        }),
    };
    faults.sort_by_key(|fault| fault.at);
    faults
}

fn several(
    chance: &mut Chance,
    min: u64,
    max: u64,
    mut draw: impl FnMut(&mut Chance) -> Vec<Fault>,
) -> Vec<Fault> {
    let count = min + chance.below(max - min + 1);
    (0..count).flat_map(|_| draw(chance)).collect()
}

/// A time at which many calls are in progress.
fn moment(chance: &mut Chance) -> Time {
    Time::from_millis(1500 + chance.below(13_000))
}

fn ms(chance: &mut Chance, min: u64, max: u64) -> Duration {
    Duration::from_millis(min + chance.below(max - min))
}

fn one(chance: &mut Chance, count: usize) -> usize {
    chance.below(count as u64) as usize
}

/// Changes of the weather: better, worse, and better again.
fn weather(chance: &mut Chance) -> Vec<Fault> {
    if chance.permille(500) {
        return Vec::new();
    }
    let worse = moment(chance);
    let better = worse + ms(chance, 500, 8000);
    vec![
        Fault { at: Time::from_millis(1000), what: What::Weather(Weather::FAIR) },
        Fault { at: worse, what: What::Weather(Weather::FOUL) },
        Fault { at: better, what: What::Weather(Weather::FAIR) },
    ]
}

/// One server is lost while many calls are in progress and comes back later; a server that hung then answers what it received
/// meanwhile.
fn loss(chance: &mut Chance, scenario: &Scenario) -> Vec<Fault> {
    let server = one(chance, scenario.servers.len());
    let fate = if chance.permille(500) { Fate::Dead } else { Fate::Hung };
    let at = Time::from_millis(2000 + chance.below(10_000));
    let back = at + ms(chance, 3000, 18_000);
    vec![Fault::server(at, server, fate), Fault::server(back, server, Fate::Alive)]
}

/// The last server joins; the first gets no more new calls.
fn changes(scenario: &Scenario, chance: &mut Chance) -> Vec<Fault> {
    let joins = Time::from_millis(2000 + chance.below(4000));
    let drained = joins + ms(chance, 1000, 5000);
    let last = scenario.servers.len() - 1;
    vec![
        Fault::server(Time::ZERO, last, Fate::Absent),
        Fault::server(joins, last, Fate::Alive),
        Fault::server(drained, 0, Fate::Drained),
    ]
}

/// A way is cut, and healed before any transaction fails because of it. At most one server is cut off: without any server,
/// calls are refused.
fn cut(chance: &mut Chance, scenario: &Scenario) -> Vec<Fault> {
    let manager = Id::Manager(one(chance, scenario.managers.len()));
    let other = match chance.below(3) {
        0 => Id::Server(scenario.seed as usize % scenario.servers.len()),
        _ => Id::Caller(one(chance, scenario.calls.len())),
    };
    let (from, to) = if chance.permille(500) { (manager, other) } else { (other, manager) };
    let both = chance.permille(500);
    let at = moment(chance);
    vec![
        Fault { at, what: What::Cut { from, to, both } },
        Fault { at: at + ms(chance, 300, 6000), what: What::Heal { from, to, both } },
    ]
}

fn manager_lost(chance: &mut Chance, scenario: &Scenario) -> Vec<Fault> {
    let manager = one(chance, scenario.managers.len());
    let at = moment(chance);
    vec![
        Fault { at, what: What::ManagerDies(manager) },
        Fault { at: at + ms(chance, 100, 8000), what: What::ManagerStarts(manager) },
    ]
}

/// The first load manager dies, and the second gets the address; when the first is back, the address may return to it.
fn address_moves(chance: &mut Chance, scenario: &Scenario) -> Vec<Fault> {
    let at = moment(chance);
    let moves = at + ms(chance, 10, 3000);
    let starts = moves + ms(chance, 100, 5000);
    let mut faults = vec![
        Fault { at, what: What::ManagerDies(0) },
        Fault { at: moves, what: What::AddressMoves { to: 1 % scenario.managers.len() } },
        Fault { at: starts, what: What::ManagerStarts(0) },
    ];
    if chance.permille(300) {
        let returns = starts + ms(chance, 2000, 8000);
        faults.push(Fault { at: returns, what: What::AddressMoves { to: 0 } });
    }
    faults
}

fn ends(chance: &mut Chance, scenario: &Scenario) -> Vec<Fault> {
    let manager = one(chance, scenario.managers.len());
    let other = match chance.permille(500) {
        true => Id::Server(one(chance, scenario.servers.len())),
        false => Id::Caller(one(chance, scenario.calls.len())),
    };
    let (by, with) = match chance.permille(700) {
        true => (other, Id::Manager(manager)),
        false => (Id::Manager(manager), other),
    };
    vec![Fault { at: moment(chance), what: What::Closes { by, with } }]
}

fn torn(chance: &mut Chance, scenario: &Scenario) -> Fault {
    let by = match chance.permille(500) {
        true => Id::Server(one(chance, scenario.servers.len())),
        false => Id::Caller(one(chance, scenario.calls.len())),
    };
    let with = Id::Manager(one(chance, scenario.managers.len()));
    Fault { at: moment(chance), what: What::Tears { by, with } }
}

/// After this time only lost calls are left in a run.
const CALLS_ARE_OVER: Time = Time::from_secs(100);

/// Reloads all load managers alike, with the keys in the order that the docs describe.
fn reloads(chance: &mut Chance, scenario: &Scenario) -> Vec<Fault> {
    let (added, other) = (moment(chance), moment(chance));
    let selections = [Selection::RoundRobin, Selection::Cjsq, Selection::Tjsq, Selection::Tlwl];
    let change = match chance.below(4) {
        0 => Change::HoldSetup(HoldSetup::All),
        1 => Change::CountCalls(chance.permille(500)),
        _ => Change::Selection(selections[one(chance, selections.len())]),
    };
    let all = |at, change| {
        (0..scenario.managers.len()).map(move |manager| Fault { at, what: What::Reload { manager, change } })
    };
    let removed = chance.permille(200).then(|| all(CALLS_ARE_OVER, Change::KeyRemoved));
    all(added, Change::KeyAdded).chain(all(other, change)).chain(removed.into_iter().flatten()).collect()
}

fn forged(chance: &mut Chance, scenario: &Scenario) -> Vec<Fault> {
    let (at, manager) = (moment(chance), one(chance, scenario.managers.len()));
    if chance.permille(500) {
        let server = one(chance, scenario.servers.len());
        let what = What::ForgedUnreachable { manager, server };
        let count = 1 + chance.below(5);
        return (0..count)
            .map(|number| Fault { at: at + Duration::from_millis(number * 20), what })
            .collect();
    }
    let forgery = Forgery::ALL[one(chance, Forgery::ALL.len())];
    vec![Fault { at, what: What::Forged { forgery, caller: one(chance, scenario.calls.len()), manager } }]
}
