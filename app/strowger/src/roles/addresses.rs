//! Addresses on the command line.

use std::net::SocketAddr;

pub(super) fn address(text: &str) -> Result<SocketAddr, String> {
    config::parse_address(text, None).map_err(with_remedy)
}

/// As `lb --server` reads it: without a port, the port is that of SIP.
pub(super) fn sip_address(text: &str) -> Result<SocketAddr, String> {
    config::parse_address(text, Some(sip::SIP_PORT)).map_err(with_remedy)
}

fn with_remedy((what, remedy): config::Wrong) -> String {
    format!("{what}\n  remedy: {remedy}")
}
