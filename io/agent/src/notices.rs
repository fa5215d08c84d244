//! Notices of load managers that a server of the state tier is gone (docs/heartbeat.md). They come to the address that
//! heartbeats come from; the agent judges them, and passes them on to the SIP port of its server.

use std::io::ErrorKind;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};

use heartbeat::death::{self, DEATH_BYTES};
use heartbeat::notice::Senders;

/// Datagrams read in one turn: a flood must not delay heartbeats.
const BATCH: usize = 32;

/// See the head of this module.
#[derive(Debug)]
pub(crate) struct Notices {
    /// Where the server receives datagrams.
    server: SocketAddr,
    /// Recordings are told from notices only by a key.
    senders: Senders,
    pub(crate) passed: u64,
    pub(crate) ignored: u64,
}

impl Notices {
    /// `sip`: the address of the server's SIP port.
    pub(crate) fn to(sip: SocketAddr) -> Notices {
        let mut server = sip;
        if sip.ip().is_unspecified() {
            server.set_ip(if sip.is_ipv4() {
                Ipv4Addr::LOCALHOST.into()
            } else {
                Ipv6Addr::LOCALHOST.into()
            });
        }
        Notices { server, senders: Senders::default(), passed: 0, ignored: 0 }
    }

    /// Takes what waits in a socket. `state_tier`: the one that keeps the server's calls.
    pub(crate) fn take(&mut self, socket: &UdpSocket, key: Option<&[u8]>, state_tier: Option<u64>) {
        let mut buffer = [0; DEATH_BYTES + 1];
        for _ in 0..BATCH {
            match socket.recv(&mut buffer) {
                Ok(length) if self.is_good(&buffer[..length], key, state_tier) => {
                    self.pass(&buffer[..length])
                }
                Ok(_) => self.ignored += 1,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return,
                // A report about a heartbeat.
                Err(_) => {}
            }
        }
    }

    fn is_good(&mut self, bytes: &[u8], key: Option<&[u8]>, state_tier: Option<u64>) -> bool {
        let Ok(told) = death::decode(bytes, key) else { return false };
        let clock_micros = os::since_1970().as_micros() as u64;
        state_tier == Some(told.death.state_tier)
            && (key.is_none() || self.senders.admit_count(clock_micros, told.sender, told.count).is_ok())
    }

    /// Nobody repeats a notice that is lost: the state tier says the same a little later.
    fn pass(&mut self, notice: &[u8]) {
        let any: SocketAddr = match self.server {
            SocketAddr::V4(_) => (Ipv4Addr::UNSPECIFIED, 0).into(),
            SocketAddr::V6(_) => (Ipv6Addr::UNSPECIFIED, 0).into(),
        };
        if UdpSocket::bind(any).and_then(|socket| socket.send_to(notice, self.server)).is_ok() {
            self.passed += 1;
        }
    }
}
