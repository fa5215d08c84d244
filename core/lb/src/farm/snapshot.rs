//! What the data path sees of the farm: one immutable value, published whole, with an epoch. Servers lie in the order of
//! their ids, so that every load manager that knows the same servers sees them at the same positions, in whatever order
//! it learnt of them (SPEC A8).

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use sip::Transport;

use crate::farm::active_table::ActiveTable;
use crate::farm::consistent::Consistent;
use crate::farm::server_table::Cause;
use crate::selection::score::Score;

/// Identity of a server that every load manager computes alike: a fixed hash of its SIP address. The table refuses a
/// second server whose id collides with that of another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ServerId(pub u32);

impl ServerId {
    pub fn of(address: SocketAddr) -> ServerId {
        let mut bytes = [0u8; 18];
        match address.ip().to_canonical() {
            IpAddr::V4(ip) => bytes[..4].copy_from_slice(&ip.octets()),
            IpAddr::V6(ip) => bytes[..16].copy_from_slice(&ip.octets()),
        }
        bytes[16..].copy_from_slice(&address.port().to_be_bytes());
        ServerId(xxhash_rust::xxh3::xxh3_64(&bytes) as u32)
    }
}

/// Where a server's shared counters lie: a slot that it keeps for life, and which of the slot's owners it is. A slot is
/// used again after a server was removed; an incarnation never is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Place {
    pub slot: u16,
    pub incarnation: u32,
}

/// What a server may be given.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Condition {
    /// Started, current, healthy: new calls and known calls.
    Active,
    /// Known calls only: it says so itself, an operator does, or it is full.
    KnownCallsOnly,
    /// Failed or stopped: its known calls are taken over by others.
    Failed,
}

/// The share of a server that has all of its weight.
pub const WHOLE: u16 = 1000;

/// One row of the server table as the data path sees it.
#[derive(Clone, Debug)]
pub struct Server {
    pub id: ServerId,
    pub address: SocketAddr,
    pub transport: Transport,
    pub condition: Condition,
    /// Why it is in that condition.
    pub cause: Cause,
    /// Share of new calls against other servers; 1 … 1000, default 1.
    pub weight: u32,
    /// How much of its weight it has, while it starts slowly: 1 … [`WHOLE`]. Consistent hashing takes the whole weight.
    pub share_permille: u16,
    /// Score of SPEC B1; `None` where nothing was measured.
    pub score: Option<Score>,
    /// From the heartbeat; `None` where nothing was said.
    pub load_permille: Option<u32>,
    /// What one more call adds to the load, in millionths: 1,000 is one permille.
    pub call_load_ppm: u32,
    /// How many more calls it took at its last heartbeat; `None`: no limit known.
    pub residual_calls: Option<u32>,
    /// Calls that we had given it at that time ([`crate::selection::Admitted`]), modulo 2^32: what came since is taken off.
    pub admitted_before: u32,
    /// Row in the server table, for display.
    pub index: u16,
    /// Where its counters lie.
    pub place: Place,
}

impl Server {
    /// A row with an address and nothing else known: active, weight 1, slot 0.
    pub fn at(address: SocketAddr, transport: Transport) -> Server {
        Server {
            id: ServerId::of(address),
            address,
            transport,
            condition: Condition::Active,
            cause: Cause::Started,
            weight: 1,
            share_permille: WHOLE,
            score: None,
            load_permille: None,
            call_load_ppm: 0,
            residual_calls: None,
            admitted_before: 0,
            index: 0,
            place: Place::default(),
        }
    }

    /// New calls can go there, as of its last heartbeat.
    pub fn takes_new_calls(&self) -> bool {
        self.condition == Condition::Active && self.residual_calls != Some(0)
    }

    /// Known calls can go there.
    pub fn is_reachable(&self) -> bool {
        self.condition != Condition::Failed
    }
}

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
}

impl Snapshot {
    /// No server at all.
    pub fn empty() -> Snapshot {
        Snapshot::build(0, Vec::new(), None)
    }

    /// Builds what look-up and selection need. `previous` lends its consistent-hash table where the set of servers and
    /// their weights are the same: a change of condition does not rebuild it. Of servers with one id the first is kept.
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
        Snapshot { epoch, servers: servers.into(), ids, addresses: addresses.into(), active, consistent }
    }

    /// All servers, in the order of their ids. A position in this slice is what the tables below hold.
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

    /// Some server, in whatever condition, has this address.
    #[inline]
    pub fn is_server_ip(&self, ip: IpAddr) -> bool {
        self.addresses.binary_search(&ip.to_canonical()).is_ok()
    }

    /// Who may get what (SPEC A5).
    pub fn active(&self) -> &ActiveTable {
        &self.active
    }

    pub fn consistent(&self) -> &Consistent {
        &self.consistent
    }
}

/// Open addressing from id to position, at most a quarter full: a look-up is one or two loads, however many servers.
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
