//! Heartbeats on the network: one datagram to every load manager address, unicast, broadcast or multicast.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};

use base::{Duration, Key, Time};
use heartbeat::{Heartbeat, Load, ServerState, next_count};
use socket2::{Domain, Protocol, Socket, Type};
use tracing::{info, warn};

use crate::settings::Settings;

/// If no refusal is heard for this long, the place accepts heartbeats again: hosts send at most one refusal a second.
const REFUSED_NO_MORE: Duration = Duration::from_secs(10);
/// Time between two log lines about a place that goes on refusing.
const REFUSED_SAID_EVERY: Duration = Duration::from_secs(600);
/// Reports taken before a send: each target has at most a few.
const REPORTS_MAX: usize = 64;

/// Sends heartbeats, and builds the answers to load queries from the same figures.
pub struct Sender {
    heartbeat: Heartbeat,
    key: Option<Key>,
    count: u64,
    ipv4: UdpSocket,
    ipv6: Option<UdpSocket>,
    targets: Vec<Target>,
}

#[derive(Debug)]
struct Target {
    to: SocketAddr,
    /// The last failure. Each failure, and its end, is logged once.
    failure: Option<io::ErrorKind>,
    refused: Option<Refused>,
}

/// An ICMP message said that nobody received the heartbeats.
#[derive(Debug)]
struct Refused {
    heard: Time,
    said: Time,
}

impl Target {
    fn refused(&mut self, now: Time, error: &io::Error) {
        let said = self.refused.as_ref().map(|refused| refused.said);
        let say = said.is_none_or(|said| now.since(said) >= REFUSED_SAID_EVERY);
        if say {
            let to = self.to;
            warn!(
                "heartbeats to {to} reach nobody: {error}; remedy: check that a load manager runs there with \
                 heartbeat.listen at this port, and that no firewall rejects heartbeats"
            );
        }
        self.refused = Some(Refused { heard: now, said: if say { now } else { said.unwrap_or(now) } });
    }

    fn settle(&mut self, now: Time) {
        if self.refused.as_ref().is_some_and(|refused| now.since(refused.heard) >= REFUSED_NO_MORE) {
            self.refused = None;
            info!("heartbeats to {} are no longer refused", self.to);
        }
    }

    fn word(&self) -> &'static str {
        match (self.failure, &self.refused) {
            (Some(_), _) => "unsent",
            (None, Some(_)) => "refused",
            (None, None) => "sent",
        }
    }
}

impl Sender {
    /// The state is stopped, without figures, until [`Sender::set`]. Of `settings`, only those of heartbeats are read.
    pub fn open(settings: &Settings) -> io::Result<Sender> {
        let mut heartbeat = Heartbeat::plain(settings.server_id, settings.sip.port(), ServerState::Stopped);
        // The address is always in the heartbeat, because the source address may be another interface's; a wildcard is left
        // out.
        heartbeat.sip_address = Some(settings.sip.ip()).filter(|ip| !ip.is_unspecified());
        heartbeat.transport = Some(settings.transport);
        heartbeat.period_ms = Some(settings.period.as_millis() as u32);
        heartbeat.state_tier = settings.state_tier;
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
        let targets = settings.to.iter().map(|to| Target { to: *to, failure: None, refused: None }).collect();
        Ok(Sender { heartbeat, key: settings.key.clone(), count: 0, ipv4, ipv6, targets })
    }

    /// Counts go on above this count, which an earlier agent may have used.
    pub fn count_from(&mut self, count: u64) {
        self.count = self.count.max(count);
    }

    /// The count of the last datagram.
    pub fn count(&self) -> u64 {
        self.count
    }

    /// The content of the next heartbeats and answers: one set of figures for both (SPEC A12).
    pub fn set(&mut self, state: ServerState, load: Load) {
        self.heartbeat = self.heartbeat(state, load);
    }

    /// What the next heartbeat would say of this state and these figures.
    pub fn heartbeat(&self, state: ServerState, load: Load) -> Heartbeat {
        Heartbeat { state, load: Some(load), ..self.heartbeat }
    }

    /// The state tier that keeps the server's calls, from now on.
    pub fn set_state_tier(&mut self, state_tier: Option<u64>) {
        self.heartbeat.state_tier = state_tier;
    }

