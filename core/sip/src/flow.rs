//! Where a message came from and where one goes: the vocabulary that cores and sockets share.

use std::net::SocketAddr;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Transport {
    Udp,
    Tcp,
}

impl Transport {
    pub const fn is_reliable(self) -> bool {
        matches!(self, Transport::Tcp)
    }

    /// The token of the Via header field: `UDP`, `TCP`.
    pub const fn via_token(self) -> &'static str {
        match self {
            Transport::Udp => "UDP",
            Transport::Tcp => "TCP",
        }
    }

    /// The value of the `transport` URI parameter: `udp`, `tcp`.
    pub const fn uri_token(self) -> &'static str {
        match self {
            Transport::Udp => "udp",
            Transport::Tcp => "tcp",
        }
    }
}

/// One connection of one worker. The generation tells a slot's present connection from those it held before, so a
/// stale id reaches nobody.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ConnectionId {
    pub worker: u8,
    pub slot: u16,
    pub generation: u32,
}

/// Where a received message came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Flow {
    /// Index of our listener (configuration order) that received it, or that the connection stands for.
    pub listener: u8,
    pub transport: Transport,
    pub remote: SocketAddr,
    /// For a stream: the connection it came on.
    pub connection: Option<ConnectionId>,
}

/// Where a message is to be sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Target {
    /// One datagram from the socket of this listener.
    Datagram { listener: u8, to: SocketAddr },
    /// On this connection if it is still open; else, if `or_connect`, on a (new or known) connection to `to`
    /// (RFC 3261 §18.2.2); else it is dropped and counted.
    Connection { listener: u8, id: ConnectionId, to: SocketAddr, or_connect: bool },
    /// On a connection to `to`: one that is open, or a new one.
    Stream { listener: u8, to: SocketAddr },
}
