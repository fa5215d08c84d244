//! Where the nodes of a scenario are.

use std::net::SocketAddr;

/// Where load managers hear each other.
pub const NOTICE_PORT: u16 = 5070;

pub fn address(network: u8, host: u8) -> SocketAddr {
    SocketAddr::from(([10, 0, network, host], 5060))
}
