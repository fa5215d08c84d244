//! A simulated process's substitute for sockets: it finds a received packet's connection, and the way of a message that the
//! core sends.

use std::collections::HashMap;
use std::net::SocketAddr;

use sip::{ConnectionId, Flow, Target, Transport};

use crate::link::Packet;

/// Listeners of a simulated process: UDP first, TCP second, at one address.
pub const UDP: u8 = 0;
pub const TCP: u8 = 1;

/// Connections by their far ends.
#[derive(Debug, Default)]
pub struct Sockets {
    /// The present or last connection with each far end, and whether it is open.
    connections: HashMap<SocketAddr, (ConnectionId, bool)>,
}

impl Sockets {
    /// The packet's flow. `worker` has the connections with its sender; `run` differs between processes, so that a connection
    /// id of another process reaches no connection. In the product chance makes this difference.
    pub fn flow(&mut self, packet: &Packet, worker: u8, run: u32) -> Flow {
        let (listener, transport) = if packet.stream { (TCP, Transport::Tcp) } else { (UDP, Transport::Udp) };
        let connection = packet.stream.then(|| {
            let slot = self.connections.len() as u16;
            let fresh = (ConnectionId { worker, slot, generation: run }, false);
            let (id, open) = self.connections.entry(packet.from).or_insert(fresh);
            if !*open {
                (id.generation, *open) = (id.generation.wrapping_add(1), true);
            }
            *id
        });
        Flow { listener, transport, remote: packet.from, connection }
    }

    /// A message's destination, and whether it goes by a stream. `None`: its connection is gone, and no other may replace it.
    pub fn way_of(&self, target: Target) -> Option<(SocketAddr, bool)> {
        match target {
            Target::Datagram { to, .. } => Some((to, false)),
            Target::Connection { id, to, or_connect, .. } => {
                let is =
                    |(_, (open, is_open)): &(&SocketAddr, &(ConnectionId, bool))| *open == id && *is_open;
                let open = self.connections.iter().find(is);
                open.map(|(remote, _)| *remote).or(or_connect.then_some(to)).map(|to| (to, true))
            }
            Target::Stream { to, .. } => Some((to, true)),
        }
    }

    /// The connection with this address has ended; returns its id if it was open.
    pub fn close(&mut self, peer: SocketAddr) -> Option<ConnectionId> {
        let (id, open) = self.connections.get_mut(&peer).filter(|(_, open)| *open)?;
        *open = false;
        Some(*id)
    }
}
