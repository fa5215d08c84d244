//! Why a server, or a heartbeat, was refused, and what to do about it.

use std::net::{IpAddr, SocketAddr};

/// Why a server was not taken into the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    TableFull {
        size: usize,
        server: SocketAddr,
    },
    IdCollision {
        server: SocketAddr,
        with: SocketAddr,
    },
    BadAddress {
        server: SocketAddr,
    },
    /// A signed heartbeat without the address of its server: anyone who recorded it could send it from an address of their
    /// own.
    NoAddress {
        id: u32,
        from: IpAddr,
    },
    /// A heartbeat that was recorded and sent again, or came behind a later one.
    Replayed {
        server: SocketAddr,
    },
}

impl std::fmt::Display for Refusal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Refusal::TableFull { size, server } => {
                write!(
                    f,
                    "server {server} refused: the server table is full ({size} rows); raise table_size or remove a server"
                )
            }
            Refusal::IdCollision { server, with } => {
                write!(f, "server {server} refused: its id is that of {with}; give one of them another port")
            }
            Refusal::BadAddress { server } => {
                write!(f, "server {server} refused: neither address nor port may be zero")
            }
            Refusal::NoAddress { id, from } => {
                write!(
                    f,
                    "heartbeat of id {id} from {from} refused: with a key it must name its SIP address; give the agent \
                     --sip with the address that we reach the server at"
                )
            }
            Refusal::Replayed { server } => {
                write!(f, "heartbeat of {server} refused: its count is not above that of an earlier one")
            }
        }
    }
}

impl std::error::Error for Refusal {}
