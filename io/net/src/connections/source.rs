//! Who sends: an address, and what it holds of a worker.

use std::net::{IpAddr, Ipv6Addr};

/// What one source has in a worker.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Source {
    pub(super) connections: u32,
    pub(super) handshakes: u32,
    /// Bytes of incomplete messages and queues.
    pub(super) held: usize,
}

/// What counts as one source: the owner of an IPv6 network of 64 bits has all its addresses.
pub(super) fn source(ip: IpAddr) -> IpAddr {
    match ip {
        IpAddr::V4(_) => ip,
        IpAddr::V6(ip) => IpAddr::V6(Ipv6Addr::from(u128::from(ip) >> 64 << 64)),
    }
}
