//! What one server of the store says about the store: which primary has which partitions, and how many replicas must have a
//! write before it counts as kept.
//!
//! The **view** of a primary is the number of its replicas that may be promoted: those that the primary itself lists and
//! flags neither `fail` nor `nofailover`. Only the primary's own list counts. A primary that is cut off from the majority
//! cannot flag anybody `fail`, so its view does not shrink, and no write there counts as kept. `fail?` is the suspicion of one
//! server, and changes nothing.

mod address;
mod nodes;
mod replication;
mod slots;

pub use address::address;
pub use slots::{Partitions, slot};

/// What one server says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sight {
    pub primaries: Vec<Primary>,
    pub replicas: Vec<Replica>,
    /// The view of the server that was asked. `None`: it is no primary.
    pub view: Option<u32>,
}

/// A primary, as one server sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Primary {
    pub address: Box<str>,
    /// Of two servers that claim a partition, the one with the higher epoch has it.
    pub epoch: u64,
    pub partitions: Partitions,
}

/// A replica, as one server sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Replica {
    pub address: Box<str>,
    /// The address of its primary.
    pub primary: Box<str>,
    /// It may be promoted, so each write must be there too.
    pub in_view: bool,
}

/// The text is none that a server of the store sends; the part that is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NoSight(pub Box<str>);

impl Sight {
    /// Reads the answer to `CLUSTER NODES` of the server at `asked`.
    pub fn of_cluster(asked: &str, text: &str) -> Result<Sight, NoSight> {
        nodes::read(asked, text)
    }

    /// Reads the answer to `INFO replication` of the server at `asked`, which belongs to no cluster.
    pub fn of_replication(asked: &str, text: &str) -> Result<Sight, NoSight> {
        replication::read(asked, text)
    }

    /// A server that has no replicas and knows of no other.
    pub fn alone(address: &str) -> Sight {
        let primary = Primary { address: address.into(), epoch: 0, partitions: Partitions::ALL };
        Sight { primaries: vec![primary], replicas: Vec::new(), view: Some(0) }
    }
}

impl Sight {
    fn count(&mut self, asked: &str) {
        let is_primary = self.primaries.iter().any(|primary| &*primary.address == asked);
        let in_view = self.replicas.iter().filter(|replica| replica.in_view && &*replica.primary == asked);
        self.view = is_primary.then_some(in_view.count() as u32);
    }
}
