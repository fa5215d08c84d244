//! What an operator sets for one agent; the command line of `strowger agent` fills it.

use std::ffi::OsString;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use heartbeat::{Decay, Transport};

use crate::supervise::Policy;

#[derive(Clone)]
pub struct Settings {
    /// Where the server takes SIP; goes into every heartbeat. With a wildcard address the load manager takes the source
    /// address of the datagram instead.
    pub sip: SocketAddr,
    pub transport: Transport,
    /// Tells this instance from others in the load manager's log. Default: a hash of the SIP address.
    pub server_id: u32,
    /// Where heartbeats go: unicast, broadcast and multicast addresses.
    pub to: Vec<SocketAddr>,
    /// Time between heartbeats. Default 1 s; the same for all servers of a farm is simplest, as decay counts in it.
    pub period: Duration,
    /// Shared key of the farm; heartbeats are signed with it, and only queries signed with it are answered.
    pub key: Option<Vec<u8>>,
    /// Where the server's identity is kept, so that a restarted agent finds it again. `None`: no adoption.
    pub state_file: Option<PathBuf>,
    /// Where load queries are answered.
    pub query: Option<SocketAddr>,
    /// Where "get data" of performance servers is answered, over TCP.
    pub get_data: Option<SocketAddr>,
    /// Pause of the collection loop; `None`: a heartbeat period, but 200 ms at least and 1 s at most.
    pub collect: Option<Duration>,
    /// A file of figures that stand in for measured ones.
    pub figures_from: Option<PathBuf>,
    /// What the host's links carry in each direction, Mbit/s; `None`: what the kernel knows of them.
    pub network_mbit: Option<u64>,
    /// Unix socket for `status`, `drain`, `resume`, `stop`, `detach`.
    pub control: Option<PathBuf>,
    pub policy: Policy,
    pub ready: Ready,
    /// Address of the interface that multicast leaves by; `None`: the route decides. (IPv6: the scope id of the target.)
    pub interface: Option<IpAddr>,
    /// Routers that a multicast heartbeat passes. Default 1: it stays on the link.
    pub multicast_ttl: u32,
    /// A heartbeat is sent at once when the host's CPU use reaches this; default 850 (SPEC B3).
    pub cpu_high_permille: u16,
    /// A heartbeat is sent at once when available memory falls to this; default 10 MB (SPEC B3).
    pub memory_low_kib: u64,
    /// Output of the server is appended here; `None`: it goes where the agent's goes.
    pub server_log: Option<PathBuf>,
    /// Program and arguments.
    pub command: Vec<OsString>,
}

/// When a started server is said to be started.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ready {
    pub check: ReadyCheck,
    /// Not before this has passed since the start. Default 0 s; for servers that open their port before they take calls.
    pub delay: Duration,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReadyCheck {
    /// The SIP port is bound (UDP) or listened on (TCP), as the kernel tells. Nothing is sent to the server. The default.
    Port,
    /// Over UDP an OPTIONS is answered, whatever the status; over TCP a connection is accepted.
    Options,
    /// The delay alone.
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
            network_mbit: None,
            control: None,
            policy: Policy::default(),
            ready: Ready { check: ReadyCheck::Port, delay: Duration::ZERO },
            interface: None,
            multicast_ttl: 1,
            cpu_high_permille: 850,
            memory_low_kib: 10 * 1024,
            server_log: None,
            command,
        }
    }

    /// What is wrong, with the remedy; or what is merely odd, for the log.
    pub fn check(&self) -> Result<Vec<String>, String> {
        if self.command.is_empty() {
            return Err("no command: give the server's command after --".to_owned());
        }
        if self.sip.port() == 0 {
            return Err(
                "--sip: port 0 cannot be announced; give the port that the server listens on".to_owned()
            );
        }
        if self.to.is_empty() {
            return Err("no --to: give the heartbeat address of the load manager".to_owned());
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
        if self.key.as_ref().is_some_and(|key| key.len() < 16) {
            return Err(
                "a key shorter than 16 bytes can be guessed: strowger key --heartbeat prints one".to_owned()
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
            odd.push("no --key-file: whoever can send to the load manager can announce servers".to_owned());
        }
        if self.state_file.is_none() {
            odd.push(
                "no --state-file: a restarted agent will not find this server and start another".to_owned(),
            );
        }
        Ok(odd)
    }
}

/// FNV-1a over address and port: short, the same at every start, and rarely that of another server.
fn id_of(sip: SocketAddr) -> u32 {
    let step = |hash: u32, byte: u8| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193);
    let port = sip.port().to_be_bytes();
    match sip.ip() {
        IpAddr::V4(ip) => ip.octets().into_iter().chain(port).fold(0x811C_9DC5, step),
        IpAddr::V6(ip) => ip.octets().into_iter().chain(port).fold(0x811C_9DC5, step),
    }
}
