//! Heartbeats on the wire: one datagram to every load manager address, be it unicast, broadcast or multicast.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};

use heartbeat::{Heartbeat, Load, ServerState, next_count};
use socket2::{Domain, Protocol, Socket, Type};

use crate::log;
use crate::settings::Settings;

/// Sends heartbeats, and builds the answers to load queries from the same figures.
pub struct Sender {
    heartbeat: Heartbeat,
    key: Option<Vec<u8>>,
    count: u64,
    ipv4: UdpSocket,
    ipv6: Option<UdpSocket>,
    targets: Vec<Target>,
}

#[derive(Debug)]
struct Target {
    to: SocketAddr,
    /// The last failure, so that each is logged once and its end too.
    failure: Option<io::ErrorKind>,
}

impl Sender {
    /// Says stopped and no figures until [`Sender::set`]. Of `settings`, what concerns heartbeats is read.
    pub fn open(settings: &Settings) -> io::Result<Sender> {
        let mut heartbeat = Heartbeat::plain(settings.server_id, settings.sip.port(), ServerState::Stopped);
        // Always said, as the source address may be that of another interface; a wildcard says nothing.
        heartbeat.sip_address = Some(settings.sip.ip()).filter(|ip| !ip.is_unspecified());
        heartbeat.transport = Some(settings.transport);
        heartbeat.period_ms = Some(settings.period.as_millis() as u32);
        let ipv4 = socket(Domain::IPV4)?;
        ipv4.set_broadcast(true)?;
        ipv4.set_multicast_ttl_v4(settings.multicast_ttl)?;
        if let Some(IpAddr::V4(interface)) = settings.interface {
            socket2::SockRef::from(&ipv4).set_multicast_if_v4(&interface)?;
        }
        let ipv6 = if settings.to.iter().any(SocketAddr::is_ipv6) {
            let ipv6 = socket(Domain::IPV6)?;
            socket2::SockRef::from(&ipv6).set_multicast_hops_v6(settings.multicast_ttl)?;
            Some(ipv6)
        } else {
            None
        };
        let targets = settings.to.iter().map(|to| Target { to: *to, failure: None }).collect();
        Ok(Sender { heartbeat, key: settings.key.clone(), count: 0, ipv4, ipv6, targets })
    }

    /// What the next heartbeats and answers say. One set of figures for both (SPEC A12).
    pub fn set(&mut self, state: ServerState, load: Load) {
        self.heartbeat.state = state;
        self.heartbeat.load = Some(load);
    }

    /// The same datagram to all: a load manager that gets it twice knows it by its count.
    pub fn send(&mut self) {
        let datagram = self.encode(None);
        for target in &mut self.targets {
            let socket = match (&target.to, &self.ipv6) {
                (SocketAddr::V6(_), Some(ipv6)) => ipv6,
                (SocketAddr::V6(_), None) | (SocketAddr::V4(_), _) => &self.ipv4,
            };
            match socket.send_to(&datagram, target.to) {
                Ok(_) => {
                    if target.failure.take().is_some() {
                        log::line(&format!("heartbeats to {} go out again", target.to));
                    }
                }
                Err(error) => {
                    if target.failure.replace(error.kind()) != Some(error.kind()) {
                        log::line(&format!("heartbeat to {} was not sent: {error}", target.to));
                    }
                }
            }
        }
    }

    /// The answer to a query: what a heartbeat would say now.
    pub fn answer(&mut self, nonce: u64) -> Vec<u8> {
        self.encode(Some(nonce))
    }

    /// What goes to performance servers unasked: the same, in answer to nobody.
    pub fn notification(&mut self) -> Vec<u8> {
        self.encode(None)
    }

    fn encode(&mut self, nonce: Option<u64>) -> Vec<u8> {
        self.count = next_count(self.count, os::since_1970().as_micros() as u64);
        Heartbeat { count: Some(self.count), nonce, ..self.heartbeat }.encode(self.key.as_deref())
    }
}

fn socket(domain: Domain) -> io::Result<UdpSocket> {
    let any: SocketAddr = if domain == Domain::IPV4 {
        (Ipv4Addr::UNSPECIFIED, 0).into()
    } else {
        (Ipv6Addr::UNSPECIFIED, 0).into()
    };
    let socket = Socket::new(domain, Type::DGRAM, Some(Protocol::UDP))?;
    if domain == Domain::IPV6 {
        socket.set_only_v6(true)?;
    }
    // A full queue loses one heartbeat; waiting would lose the supervision.
    socket.set_nonblocking(true)?;
    socket.bind(&any.into())?;
    Ok(socket.into())
}
