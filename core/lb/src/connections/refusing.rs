//! Peers that lately refused a stream: a large request goes to them by UDP at once, without a connection that would have
//! to fail first (RFC 3261 §18.1.1). Places of a name that refused a request: another place of the name gets it (RFC 3263 §4.3).

use std::net::SocketAddr;

use base::{Duration, Time};

/// Time until a stream is tried again.
const REFUSAL_TIME: Duration = Duration::from_secs(60);
/// Peers remembered per worker; the oldest refusal makes room.
const REFUSALS_MAX: usize = 256;

#[derive(Debug, Default)]
pub(crate) struct Refusing {
    /// There are few, looked up only for large requests: a list is enough.
    peers: Vec<(SocketAddr, Time)>,
}

impl Refusing {
    pub(crate) fn note(&mut self, now: Time, peer: SocketAddr) {
        self.peers.retain(|(known, since)| *known != peer && now.since(*since) < REFUSAL_TIME);
        if self.peers.len() >= REFUSALS_MAX {
            self.peers.remove(0);
        }
        self.peers.push((peer, now));
    }

    pub(crate) fn contains(&self, now: Time, peer: SocketAddr) -> bool {
        self.peers.iter().any(|(known, since)| *known == peer && now.since(*since) < REFUSAL_TIME)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_is_forgotten_in_time_and_the_list_is_bounded() {
        let mut refusing = Refusing::default();
        let peer = |port: u16| SocketAddr::from(([192, 0, 2, 1], port));
        for port in 0..1000 {
            refusing.note(Time::from_secs(1), peer(port));
        }
        assert_eq!(refusing.peers.len(), REFUSALS_MAX);
        assert!(refusing.contains(Time::from_secs(60), peer(999)));
        assert!(!refusing.contains(Time::from_secs(60), peer(0)));
        assert!(!refusing.contains(Time::from_secs(61), peer(999)));
    }
}
