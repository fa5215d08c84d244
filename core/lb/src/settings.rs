//! The settings of an operator, checked and in the units of the cores. Built by `config`; read everywhere.

use std::net::SocketAddr;
use std::time::Duration;

use base::Key;
use heartbeat::measure::Measures;
use sip::{Passing, Transport};

use crate::farm::score::ScoreSettings;
use crate::register::settings::RegisterSettings;

/// One address that we listen on, and the name by which others reach it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listener {
    pub transport: Transport,
    pub bind: SocketAddr,
    /// The address for Via and Record-Route; never a wildcard, unless there is a name.
    pub advertise: SocketAddr,
    /// The name for Via and Record-Route in place of the address, with or without a port.
    pub name: Option<String>,
}

impl Listener {
    /// What others know: the name, or the address.
    pub fn known_as(&self) -> String {
        self.name.clone().unwrap_or_else(|| self.advertise.to_string())
    }
}

/// A server named in the configuration; others come by heartbeat.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerEntry {
    pub address: SocketAddr,
    pub transport: Transport,
    pub weight: u32,
    /// 0 is the best. A server gets new calls only while no server of a better priority takes them.
    pub priority: u8,
    /// The most calls in progress; `None`: no limit.
    pub calls_max: Option<u32>,
    /// The most new calls in any second; `None`: no limit.
    pub calls_per_second_max: Option<u32>,
}

impl ServerEntry {
    /// A server with weight 1, the best priority, and no limit.
    pub fn at(address: SocketAddr, transport: Transport) -> ServerEntry {
        ServerEntry {
            address,
            transport,
            weight: 1,
            priority: 0,
            calls_max: None,
            calls_per_second_max: None,
        }
    }
}

/// How a message of a known call finds its server (SPEC, affinity).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Affinity {
    Hash,
    Session,
    Tag,
}

/// Which table the hash of the Call-ID is taken over.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum HashKind {
    /// hash mod size of the active table (FIG. 5B).
    Modulo,
    /// hash mod size of the server table, then the next good entry (FIG. 6).
    Cascade,
    /// Weighted; one server's death moves only its own calls.
    Consistent,
}

/// How the server for a new call is chosen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Selection {
    Hash,
    RoundRobin,
    LeastLoaded,
    Score,
    Cjsq,
    Tjsq,
    Tlwl,
}

/// Which INVITEs are kept until their final answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum HoldSetup {
    Off,
    /// INVITEs over a stream (default): their sender does not repeat them.
    Stream,
    /// INVITEs over UDP too: their sender stops repeating at the first provisional answer.
    All,
}

/// How servers without an agent are judged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Probe {
    /// By their traffic, and by OPTIONS when they are suspected; a failed server is tried again after a pause.
    Traffic,
    /// Also by OPTIONS at an interval, when they are idle or suspected.
    Options,
    Off,
}

/// The thread models of SPEC A7.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Threads {
    /// Workers for data (one per core by default) and a thread for heartbeats and tables.
    PerCore { workers: u8 },
    /// One thread for both, with an adaptive service rate between the two ports.
    One,
    /// One thread each, sharing the table.
    Two,
}

/// Keys that every load manager of a farm shares.
#[derive(Clone, PartialEq, Eq)]
pub struct Keys {
    /// Newest first; the first signs, all verify. Each has the id that tags carry.
    pub tag: Vec<(u8, Key<[u8; 16]>)>,
    /// HMAC key of heartbeats; `None`: any heartbeat is believed.
    pub heartbeat: Option<Key>,
}

