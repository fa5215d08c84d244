//! What operators and metrics are told about the way to the state tier.

use super::Links;
use super::link::Role;

/// How often things happened since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    pub asked: u64,
    pub answered: u64,
    /// Not sent, because too much waited.
    pub busy: u64,
    pub out_of_reach: u64,
    /// Refused by a node.
    pub failed: u64,
    /// Sent again, because nobody knew what had become of it.
    pub repeated: u64,
    /// Pieces of commits; each has one `WAIT`.
    pub batches: u64,
    /// Pieces that too few replicas had in time.
    pub short: u64,
    /// Questions what a node sees.
    pub looks: u64,
    /// Connections that were up and went.
    pub lost: u64,
    /// How often partitions went from one node to another: a replica was promoted, or slots were moved.
    pub failovers: u64,
}

impl Counters {
    /// Name and text of each count.
    pub const DEFINITIONS: [(&'static str, &'static str); 11] = [
        ("asked", "commands for the state tier"),
        ("answered", "commands that were answered"),
        ("busy", "commands not sent, because too many waited"),
        ("out_of_reach", "commands that no node answered in time"),
        ("failed", "commands that a node refused, or that were not sent"),
        ("repeated", "commands sent again, because nobody knew what had become of them"),
        ("batches", "groups of writes that left together, each with one WAIT"),
        ("short", "groups of writes that too few replicas had in time; they are sent again"),
        ("looks", "questions to nodes who is primary and who replica"),
        ("lost", "connections to nodes that were up and went"),
        ("failovers", "times that partitions went from one node to another"),
    ];

    /// The counts, in the order of [`Counters::DEFINITIONS`].
    pub fn read(&self) -> [u64; 11] {
        [
            self.asked,
            self.answered,
            self.busy,
            self.out_of_reach,
            self.failed,
            self.repeated,
            self.batches,
            self.short,
            self.looks,
            self.lost,
            self.failovers,
        ]
    }
}

/// One node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeStatus {
    pub number: u32,
    pub address: Box<str>,
    pub is_up: bool,
    /// How many partitions are asked for here; 0: a replica, or a node without slots.
    pub partitions: usize,
    /// Replicas that must have a write before it counts as kept. `None`: a replica, or nobody knows yet.
    pub view: Option<u32>,
    /// All replicas that the node names.
    pub replicas: usize,
    /// Replicas of the view that do not follow the node, or do so under another address than it names. Commits wait for them.
    pub missing: usize,
    /// Questions that wait for this node.
    pub waiting: usize,
}

/// The way to the state tier as a whole.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Status {
    pub nodes: Vec<NodeStatus>,
    /// Partitions that nobody can be asked for now.
    pub unreachable: usize,
    /// Questions without an answer.
    pub waiting: usize,
    pub waiting_bytes: usize,
    pub counters: Counters,
}

impl Links {
    pub fn status(&self) -> Status {
        let nodes = self.nodes.iter().map(|(number, node)| NodeStatus {
            number: *number,
            address: node.address.clone(),
            is_up: node.connection(Role::Reader).is_up(),
            partitions: node.owned,
            view: node.view,
            replicas: node.replicas.all,
            missing: node.replicas.missing,
            waiting: node.commits.len() + node.others.len(),
        });
        let is_ready = |owner: &Option<u32>| {
            owner.and_then(|number| self.nodes.get(&number)).is_some_and(|node| node.is_ready())
        };
        Status {
            nodes: nodes.collect(),
            unreachable: self.owners.iter().filter(|owner| !is_ready(owner)).count(),
            waiting: self.asks.len(),
            waiting_bytes: self.asks.bytes(),
            counters: self.counters,
        }
    }
}
