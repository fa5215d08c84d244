//! The settings of one agent. The command line of `strowger agent` fills them.

use std::ffi::OsString;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use base::Key;
use heartbeat::{Decay, Transport};

use crate::supervise::Policy;

#[derive(Clone)]
pub struct Settings {
    /// The address where the server receives SIP; every heartbeat carries it. If it is a wildcard, the load manager takes
    /// the source address of the datagram instead.
    pub sip: SocketAddr,
    pub transport: Transport,
    /// Distinguishes this server in the load manager's log. Default: a hash of the SIP address.
    pub server_id: u32,
    /// Where heartbeats go: unicast, broadcast and multicast addresses.
    pub to: Vec<SocketAddr>,
    /// Time between heartbeats. Default 1 s. The same time for all servers of a farm is simplest, because decay counts in
    /// it.
    pub period: Duration,
    /// Shared key of the farm. It signs heartbeats; only queries signed with it are answered.
    pub key: Option<Key>,
    /// The file that keeps the server's identity, so that a restarted agent finds the server again. `None`: no adoption.
    pub state_file: Option<PathBuf>,
    /// The address where load queries are answered.
    pub query: Option<SocketAddr>,
    /// The address where "get data" of performance servers is answered, over TCP.
    pub get_data: Option<SocketAddr>,
    /// Pause of the collection loop. `None`: a heartbeat period, but at least 200 ms and at most 1 s.
    pub collect: Option<Duration>,
    /// A file of figures that replace measured figures.
    pub figures_from: Option<PathBuf>,
    /// The state tier that keeps the server's calls, for heartbeats; the file of figures may name another. `None`: its calls
    /// are its own.
    pub state_tier: Option<u64>,
    /// What the host's links carry in each direction, Mbit/s. `None`: the kernel's value.
    pub network_mbit: Option<u64>,
    /// Unix socket for `status`, `drain`, `resume`, `stop`, `detach`.
    pub control: Option<PathBuf>,
    pub policy: Policy,
    pub ready: Ready,
    /// A server that runs and answers no OPTIONS for so long is killed; over UDP only. `None`: nobody asks it.
    pub hung_after: Option<Duration>,
    /// Address of the interface for multicast. `None`: the route decides. (IPv6: the scope id of the target.)
    pub interface: Option<IpAddr>,
    /// How many routers a multicast heartbeat passes. Default 1: it stays on the link.
    pub multicast_ttl: u32,
    /// A heartbeat is sent at once when the host's CPU use reaches this. Default 850 (SPEC B3).
    pub cpu_high_permille: u16,
    /// A heartbeat is sent at once when available memory falls to this. Default 10 MB (SPEC B3).
    pub memory_low_kib: u64,
    /// The server's output is appended to this file. `None`: it goes where the agent's output goes.
    pub server_log: Option<PathBuf>,
    /// The server is one of a Redis or Valkey cluster, and no SIP server. `sip` is its address then, and nobody gets heartbeats.
    pub shard: Option<ShardSettings>,
    /// Program and arguments.
    pub command: Vec<OsString>,
}

/// How to ask the servers of a cluster. The agent's own is at [`Settings::sip`]: the others must know it at that address.
#[derive(Clone, Default)]
pub struct ShardSettings {
    /// None: the servers' user `default`.
    pub user: Option<Box<str>>,
    pub password: Option<Key<String>>,
}

/// When a started server counts as started.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ready {
    pub check: ReadyCheck,
    /// The server does not count as started before this time. Default 0 s; for servers that open their port before they take
    /// calls.
    pub delay: Duration,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReadyCheck {
    /// The SIP port is bound (UDP) or listened on (TCP), as the kernel tells. The agent sends nothing to the server. The
    /// default.
    Port,
    /// Over UDP the server answers an OPTIONS, with any status; over TCP it accepts a connection.
    Options,
    /// Only the delay counts.
    None,
}

