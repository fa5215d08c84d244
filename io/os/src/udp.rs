//! UDP sockets for questions to one place.

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};

/// Any address and port of ours, of the same IP version as `to`.
pub fn any_for(to: SocketAddr) -> SocketAddr {
    match to {
        SocketAddr::V4(_) => (Ipv4Addr::UNSPECIFIED, 0).into(),
        SocketAddr::V6(_) => (Ipv6Addr::UNSPECIFIED, 0).into(),
    }
}

/// A socket that sends to `to` and hears only from there, ICMP errors included.
pub fn connected(to: SocketAddr) -> io::Result<UdpSocket> {
    let socket = UdpSocket::bind(any_for(to))?;
    socket.connect(to)?;
    Ok(socket)
}

/// The same socket, but it never waits.
pub fn connected_nonblocking(to: SocketAddr) -> io::Result<UdpSocket> {
    let socket = connected(to)?;
    socket.set_nonblocking(true)?;
    Ok(socket)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_place_that_is_asked_is_heard() {
        for host in ["127.0.0.1:0", "[::1]:0"] {
            let (place, other) = (UdpSocket::bind(host).unwrap(), UdpSocket::bind(host).unwrap());
            let asking = connected_nonblocking(place.local_addr().unwrap()).unwrap();
            let own = asking.local_addr().unwrap();
            other.send_to(b"x", own).unwrap();
            place.send_to(b"y", own).unwrap();
            let mut buffer = [0; 8];
            assert_eq!(asking.recv(&mut buffer).unwrap(), 1);
            assert_eq!(buffer[0], b'y');
            assert_eq!(asking.recv(&mut buffer).unwrap_err().kind(), io::ErrorKind::WouldBlock);
        }
    }
}