impl std::fmt::Debug for Keys {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Keys({} tag keys, heartbeat key: {})", self.tag.len(), self.heartbeat.is_some())
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    pub listeners: Vec<Listener>,
    pub servers: Vec<ServerEntry>,
    pub affinity: Affinity,
    pub selection: Selection,
    pub hash: HashKind,
    pub keys: Keys,
    pub threads: Threads,
    /// Host names of this load manager, in lower case; and addresses, with their ports, of other load managers whose calls
    /// may come to us. A Route or Request-URI with one of them is ours.
    pub names: Vec<String>,
    /// Extensions of Proxy-Require that are left to the servers.
    pub proxy_require: Passing,
    /// NUL bytes and line ends in front of the message of a datagram are skipped.
    pub stray_bytes: bool,
    /// An INVITE that replaces or joins a call goes to the server of that call, if it is known.
    pub by_replaces: bool,
    /// SUBSCRIBE and PUBLISH outside of a dialog go to the server of their presentity.
    pub by_presentity: bool,
    /// Echo the tag in the `Strowger-Tag` header field too (SPEC C3).
    pub tag_header: bool,
    /// RFC 3261 §16.11: 64·T1 = 32 s.
    pub new_call_time: Duration,
    pub new_calls_max: usize,
    pub session_idle: Duration,
    pub sessions_max: usize,
    /// tlwl: the weight of an INVITE transaction against any other, in hundredths; 175.
    pub invite_weight_percent: u32,
    pub hold_setup: HoldSetup,
    /// A held INVITE that its server refuses with 500, 503 or 504 is given to another server.
    pub retry_refused: bool,
    pub held_max: usize,
    pub held_bytes_max: usize,
    /// Retry-After of our 503, seconds.
    pub retry_after: u32,
    /// RFC 3261 §18.1.1: requests above this many bytes leave by TCP if the server accepts it; 1300.
    pub datagram_bytes_max: usize,
    /// Most datagrams of one size to one destination that the edge may send as one.
    pub segments_max: usize,
    /// Connections of servers over TCP whose Via says `alias` also carry requests to these servers (RFC 5923); over TLS they
    /// do if certificates prove the address.
    pub tcp_alias: bool,
    /// Where registrations go.
    pub register: RegisterSettings,
    pub probe: Probe,
    pub probe_interval: Duration,
    /// A request unanswered this long makes a silent server suspect.
    pub silence: Duration,
    /// Refused sends in a row, or OPTIONS unanswered in a row, until a server is failed; 1 … 10, usually 2.
    pub fail_after: u32,
    /// A failed server stays failed at least this long, whatever it answers.
    pub stay_out: Duration,
    /// The share of a returning server rises from a twentieth to its whole weight in this time; zero: at once.
    pub slow_start: Duration,
    /// OPTIONS to the load manager itself are answered by it, not by a server.
    pub answer_options: bool,
    /// Count the calls of each server under any selection, so that a drain knows how many are left.
    pub count_calls: bool,
    pub heartbeat: Heartbeats,
    /// Other load managers, which we tell of calls and listen to.
    pub peers: Option<Peers>,
    /// Number of new calls for which each worker keeps the choice of server ([`crate::why`]), 192 bytes each; 0: none.
    pub why_calls: usize,
    /// Weights and limits of the performance score; can be changed at run time.
    pub score: ScoreSettings,
    /// The sources that are polled for figures, in addition to heartbeats.
    pub measures: Measures,
}

impl Settings {
    /// The hash that finds a server if memory and tag say nothing: with hash affinity the hash of the settings; else the hash
    /// that moves the fewest calls.
    pub(crate) fn hash_kind(&self) -> HashKind {
        match self.affinity {
            Affinity::Hash => self.hash,
            Affinity::Session | Affinity::Tag => HashKind::Consistent,
        }
    }

    /// A small load manager, for tests, simulations and fuzzing: every setting has a value, nothing is shared with other load
    /// managers, and no heartbeat key or address is set. A test sets what it is about. The defaults for operators are defined
    /// in `config`, not here.
    pub fn small(listeners: Vec<Listener>, servers: Vec<ServerEntry>, tag_key: [u8; 16]) -> Settings {
        Settings {
            listeners,
            servers,
            affinity: Affinity::Tag,
            selection: Selection::RoundRobin,
            hash: HashKind::Consistent,
            keys: Keys { tag: vec![(1, tag_key.into())], heartbeat: None },
            threads: Threads::PerCore { workers: 1 },
            proxy_require: Passing::NONE,
            stray_bytes: false,
            by_replaces: true,
            by_presentity: false,
            tag_header: false,
            names: Vec::new(),
            new_call_time: Duration::from_secs(32),
            new_calls_max: 10_000,
            session_idle: Duration::from_secs(3600),
            sessions_max: 10_000,
            invite_weight_percent: 175,
            hold_setup: HoldSetup::Stream,
            retry_refused: false,
            held_max: 1000,
            held_bytes_max: 1 << 20,
            retry_after: 5,
            why_calls: 1024,
            peers: None,
            datagram_bytes_max: 1300,
            segments_max: 32,
            tcp_alias: false,
            register: RegisterSettings::default(),
            probe: Probe::Off,
            probe_interval: Duration::from_secs(5),
            silence: Duration::from_secs(4),
            fail_after: 2,
            stay_out: Duration::ZERO,
            slow_start: Duration::ZERO,
            answer_options: false,
            count_calls: false,
            heartbeat: Heartbeats {
                listen: None,
                group: None,
                period: Duration::from_secs(1),
                decay_periods: 3,
                table_size: Some(16),
            },
            score: ScoreSettings::default(),
            measures: Measures::default(),
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Heartbeats {
    /// Where heartbeats are received; `None`: only the servers of the configuration.
    pub listen: Option<SocketAddr>,
    /// Multicast group to join.
    pub group: Option<std::net::IpAddr>,
    pub period: Duration,
    /// Periods of silence until a server is failed: 3 … 5.
    pub decay_periods: u32,
    /// `Some(n)`: at most n servers (static table of SPEC A2); `None`: grows.
    pub table_size: Option<usize>,
}

/// The other load managers of the farm (SPEC A8): where we listen to them, and where we send to them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Peers {
    pub listen: SocketAddr,
    /// Multicast group to join.
    pub group: Option<std::net::IpAddr>,
    pub to: Vec<SocketAddr>,
}
