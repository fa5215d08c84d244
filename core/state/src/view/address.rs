//! The address of a server in one piece, as servers are compared by it.

/// `host:port`, with brackets around an IPv6 address.
pub fn address(host: &str, port: &str) -> Box<str> {
    if host.contains(':') { format!("[{host}]:{port}").into() } else { format!("{host}:{port}").into() }
}