impl Settings {
    pub fn new(sip: SocketAddr, to: Vec<SocketAddr>, command: Vec<OsString>) -> Settings {
        Settings {
            sip,
            transport: Transport::Udp,
            server_id: id_of(sip),
            to,
            period: Decay::PERIOD_DEFAULT,
            key: None,
            state_file: None,
            query: None,
            get_data: None,
            collect: None,
            figures_from: None,
            state_tier: None,
            network_mbit: None,
            control: None,
            policy: Policy::default(),
            ready: Ready { check: ReadyCheck::Port, delay: Duration::ZERO },
            hung_after: None,
            interface: None,
            multicast_ttl: 1,
            cpu_high_permille: 850,
            memory_low_kib: 10 * 1024,
            server_log: None,
            shard: None,
            command,
        }
    }

    /// For a server of a cluster at that address. It has no calls to drain.
    pub fn of_shard(address: SocketAddr, shard: ShardSettings, command: Vec<OsString>) -> Settings {
        let policy = Policy { drain: Duration::ZERO, ..Policy::default() };
        let transport = Transport::Tcp;
        Settings { shard: Some(shard), policy, transport, ..Settings::new(address, Vec::new(), command) }
    }

    /// Errors, with the remedy; and warnings for the log.
    pub fn check(&self) -> Result<Vec<String>, String> {
        if self.command.is_empty() {
            return Err("the command is missing: give the server's command after --".to_owned());
        }
        if self.sip.port() == 0 {
            return Err(
                "--sip: port 0 cannot be announced; give the port where the server listens".to_owned()
            );
        }
        if self.shard.is_some() && self.sip.ip().is_unspecified() {
            return Err("--redis: give the address at which the other servers of the cluster know this one"
                .to_owned());
        }
        if self.to.is_empty() && self.shard.is_none() {
            return Err("--to is missing: give the heartbeat address of the load manager".to_owned());
        }
        if let Some(to) = self.to.iter().find(|to| to.port() == 0) {
            return Err(format!("--to {to}: give the port of the load manager's heartbeat address"));
        }
        if !(Decay::PERIOD_MIN..=Decay::PERIOD_MAX).contains(&self.period) {
            return Err(format!(
                "--period-ms: {} is outside {} … {}",
                self.period.as_millis(),
                Decay::PERIOD_MIN.as_millis(),
                Decay::PERIOD_MAX.as_millis()
            ));
        }
        if self.hung_after.is_some() && self.transport == Transport::Tcp && self.shard.is_none() {
            return Err(
                "--hung-ms needs --transport udp: the kernel accepts connections for a process that hangs"
                    .to_owned(),
            );
        }
        if self.key.as_ref().is_some_and(|key| key.len() < 16) {
            return Err(
                "a key shorter than 16 bytes can be guessed: strowger key --heartbeat prints a good key"
                    .to_owned(),
            );
        }
        let mut odd = Vec::new();
        if self.sip.ip().is_loopback()
            && let Some(to) = self.to.iter().find(|to| !to.ip().is_loopback())
        {
            odd.push(format!(
                "--sip {} is a loopback address: a load manager at {to} cannot reach it",
                self.sip
            ));
        }
        if self.key.is_none() && self.to.iter().any(|to| !to.ip().is_loopback()) {
            odd.push(
                "--key-file is missing: everyone who can send to the load manager can announce servers"
                    .to_owned(),
            );
        }
        if self.state_file.is_none() {
            odd.push(
                "--state-file is missing: a restarted agent will not find this server, and will start another".to_owned(),
            );
        }
        Ok(odd)
    }
}

/// FNV-1a over address and port: short, the same at every start, and rarely equal for two servers.
fn id_of(sip: SocketAddr) -> u32 {
    let step = |hash: u32, byte: u8| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193);
    let port = sip.port().to_be_bytes();
    match sip.ip() {
        IpAddr::V4(ip) => ip.octets().into_iter().chain(port).fold(0x811C_9DC5, step),
        IpAddr::V6(ip) => ip.octets().into_iter().chain(port).fold(0x811C_9DC5, step),
    }
}
