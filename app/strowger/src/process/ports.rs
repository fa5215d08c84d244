//! Whether the process can have its listeners, in words. Our own sockets share their ports (SO_REUSEPORT). A second process
//! on the same port would therefore not fail, but silently take half of the messages; a socket that does not share the port
//! shows the conflict.

use std::io::{Error, ErrorKind};
use std::net::{TcpListener, UdpSocket};

use lb::settings::Listener;
use sip::Transport;

/// The first listener that the process cannot have, why, and the remedy.
pub(crate) fn check(listeners: &[Listener]) -> Result<(), Error> {
    for listener in listeners {
        let tried = match listener.transport {
            Transport::Udp => UdpSocket::bind(listener.bind).map(drop),
            Transport::Tcp | Transport::Tls | Transport::Ws | Transport::Wss => {
                TcpListener::bind(listener.bind).map(drop)
            }
        };
        tried.map_err(|error| explained(listener, &error))?;
    }
    Ok(())
}

fn explained(listener: &Listener, error: &Error) -> Error {
    unavailable(&format!("{}:{}", listener.transport.word(), listener.bind), error)
}

/// A place where the process cannot listen, such as `127.0.0.1:8060 (api.listen)`, why, and the remedy.
pub(crate) fn unavailable(place: &str, error: &Error) -> Error {
    let remedy = match error.kind() {
        ErrorKind::AddrInUse => "another program uses that port: `ss -lntup` shows which",
        ErrorKind::AddrNotAvailable => {
            "no interface of this machine has that address: `ip address` lists its addresses"
        }
        ErrorKind::PermissionDenied => {
            "ports below 1024 need root, or setcap cap_net_bind_service=+ep on the program"
        }
        _ => "check the address and the port",
    };
    Error::new(error.kind(), format!("cannot listen on {place}: {error}\n  remedy: {remedy}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn complaint(transport: Transport, bind: &str) -> String {
        let bind = bind.parse().unwrap();
        check(&[Listener { transport, bind, advertise: bind, name: None }])
            .map_or_else(|error| error.to_string(), |()| String::new())
    }

    #[test]
    fn a_taken_port_and_a_foreign_address_are_told() {
        let taken = UdpSocket::bind("127.0.0.1:0").unwrap();
        let address = taken.local_addr().unwrap().to_string();
        let said = complaint(Transport::Udp, &address);
        assert!(said.contains(&format!("udp:{address}")) && said.contains("ss -lntup"), "{said}");
        drop(taken);
        assert_eq!(complaint(Transport::Udp, &address), "");
        assert!(complaint(Transport::Tcp, "192.0.2.77:5060").contains("ip address"));
    }
}
