//! Where a node of the state tier is: a socket of this machine, or a host and a port.

use std::fmt;
use std::io;
use std::net::{SocketAddr, ToSocketAddrs};
use std::path::PathBuf;
use std::str::FromStr;

/// Before the path of a Unix socket.
const UNIX: &str = "unix:";

/// `unix:/path`, or `host:port` with a name or a number; an IPv6 address stands in brackets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Address {
    Unix(PathBuf),
    Tcp(Box<str>),
}

/// The text is no address of a node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NoAddress(Box<str>);

impl fmt::Display for NoAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} is no address of a node\n  remedy: write unix:/path, or host:port", self.0)
    }
}

impl std::error::Error for NoAddress {}

impl FromStr for Address {
    type Err = NoAddress;

    fn from_str(text: &str) -> Result<Address, NoAddress> {
        let wrong = || NoAddress(text.into());
        if let Some(path) = text.strip_prefix(UNIX) {
            return if path.is_empty() { Err(wrong()) } else { Ok(Address::Unix(path.into())) };
        }
        let (host, port) = text.rsplit_once(':').ok_or_else(wrong)?;
        let is_bare_ipv6 = host.contains(':') && !(host.starts_with('[') && host.ends_with(']'));
        match port.parse::<u16>() {
            Ok(port) if port > 0 && !host.is_empty() && !is_bare_ipv6 => Ok(Address::Tcp(text.into())),
            _ => Err(wrong()),
        }
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Address::Unix(path) => write!(f, "{UNIX}{}", path.display()),
            Address::Tcp(text) => f.write_str(text),
        }
    }
}

impl Address {
    /// The addresses in numbers, as nodes write them about each other. A name is looked up, which may wait.
    pub(super) fn resolved(&self) -> io::Result<Vec<Box<str>>> {
        match self {
            Address::Unix(_) => Ok(vec![self.to_string().into()]),
            Address::Tcp(text) => match text.to_socket_addrs() {
                Ok(addresses) => Ok(addresses.map(|one| one.to_string().into()).collect()),
                Err(error) => Err(io::Error::new(error.kind(), format!("{text}: {error}"))),
            },
        }
    }
}

/// Where to connect to, of an address in numbers.
pub(super) enum Place<'a> {
    Unix(&'a str),
    Tcp(SocketAddr),
}

impl Place<'_> {
    /// `None`: a node named an address that is no number.
    pub(super) fn of(address: &str) -> Option<Place<'_>> {
        match address.strip_prefix(UNIX) {
            Some(path) => Some(Place::Unix(path)),
            None => address.parse().ok().map(Place::Tcp),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read_as_they_are_written() {
        for text in ["unix:/run/strowger/state", "localhost:6379", "10.0.0.1:1", "[fd00::1]:6379"] {
            assert_eq!(text.parse::<Address>().map(|address| address.to_string()), Ok(text.into()));
        }
        for text in ["", "unix:", "localhost", "host:0", ":6379", "host:65536", "fd00::1:6379", "host:port"] {
            assert!(text.parse::<Address>().is_err(), "{text}");
        }
    }

    #[test]
    fn names_become_numbers() {
        let resolved = "localhost:6379".parse::<Address>().unwrap().resolved().unwrap();
        assert!(
            resolved.iter().any(|one| &**one == "127.0.0.1:6379" || &**one == "[::1]:6379"),
            "{resolved:?}"
        );
        assert!(matches!(Place::of("unix:/x"), Some(Place::Unix("/x"))));
        assert!(matches!(Place::of("127.0.0.1:6379"), Some(Place::Tcp(_))));
        assert!(Place::of("name:6379").is_none());
    }
}
