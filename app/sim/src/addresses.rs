//! The addresses of a scenario's nodes.

use std::net::SocketAddr;

/// The port on which load managers receive each other's notices.
pub const NOTICE_PORT: u16 = 5070;

pub fn address(network: u8, host: u8) -> SocketAddr {
    SocketAddr::from(([10, 0, network, host], 5060))
}
