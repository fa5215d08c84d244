//! Connection reuse (RFC 5923): a peer with `alias` in its Via asks to get requests for the address there over the connection
//! that it opened.
//!
//! Over TLS this is done once the edge has found that we would have believed the certificate of the connection on a
//! connection opened to that address (§9.2), so that nobody gets a request that they would not have got otherwise. Over TCP
//! nothing is proven: it is done only if the operator allows it, for the address of a server of the farm, and from that
//! address. All workers know an address that was taken over; when its connection is gone, another is opened as usual.

mod stored;

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::{Mutex, MutexGuard, PoisonError};

use sip::{ConnectionId, Target, Transport};

/// Connections that asked, with one address each: far above the number of a farm's peers.
const ASKED_MAX: usize = 4096;

/// The state of a connection that asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Asked {
    Waiting,
    Refused,
    Taken(Transport, SocketAddr),
}

#[derive(Debug, Default)]
struct Inner {
    by_connection: HashMap<ConnectionId, Asked>,
    /// Listener and connection that reach the peer at an address.
    taken: HashMap<(Transport, SocketAddr), (u8, ConnectionId)>,
}

#[derive(Debug, Default)]
pub struct Aliases {
    inner: Mutex<Inner>,
    /// Connections that asked; most load managers have none, and skip the table.
    count: AtomicUsize,
}

impl Aliases {
    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A connection asks. True: for the first time. Only the first address that it names counts.
    pub(crate) fn ask(&self, id: ConnectionId) -> bool {
        let mut inner = self.lock();
        if inner.by_connection.len() >= ASKED_MAX || inner.by_connection.contains_key(&id) {
            return false;
        }
        inner.by_connection.insert(id, Asked::Waiting);
        self.count.store(inner.by_connection.len(), Relaxed);
        true
    }

    /// The connection takes the address over, even from another connection: the peer has come back.
    pub(crate) fn take(&self, transport: Transport, address: SocketAddr, listener: u8, id: ConnectionId) {
        let mut inner = self.lock();
        // The connection may have been closed meanwhile.
        if let Some(asked) = inner.by_connection.get_mut(&id) {
            *asked = Asked::Taken(transport, address);
            inner.taken.insert((transport, address), (listener, id));
        }
    }

    pub(crate) fn refuse(&self, id: ConnectionId) {
        if let Some(asked) = self.lock().by_connection.get_mut(&id) {
            *asked = Asked::Refused;
        }
    }

    /// Listener and target for a stream to this address: the connection that its owner opened, else one of ours.
    pub(crate) fn stream_to(&self, listener: u8, transport: Transport, to: SocketAddr) -> (u8, Target) {
        match self.find(transport, to) {
            Some((listener, id)) => (listener, Target::Connection { listener, id, to, or_connect: true }),
            None => (listener, Target::Stream { listener, to }),
        }
    }

    fn find(&self, transport: Transport, address: SocketAddr) -> Option<(u8, ConnectionId)> {
        if self.count.load(Relaxed) == 0 {
            return None;
        }
        self.lock().taken.get(&(transport, address)).copied()
    }

    /// The connection is gone; returns the address that it had.
    pub(crate) fn closed(&self, id: ConnectionId) -> Option<SocketAddr> {
        if self.count.load(Relaxed) == 0 {
            return None;
        }
        let mut inner = self.lock();
        let asked = inner.by_connection.remove(&id);
        self.count.store(inner.by_connection.len(), Relaxed);
        let Some(Asked::Taken(transport, address)) = asked else { return None };
        if inner.taken.get(&(transport, address)).is_some_and(|(_, present)| *present == id) {
            inner.taken.remove(&(transport, address));
        }
        Some(address)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(slot: u16) -> ConnectionId {
        ConnectionId { worker: 1, slot, generation: 7 }
    }

    #[test]
    fn the_last_to_prove_an_address_has_it_until_its_connection_is_gone() {
        use Transport::{Tcp, Tls};
        let (aliases, address) = (Aliases::default(), "192.0.2.1:5061".parse().unwrap());
        let found = || aliases.find(Tls, address).map(|(_, id)| id.slot);
        assert_eq!(found(), None);
        assert!(aliases.ask(id(1)) && !aliases.ask(id(1)));
        assert_eq!(found(), None, "not proven yet");
        aliases.take(Tls, address, 3, id(1));
        assert_eq!((found(), aliases.find(Tcp, address)), (Some(1), None));
        // The peer comes back before its old connection is known to be gone.
        assert!(aliases.ask(id(2)));
        aliases.take(Tls, address, 3, id(2));
        assert_eq!(aliases.closed(id(1)), Some(address));
        assert_eq!(found(), Some(2));
        assert_eq!(aliases.closed(id(2)), Some(address));
        assert_eq!((found(), aliases.closed(id(2))), (None, None));
        aliases.take(Tls, address, 3, id(2));
        assert_eq!(found(), None, "proven too late");
    }

    #[test]
    fn there_is_a_bound_on_those_who_ask() {
        let aliases = Aliases::default();
        assert!((0..ASKED_MAX as u16).all(|slot| aliases.ask(id(slot))));
        assert!(!aliases.ask(id(ASKED_MAX as u16)));
        aliases.refuse(id(3));
        assert!(!aliases.ask(id(3)), "refused once");
        assert_eq!(aliases.closed(id(3)), None);
        assert!(aliases.ask(id(ASKED_MAX as u16)));
    }
}
