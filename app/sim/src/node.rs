//! What takes part in a farm: who it is, and the three things that the farm asks of it.

use std::net::SocketAddr;

use base::Time;

use crate::link::Packet;

/// One that takes part. All times are those of its own clock, which began at another moment than others' clocks.
pub trait Node {
    fn receive(&mut self, now: Time, arrival: Arrival<'_>, out: &mut Vec<Packet>);
    fn handle_timeout(&mut self, now: Time, out: &mut Vec<Packet>);
    /// When [`Node::handle_timeout`] has something to do.
    fn next_deadline(&self) -> Option<Time>;
}

/// What reaches a node.
#[derive(Clone, Copy, Debug)]
pub enum Arrival<'a> {
    Message(&'a Packet),
    /// ICMP port unreachable: a datagram to this address found nobody, or somebody says so; and the front of that datagram.
    Unreachable {
        to: SocketAddr,
        quoted: &'a [u8],
    },
    /// The connection with this address has ended.
    Closed(SocketAddr),
    /// No connection to this address can be had.
    Refused(SocketAddr),
}

/// Which node: its kind, and its position among those.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Id {
    Manager(usize),
    Server(usize),
    Caller(usize),
    Phone(usize),
    /// Somebody who takes no part and sends all the same.
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
