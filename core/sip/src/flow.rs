//! Where a message came from and where it goes: the vocabulary of cores and sockets.

use std::net::SocketAddr;

/// Default port of UDP and TCP (RFC 3261 §18.2.2, §19.1.2).
pub const SIP_PORT: u16 = 5060;

/// Default port of TLS (RFC 3261 §19.1.2, RFC 5923 §8.2).
pub const SIPS_PORT: u16 = 5061;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Transport {
    Udp,
    Tcp,
    Tls,
    /// SIP over WebSocket (RFC 7118), without and with TLS below it.
    Ws,
    Wss,
}

impl Transport {
    pub const fn is_reliable(self) -> bool {
        !matches!(self, Transport::Udp)
    }

    /// Whether TLS protects it.
    pub const fn is_secure(self) -> bool {
        matches!(self, Transport::Tls | Transport::Wss)
    }

    /// Whether each SIP message is one WebSocket message.
    pub const fn is_websocket(self) -> bool {
        matches!(self, Transport::Ws | Transport::Wss)
    }

    /// The word of the configuration: `udp`, `tcp`, `tls`, `ws`, `wss`.
    pub const fn word(self) -> &'static str {
        match self {
            Transport::Udp => "udp",
            Transport::Tcp => "tcp",
            Transport::Tls => "tls",
            Transport::Ws => "ws",
            Transport::Wss => "wss",
        }
    }

    /// The token of the Via header field: `UDP`, `TCP`, `TLS`, `WS`, `WSS` (RFC 7118 §5.1).
    pub const fn via_token(self) -> &'static str {
        match self {
            Transport::Udp => "UDP",
            Transport::Tcp => "TCP",
            Transport::Tls => "TLS",
            Transport::Ws => "WS",
            Transport::Wss => "WSS",
        }
    }

    /// The value of the `transport` URI parameter: `udp`, `tcp`, `tls`, and `ws` for both WebSocket transports, which the
    /// scheme tells apart (RFC 7118 §5.2.2).
    pub const fn uri_token(self) -> &'static str {
        match self {
            Transport::Udp => "udp",
            Transport::Tcp => "tcp",
            Transport::Tls => "tls",
            Transport::Ws | Transport::Wss => "ws",
        }
    }
}

/// One connection of one worker. The generation distinguishes a slot's present connection from earlier ones, so an old id
/// reaches nobody.
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
    /// For a stream: the connection of the message.
    pub connection: Option<ConnectionId>,
}

/// Where a message must be sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Target {
    /// One datagram from the socket of this listener.
    Datagram { listener: u8, to: SocketAddr },
    /// On this connection if it is still open; else, if `or_connect`, on a connection to `to`, new or known (RFC 3261
    /// §18.2.2); else it is dropped and counted.
    Connection { listener: u8, id: ConnectionId, to: SocketAddr, or_connect: bool },
    /// On a connection to `to`: an open one, or a new one.
    Stream { listener: u8, to: SocketAddr },
}