    /// The same datagram to all: a load manager that gets the datagram twice recognises the second by its count.
    pub fn send(&mut self, now: Time) {
        self.take_reports(now);
        let datagram = self.encode(None);
        for target in &mut self.targets {
            let socket = match (&target.to, &self.ipv6) {
                (SocketAddr::V6(_), Some(ipv6)) => ipv6,
                (SocketAddr::V6(_), None) | (SocketAddr::V4(_), _) => &self.ipv4,
            };
            let mut sent = socket.send_to(&datagram, target.to);
            // A report about another place came in between, and this send got the error.
            if sent.is_err() {
                sent = socket.send_to(&datagram, target.to);
            }
            target.settle(now);
            match sent {
                Ok(_) => {
                    if target.failure.take().is_some() {
                        info!("heartbeats to {} are sent again", target.to);
                    }
                }
                Err(error) => {
                    if target.failure.replace(error.kind()) != Some(error.kind()) {
                        warn!("heartbeat to {} was not sent: {error}", target.to);
                    }
                }
            }
        }
    }

    /// Heartbeats leave from these sockets, and load managers send there what they have to tell.
    pub fn sockets(&self) -> impl Iterator<Item = &UdpSocket> {
        [Some(&self.ipv4), self.ipv6.as_ref()].into_iter().flatten()
    }

    /// The state tier that heartbeats name.
    pub fn state_tier(&self) -> Option<u64> {
        self.heartbeat.state_tier
    }

    /// Takes the ICMP reports about earlier heartbeats. A report belongs to the place that the heartbeat was sent to.
    pub fn take_reports(&mut self, now: Time) {
        for socket in [Some(&self.ipv4), self.ipv6.as_ref()].into_iter().flatten() {
            for _ in 0..REPORTS_MAX {
                let Some((to, error)) = os::icmp::take(socket) else { break };
                if let Some(target) = self.targets.iter_mut().find(|target| same(target.to, to)) {
                    target.refused(now, &error);
                }
            }
        }
    }

    /// Where heartbeats go, and whether they are sent, refused there, or unsent.
    pub fn targets(&self) -> impl Iterator<Item = (SocketAddr, &'static str)> {
        self.targets.iter().map(|target| (target.to, target.word()))
    }

    /// The answer to a query: the content of a heartbeat at this moment.
    pub fn answer(&mut self, nonce: u64) -> Vec<u8> {
        self.encode(Some(nonce))
    }

    /// The notification for performance servers: the same, in answer to nobody.
    pub fn notification(&mut self) -> Vec<u8> {
        self.encode(None)
    }

    fn encode(&mut self, nonce: Option<u64>) -> Vec<u8> {
        self.count = next_count(self.count, os::since_1970().as_micros() as u64);
        Heartbeat { count: Some(self.count), nonce, ..self.heartbeat }.encode(self.key.as_deref())
    }
}

/// Without the scope of an IPv6 address, which a report may leave out.
fn same(a: SocketAddr, b: SocketAddr) -> bool {
    (a.ip(), a.port()) == (b.ip(), b.port())
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
    // A full queue loses one heartbeat; waiting would stop the supervision.
    socket.set_nonblocking(true)?;
    socket.bind(&any.into())?;
    let socket = UdpSocket::from(socket);
    os::icmp::keep(&socket)?;
    Ok(socket)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_is_over_when_none_was_heard_for_a_while() {
        let refusal = io::Error::from(io::ErrorKind::ConnectionRefused);
        let mut target = Target { to: ([127, 0, 0, 1], 9).into(), failure: None, refused: None };
        let (begin, second) = (Time::from_secs(100), Duration::from_secs(1));
        target.refused(begin, &refusal);
        target.settle(begin + REFUSED_NO_MORE - second);
        assert_eq!(target.word(), "refused");
        // The place refused again; the log does not say so yet.
        let again = begin + REFUSED_NO_MORE - second;
        target.refused(again, &refusal);
        assert_eq!(target.refused.as_ref().map(|refused| refused.said), Some(begin));
        target.settle(begin + REFUSED_NO_MORE);
        assert_eq!(target.word(), "refused");
        target.settle(again + REFUSED_NO_MORE);
        assert_eq!(target.word(), "sent");
        target.refused(begin, &refusal);
        target.refused(begin + REFUSED_SAID_EVERY, &refusal);
        assert_eq!(target.refused.map(|refused| refused.said), Some(begin + REFUSED_SAID_EVERY));
    }
}
