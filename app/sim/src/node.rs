//! The nodes of a farm: their names, and the three calls by which the farm drives them.

use std::net::SocketAddr;

use base::Time;

use crate::link::Packet;

/// A node of the farm. All times are those of its own clock, which has its own beginning.
pub trait Node {
    fn receive(&mut self, now: Time, arrival: Arrival<'_>, out: &mut Vec<Packet>);
    fn handle_timeout(&mut self, now: Time, out: &mut Vec<Packet>);
    /// The time when [`Node::handle_timeout`] has work.
    fn next_deadline(&self) -> Option<Time>;
}

/// An event that reaches a node.
#[derive(Clone, Copy, Debug)]
pub enum Arrival<'a> {
    Message(&'a Packet),
    /// ICMP port unreachable, real or forged: a datagram to this address found no listener; with the front of that datagram.
    Unreachable {
        to: SocketAddr,
        quoted: &'a [u8],
    },
    /// The connection with this address has ended.
    Closed(SocketAddr),
    /// A connection to this address is refused.
    Refused(SocketAddr),
}

/// The name of a node: its kind, and its position among the nodes of that kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Id {
    Manager(usize),
    Server(usize),
    Caller(usize),
    Phone(usize),
    /// A node that takes no part in calls and sends forged messages.
    Stranger,
}

impl std::fmt::Display for Id {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Id::Manager(at) => write!(f, "load manager {at}"),
            Id::Server(at) => write!(f, "server {at}"),
            Id::Caller(at) => write!(f, "caller {at}"),
            Id::Phone(at) => write!(f, "phone {at}"),
            Id::Stranger => write!(f, "the stranger"),
        }
    }
}
