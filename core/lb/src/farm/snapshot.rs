//! The farm as the data path sees it: one immutable value, published whole, with an epoch. Servers are in the order of their
//! ids, so that every load manager that knows the same servers has them at the same positions, in whatever order it learnt of
//! them (SPEC A8).

use crate::farm::server::{Server, ServerId};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use crate::farm::active_table::ActiveTable;
use crate::farm::consistent::Consistent;
use crate::farm::departed::{Departed, DepartedServers};

/// See the head of this module.
#[derive(Clone, Debug)]
pub struct Snapshot {
    /// Grows by one with each snapshot that the table publishes.
    pub epoch: u64,
    servers: Box<[Server]>,
    ids: IdMap,
    /// Sorted, without repeats.
    addresses: Box<[IpAddr]>,
    active: ActiveTable,
    consistent: Arc<Consistent>,
    /// Servers of state tiers that are no longer in `servers`.
    departed: DepartedServers,
    /// Some server has a state tier, or had one.
    has_tiers: bool,
}

impl Snapshot {
    /// No server at all.
    pub fn empty() -> Snapshot {
        Snapshot::build(0, Vec::new(), None)
    }

    /// Builds what look-up and selection need. `previous` lends its consistent-hash table if the servers and their weights
    /// are the same: a change of condition does not rebuild it. Of servers with one id, the first is kept.
    pub fn build(epoch: u64, mut servers: Vec<Server>, previous: Option<&Snapshot>) -> Snapshot {
        servers.sort_by_key(|server| server.id);
        servers.dedup_by_key(|server| server.id);
        servers.truncate(usize::from(u16::MAX));
        let members = || servers.iter().map(|server| (server.id, server.weight));
        let consistent = match previous {
            Some(previous) if previous.consistent.is_of(members()) => previous.consistent.clone(),
            Some(_) | None => Arc::new(Consistent::build(members())),
        };
        let ids = IdMap::build(&servers);
        let active = ActiveTable::build(&servers);
        let mut addresses: Vec<IpAddr> =
            servers.iter().map(|server| server.address.ip().to_canonical()).collect();
        addresses.sort_unstable();
        addresses.dedup();
        let has_tiers = servers.iter().any(|server| server.state_tier.is_some());
        let (servers, addresses) = (servers.into(), addresses.into());
        let departed = DepartedServers::default();
        Snapshot { epoch, servers, ids, addresses, active, consistent, departed, has_tiers }
    }

    /// The same, with what is known of servers that are no longer there.
    pub(crate) fn with_departed(self, departed: &DepartedServers) -> Snapshot {
        let has_tiers = self.has_tiers || !departed.is_empty();
        Snapshot { departed: departed.clone(), has_tiers, ..self }
    }

    /// All servers, in the order of their ids. The tables below hold positions in this slice.
    pub fn servers(&self) -> &[Server] {
        &self.servers
    }

    #[inline]
    pub fn position(&self, id: ServerId) -> Option<u16> {
        self.ids.position(id)
    }

    #[inline]
    pub fn by_id(&self, id: ServerId) -> Option<&Server> {
        self.ids.position(id).map(|position| &self.servers[usize::from(position)])
    }

    /// The server at this SIP address.
    #[inline]
    pub fn by_address(&self, address: SocketAddr) -> Option<&Server> {
        let same = |server: &&Server| {
            server.address.port() == address.port()
                && server.address.ip().to_canonical() == address.ip().to_canonical()
        };
        self.by_id(ServerId::of(address)).filter(same)
    }

    /// Whether there is such a server and its known calls go elsewhere; or there was one, and it has moved or been forgotten.
    #[inline]
    pub(crate) fn is_gone(&self, id: ServerId) -> bool {
        match self.by_id(id) {
            Some(server) => !server.is_reachable(),
            None => self.departed.find(id).is_some_and(|departed| departed.gone_since.is_some()),
        }
    }

    /// A server of a state tier that is no longer there.
    pub(crate) fn departed(&self, id: ServerId) -> Option<&Departed> {
        self.departed.find(id)
    }

    /// Some server has a state tier. Asked first, so that a farm without one pays for nothing more.
    #[inline]
    pub(crate) fn has_tiers(&self) -> bool {
        self.has_tiers
    }

    /// The state tier of a server, in whatever condition; also of one that is no longer there.
    #[inline]
    pub(crate) fn tier_of(&self, id: ServerId) -> Option<u64> {
        if !self.has_tiers {
            return None;
        }
        match self.by_id(id) {
            Some(server) => server.state_tier,
            None => self.departed.find(id).map(|departed| departed.state_tier),
        }
    }

    /// Whether these are servers of one state tier: each goes on with the calls of the other.
    pub(crate) fn are_of_one_tier(&self, one: ServerId, other: ServerId) -> bool {
        self.tier_of(one).is_some_and(|tier| self.tier_of(other) == Some(tier))
    }

    /// Whether some server, in whatever condition, has this address.
    #[inline]
    pub fn is_server_ip(&self, ip: IpAddr) -> bool {
        self.addresses.binary_search(&ip.to_canonical()).is_ok()
    }

    /// Which servers may get what (SPEC A5).
    pub fn active(&self) -> &ActiveTable {
        &self.active
    }

    pub fn consistent(&self) -> &Consistent {
        &self.consistent
    }
}

/// Open addressing from id to position, at most a quarter full: a look-up is one or two loads, however many servers there
/// are.
#[derive(Clone, Debug)]
struct IdMap {
    /// Id and position + 1; zero: free. An id is a hash already.
    cells: Box<[(u32, u16)]>,
}

impl IdMap {
    fn build(servers: &[Server]) -> IdMap {
        let size = (servers.len() * 4).next_power_of_two();
        let mut cells = vec![(0, 0); size].into_boxed_slice();
        for (position, server) in servers.iter().enumerate() {
            let mut at = server.id.0 as usize & (size - 1);
            while cells[at].1 != 0 {
                at = (at + 1) & (size - 1);
            }
            cells[at] = (server.id.0, position as u16 + 1);
        }
        IdMap { cells }
    }

    #[inline]
    fn position(&self, id: ServerId) -> Option<u16> {
        let mask = self.cells.len() - 1;
        let mut at = id.0 as usize & mask;
        loop {
            match self.cells[at] {
                (_, 0) => return None,
                (found, position) if found == id.0 => return Some(position - 1),
                _ => at = (at + 1) & mask,
            }
        }
    }
}
