//! When a started server takes calls. The kernel's socket tables tell, so that nothing is sent to a server that did not ask
//! for it; or an OPTIONS or a connection tells, if the operator wants that.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream, UdpSocket};
use std::time::Duration;

use base::{Chance, Time};
use heartbeat::Transport;
use procfs::net::TcpState;
use sip::Writer;

use crate::settings::{Ready, ReadyCheck};

/// Time between two looks while a server starts.
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// Time between two OPTIONS. RFC 3261 §17.1.2.2 doubles from T1 = 500 ms, but this server is on this host and is starting.
const OPTIONS_EVERY: Duration = Duration::from_millis(500);

/// The SIP port is on this host: a connection that takes longer counts as refused.
const CONNECT_PATIENCE: Duration = Duration::from_millis(100);

/// After this time an operator is told that the server is still not ready, and again at each multiple.
const REMIND_EVERY: Duration = Duration::from_secs(10);

/// One start that is being watched.
#[derive(Debug)]
pub(crate) struct Probe {
    ready: Ready,
    sip: SocketAddr,
    transport: Transport,
    started: Time,
    look_at: Time,
    options: Option<UdpSocket>,
    options_at: Time,
    remind_at: Time,
}

impl Probe {
    pub(crate) fn new(ready: Ready, sip: SocketAddr, transport: Transport, now: Time) -> Probe {
        let look_at = now + ready.delay;
        let remind_at = look_at + REMIND_EVERY;
        Probe { ready, sip, transport, started: now, look_at, options: None, options_at: now, remind_at }
    }

    /// The time of the next look.
    pub(crate) fn wake(&self) -> Time {
        self.look_at
    }

    /// Whether the server whose first process is `pid` takes calls now.
    pub(crate) fn look(&mut self, pid: i32, now: Time, chance: &mut Chance) -> bool {
        if now < self.look_at {
            return false;
        }
        self.look_at = now + LOOK_EVERY;
        match (self.ready.check, self.transport) {
            (ReadyCheck::None, _) => true,
            (ReadyCheck::Port, transport) => is_bound(pid, self.sip, transport),
            (ReadyCheck::Options, Transport::Udp) => self.options_answered(now, chance),
            (ReadyCheck::Options, Transport::Tcp) => is_listened_on(reachable(self.sip)),
        }
    }

    /// A line for the log, if the server has been starting for too long.
    pub(crate) fn reminder(&mut self, now: Time) -> Option<String> {
        if now < self.remind_at {
            return None;
        }
        self.remind_at = now + REMIND_EVERY;
        let what = match self.ready.check {
            ReadyCheck::Port => "nothing is bound to",
            ReadyCheck::Options | ReadyCheck::None => "no answer from",
        };
        Some(format!(
            "server not ready after {} s: {what} {} {} (check --sip and --transport)",
            now.since(self.started).as_secs(),
            self.transport,
            self.sip
        ))
    }

    fn options_answered(&mut self, now: Time, chance: &mut Chance) -> bool {
        if self.options.is_none() {
            self.options = open(self.sip).ok();
        }
        let Some(socket) = &self.options else { return false };
        let mut answer = [0; 64];
        // A few at most: one answer comes, or the error that the port is closed.
        for _ in 0..8 {
            match socket.recv(&mut answer) {
                Ok(length) if answer[..length].starts_with(b"SIP/2.0 ") => return true,
                Ok(_) => {}
                Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => break,
                Err(_) => {}
            }
        }
        if now >= self.options_at
            && let Ok(local) = socket.local_addr()
        {
            self.options_at = now + OPTIONS_EVERY;
            let _ = socket.send(&options(self.sip, local, chance.next_u64()));
        }
        false
    }
}

fn is_listened_on(sip: SocketAddr) -> bool {
    let Ok(stream) = TcpStream::connect_timeout(&sip, CONNECT_PATIENCE) else { return false };
    // The kernel may give a connection the very port that the connection goes to. Then the agent has connected to itself.
    stream.local_addr().is_ok_and(|local| local != sip)
}

pub(crate) fn open(sip: SocketAddr) -> std::io::Result<UdpSocket> {
    let target = reachable(sip);
    let any: IpAddr =
        if target.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
    let socket = UdpSocket::bind((any, 0))?;
    socket.connect(target)?;
    socket.set_nonblocking(true)?;
    Ok(socket)
}

/// A wildcard address is reached by loopback.
fn reachable(sip: SocketAddr) -> SocketAddr {
    match sip.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => (Ipv4Addr::LOCALHOST, sip.port()).into(),
        IpAddr::V6(ip) if ip.is_unspecified() => (Ipv6Addr::LOCALHOST, sip.port()).into(),
        _ => sip,
    }
}

/// A complete OPTIONS of RFC 3261 §11.1, with a transaction of its own.
pub(crate) fn options(sip: SocketAddr, local: SocketAddr, unique: u64) -> Vec<u8> {
    let mut text = Vec::with_capacity(512);
    Writer::request(&mut text, "OPTIONS", format_args!("sip:{sip}"))
        .via(format_args!("SIP/2.0/UDP {local};branch=z9hG4bK{unique:016x};rport"))
        .max_forwards(70)
        .from(format_args!("<sip:agent@{local}>;tag={unique:016x}"))
        .to(format_args!("<sip:{sip}>"))
        .call_id(format_args!("{unique:016x}"))
        .cseq(1)
        .finish();
    text
}

/// Whether a socket of the server's network namespace is bound to the address, or to the wildcard, and receives.
fn is_bound(pid: i32, sip: SocketAddr, transport: Transport) -> bool {
    let Ok(process) = procfs::process::Process::new(pid) else { return false };
    let takes = |local: SocketAddr| {
        local.port() == sip.port()
            && (local.ip() == sip.ip() || local.ip().is_unspecified() || sip.ip().is_unspecified())
    };
    match transport {
        Transport::Udp => {
            let sockets = [process.udp(), process.udp6()];
            sockets.into_iter().flatten().flatten().any(|entry| takes(entry.local_address))
        }
        Transport::Tcp => {
            let sockets = [process.tcp(), process.tcp6()];
            sockets
                .into_iter()
                .flatten()
                .flatten()
                .any(|entry| entry.state == TcpState::Listen && takes(entry.local_address))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_connection_of_the_agent_to_itself_is_no_server() {
        // Nobody listens at this port, and the kernel gives such ports to connections: one of these connections gets it. The kernel
        // gives listeners ports of the other parity.
        let listen = |port| std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, port));
        let port = std::iter::repeat_with(|| listen(0).unwrap().local_addr().unwrap().port() ^ 1)
            .find_map(|port| listen(port).ok()?.local_addr().ok())
            .unwrap();
        assert!((0..100_000).all(|_| !is_listened_on(port)));
    }
}
