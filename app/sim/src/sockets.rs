//! What a simulated process has in place of sockets: which connection a packet came on, and where a message that its core left goes.

use std::collections::HashMap;
use std::net::SocketAddr;

use sip::{ConnectionId, Flow, Target, Transport};

use crate::link::Packet;

/// Listeners of a simulated process: UDP first, TCP second, at one address.
pub const UDP: u8 = 0;
pub const TCP: u8 = 1;

/// Connections by their other ends.
#[derive(Debug, Default)]
pub struct Sockets {
    /// The present or last connection with it, and whether it is open.
    connections: HashMap<SocketAddr, (ConnectionId, bool)>,
}

impl Sockets {
    /// How this packet came. `worker` has the connections with its sender; `run`, as in the product by chance, makes that an id of
    /// another process reaches nobody.
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

    /// Where a message goes, and whether by a stream. `None`: its connection is gone, and no other may take its place.
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

    /// The connection with this address has ended; which one it was, if it was open.
    pub fn close(&mut self, peer: SocketAddr) -> Option<ConnectionId> {
        let (id, open) = self.connections.get_mut(&peer).filter(|(_, open)| *open)?;
        *open = false;
        Some(*id)
    }
}
