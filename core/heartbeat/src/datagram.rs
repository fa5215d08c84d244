//! The bytes of a heartbeat (SPEC A3, FIG. 4 of the load manager document): four 32-bit fields, and a tail that may be
//! absent. We send network byte order; the protocol id shows the order of other senders, and both are understood.

use std::fmt;
use std::net::IpAddr;

use crate::form::Form;
use crate::ignored::Ignored;
use crate::load::Load;
use crate::tail;

/// First field of every heartbeat.
pub const PROTOCOL_ID: u32 = Form::Heartbeat.id();

/// Length of the document's plain form: protocol id, server id, SIP port, state.
pub const PLAIN_BYTES: usize = 16;

/// The longest heartbeat that is read. Ours have less than 192 bytes; the rest is room for sections of later versions. This
/// fits the smallest datagram that every IPv4 host accepts in one piece (576 bytes, RFC 1122 §3.3.2).
pub const DATAGRAM_BYTES_MAX: usize = 512;

/// The state that a server reports. In the datagram: 0 stopped, 1 started, 2 draining.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ServerState {
    /// Takes new calls.
    Started,
    /// Keeps its calls; takes no new calls.
    Draining,
    /// Takes nothing: its known calls belong to other servers now.
    Stopped,
}

impl ServerState {
    pub const fn name(self) -> &'static str {
        match self {
            ServerState::Started => "started",
            ServerState::Draining => "draining",
            ServerState::Stopped => "stopped",
        }
    }

    const fn to_wire(self) -> u32 {
        match self {
            ServerState::Stopped => 0,
            ServerState::Started => 1,
            ServerState::Draining => 2,
        }
    }

    const fn from_wire(value: u32) -> Option<ServerState> {
        match value {
            0 => Some(ServerState::Stopped),
            1 => Some(ServerState::Started),
            2 => Some(ServerState::Draining),
            _ => None,
        }
    }
}

impl fmt::Display for ServerState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Transport of the SIP port in a heartbeat. In the datagram: 0 UDP, 1 TCP.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Transport {
    Udp,
    Tcp,
}

impl Transport {
    pub const fn name(self) -> &'static str {
        match self {
            Transport::Udp => "udp",
            Transport::Tcp => "tcp",
        }
    }
}

impl fmt::Display for Transport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// One heartbeat. The first three fields are the document's plain form; every `Option` is in the tail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Heartbeat {
    /// The sender's own number for the server, to distinguish servers in logs; any value.
    pub server_id: u32,
    /// Port of SIP signalling, 1 … 65535.
    pub sip_port: u16,
    pub state: ServerState,
    /// Absent in the document's plain form, and if nothing was measured.
    pub load: Option<Load>,
    /// IP address of SIP signalling. Absent if it is the source address of the datagram.
    pub sip_address: Option<IpAddr>,
    /// Absent means UDP, as in the plain form.
    pub transport: Option<Transport>,
    /// Larger than in all earlier datagrams of this sender; see [`crate::Replay`].
    pub count: Option<u64>,
    /// Time between two heartbeats of this sender, milliseconds; see [`crate::Decay::of_sender`].
    pub period_ms: Option<u32>,
    /// The nonce of the query that this datagram answers; absent in a periodic heartbeat.
    pub nonce: Option<u64>,
    /// Age of the figures when this was sent, milliseconds; absent if they are as new as the datagram. Only performance
    /// servers send it ([`crate::stream`]).
    pub age_ms: Option<u32>,
    /// A performance server got no answer from the agent of this server (SPEC B3): its score is 0.
    pub down: bool,
    /// The state tier that keeps the calls of the server: any server with the same one goes on with them. The tier draws
    /// the number once; any value. Absent: the calls of the server are its own.
    pub state_tier: Option<u64>,
}

impl Heartbeat {
    /// The document's plain form: 16 bytes, no tail.
    pub const fn plain(server_id: u32, sip_port: u16, state: ServerState) -> Heartbeat {
        Heartbeat {
            server_id,
            sip_port,
            state,
            load: None,
            sip_address: None,
            transport: None,
            count: None,
            period_ms: None,
            nonce: None,
            age_ms: None,
            down: false,
            state_tier: None,
        }
    }

    /// The datagram, in network byte order. Without a key and without content for the tail, it is the plain form.
    pub fn encode(&self, key: Option<&[u8]>) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(192);
        for field in [PROTOCOL_ID, self.server_id, u32::from(self.sip_port), self.state.to_wire()] {
            bytes.extend_from_slice(&field.to_be_bytes());
        }
        tail::append(self, key, &mut bytes);
        bytes
    }

    /// Reads a datagram. With a key, only a datagram with the right authenticator is believed; without a key, the
    /// authenticator is not checked. Unknown sections are skipped.
    pub fn decode(bytes: &[u8], key: Option<&[u8]>) -> Result<Heartbeat, Ignored> {
        let Some((head, rest)) = bytes.split_first_chunk::<PLAIN_BYTES>() else {
            return Err(Ignored::Short);
        };
        let order = Order::of(head).ok_or(Ignored::WrongProtocol)?;
        if bytes.len() > DATAGRAM_BYTES_MAX {
            return Err(Ignored::Long);
        }
        // The authenticator is checked before anything else of the datagram is believed.
        let sections = tail::Sections::within(rest, order)?;
        if let Some(key) = key {
            tail::authenticate(bytes, sections, key)?;
        }
        let field = |i: usize| order.u32([head[i], head[i + 1], head[i + 2], head[i + 3]]);
        let state = ServerState::from_wire(field(12)).ok_or(Ignored::BadState)?;
        let sip_port = u16::try_from(field(8)).ok().filter(|port| *port != 0).ok_or(Ignored::BadPort)?;
        let mut heartbeat = Heartbeat::plain(field(4), sip_port, state);
        tail::read(sections, &mut heartbeat)?;
        Ok(heartbeat)
    }
}

/// Byte order of a whole datagram, head and tail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Order {
    Network,
    Other,
}

impl Order {
    fn of(head: &[u8; PLAIN_BYTES]) -> Option<Order> {
        match u32::from_be_bytes([head[0], head[1], head[2], head[3]]) {
            PROTOCOL_ID => Some(Order::Network),
            id if id.swap_bytes() == PROTOCOL_ID => Some(Order::Other),
            _ => None,
        }
    }

    pub(crate) fn u16(self, bytes: [u8; 2]) -> u16 {
        match self {
            Order::Network => u16::from_be_bytes(bytes),
            Order::Other => u16::from_le_bytes(bytes),
        }
    }

    pub(crate) fn u32(self, bytes: [u8; 4]) -> u32 {
        match self {
            Order::Network => u32::from_be_bytes(bytes),
            Order::Other => u32::from_le_bytes(bytes),
        }
    }

    pub(crate) fn u64(self, bytes: [u8; 8]) -> u64 {
        match self {
            Order::Network => u64::from_be_bytes(bytes),
            Order::Other => u64::from_le_bytes(bytes),
        }
    }
}
