//! The faults of a run, as values: each is drawn from the seed, happens at its time, and is written in the trace, so that a
//! seed can be read as a story.

use base::Time;
use lb::settings::{HoldSetup, Selection, Settings};

use crate::fate::Fate;
use crate::link::Weather;
use crate::node::Id;
use crate::stranger::Forgery;

/// A fault and its time on the farm's own clock.
#[derive(Clone, Copy, Debug)]
pub struct Fault {
    pub at: Time,
    pub what: What,
}

impl Fault {
    pub fn server(at: Time, server: usize, fate: Fate) -> Fault {
        Fault { at, what: What::Server { server, fate } }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum What {
    /// A server is lost, returns, joins or is drained.
    Server { server: usize, fate: Fate },
    /// A load manager's process is gone, with its memory and its connections.
    ManagerDies(usize),
    /// The load manager is started again, with the same settings and the same key.
    ManagerStarts(usize),
    /// From now on this load manager has the shared address (VRRP).
    AddressMoves { to: usize },
    /// No message passes from the one to the other, nor back if `both`.
    Cut { from: Id, to: Id, both: bool },
    /// The end of the same cut.
    Heal { from: Id, to: Id, both: bool },
    /// The first node closes its connection with the second, after all messages on their way.
    Closes { by: Id, with: Id },
    /// The connection between the nodes is gone, with all messages on their way.
    Tears { by: Id, with: Id },
    /// A load manager gets other settings while it has calls.
    Reload { manager: usize, change: Change },
    /// A forged ICMP port unreachable tells a load manager that a server is not there.
    ForgedUnreachable { manager: usize, server: usize },
    /// The stranger sends a forged message about a caller's call.
    Forged { forgery: Forgery, caller: usize, manager: usize },
    /// The network gets better or worse.
    Weather(Weather),
}

/// The setting that a reload changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    Selection(Selection),
    HoldSetup(HoldSetup),
    /// A second key is put in front of the first; when the longest call is over, the first key is removed.
    KeyAdded,
    KeyRemoved,
    /// Calls are counted from now on, or no longer.
    CountCalls(bool),
}

/// The first key, and the key that replaces it.
pub const KEYS: [(u8, [u8; 16]); 2] = [(1, *b"a key of the sim"), (2, *b"its next key....")];

impl Change {
    pub fn apply(self, settings: &mut Settings) {
        let [first, second] = KEYS.map(|(id, key)| (id, key.into()));
        match self {
            Change::Selection(selection) => settings.selection = selection,
            Change::HoldSetup(hold_setup) => settings.hold_setup = hold_setup,
            Change::KeyAdded => settings.keys.tag = vec![second, first],
            Change::KeyRemoved => settings.keys.tag = vec![second],
            Change::CountCalls(count) => settings.count_calls = count,
        }
    }
}

impl What {
    /// The kinds, in the order of a summary.
    pub const NAMES: [&str; 19] = [
        "server dies",
        "server hangs",
        "server is back",
        "server joins late",
        "server is drained",
        "load manager dies",
        "load manager starts",
        "address moves",
        "way cut both ways",
        "way cut one way",
        "client closes",
        "server closes",
        "load manager closes",
        "connection torn",
        "reload",
        "forged ICMP",
        "forged message",
        "weather changes",
        "clocks apart",
    ];

    /// The name in [`What::NAMES`]; the end of a cut has none.
    pub fn name(&self) -> Option<&'static str> {
        Some(match self {
            What::Server { fate: Fate::Dead, .. } => "server dies",
            What::Server { fate: Fate::Hung, .. } => "server hangs",
            What::Server { fate: Fate::Alive, .. } => "server is back",
            What::Server { fate: Fate::Absent, .. } => "server joins late",
            What::Server { fate: Fate::Drained, .. } => "server is drained",
            What::ManagerDies(_) => "load manager dies",
            What::ManagerStarts(_) => "load manager starts",
            What::AddressMoves { .. } => "address moves",
            What::Cut { both: true, .. } => "way cut both ways",
            What::Cut { both: false, .. } => "way cut one way",
            What::Heal { .. } => return None,
            What::Closes { by: Id::Server(_), .. } => "server closes",
            What::Closes { by: Id::Manager(_), .. } => "load manager closes",
            What::Closes { .. } => "client closes",
            What::Tears { .. } => "connection torn",
            What::Reload { .. } => "reload",
            What::ForgedUnreachable { .. } => "forged ICMP",
            What::Forged { .. } => "forged message",
            What::Weather(_) => "weather changes",
        })
    }
}

impl std::fmt::Display for What {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let ways = |both: bool| if both { "and back" } else { "only" };
        match self {
            What::Server { server, fate } => write!(f, "server {server} is {fate:?}"),
            What::ManagerDies(manager) => write!(f, "load manager {manager} dies"),
            What::ManagerStarts(manager) => write!(f, "load manager {manager} is started again"),
            What::AddressMoves { to } => write!(f, "the shared address moves to load manager {to}"),
            What::Cut { from, to, both } => {
                write!(f, "nothing passes from {from} to {to} {}", ways(*both))
            }
            What::Heal { from, to, both } => {
                write!(f, "all passes again from {from} to {to} {}", ways(*both))
            }
            What::Closes { by, with } => write!(f, "{by} closes its connection with {with}"),
            What::Tears { by, with } => write!(f, "the connection of {by} with {with} is torn"),
            What::Reload { manager, change } => write!(f, "load manager {manager} reloads: {change:?}"),
            What::ForgedUnreachable { manager, server } => {
                write!(f, "load manager {manager} gets a forged ICMP unreachable of server {server}")
            }
            What::Forged { forgery, caller, manager } => {
                write!(f, "the stranger forges {forgery:?} of caller {caller} at load manager {manager}")
            }
            What::Weather(weather) => write!(f, "the network changes: {weather:?}"),
        }
    }
}
