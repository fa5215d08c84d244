//! One node of the state tier: its connections, what it says of itself, and what waits for it.

use std::collections::VecDeque;

use base::Time;

use super::batch::Replicas;
use super::connection::Connection;
use super::kept::Id;
use super::link::Role;
use crate::view::{Partitions, Sight};

#[derive(Debug)]
pub(super) struct Node {
    pub(super) address: Box<str>,
    /// The operator named it; it is never forgotten.
    pub(super) is_given: bool,
    /// Nobody names it any longer: its connections are closed, and then it is gone.
    pub(super) is_forgotten: bool,
    connections: [Connection; 3],
    /// How often a connection has come or gone.
    pub(super) changes: u64,
    /// Changes when the node is started anew.
    pub(super) life: u64,
    /// The partitions that it says it has, and the epoch of this claim.
    pub(super) claim: (Partitions, u64),
    /// It has said so since its reader is up.
    pub(super) is_looked_at: bool,
    /// How many replicas must have a write. `None`: nobody knows since a connection came or went.
    pub(super) view: Option<u32>,
    pub(super) replicas: Replicas,
    /// All nodes that it names.
    pub(super) names: Vec<Box<str>>,
    /// How many partitions are asked for here.
    pub(super) owned: usize,
    pub(super) look_at: Time,
    pub(super) is_looking: bool,
    pub(super) time_at: Time,
    pub(super) commits: VecDeque<Id>,
    pub(super) others: VecDeque<Id>,
    second_is_next: bool,
}

impl Node {
    pub(super) fn new(address: Box<str>, is_given: bool) -> Node {
        Node {
            address,
            is_given,
            is_forgotten: false,
            connections: Default::default(),
            changes: 0,
            life: 0,
            claim: (Partitions::default(), 0),
            is_looked_at: false,
            view: None,
            replicas: Replicas::default(),
            names: Vec::new(),
            owned: 0,
            look_at: Time::ZERO,
            is_looking: false,
            time_at: Time::ZERO,
            commits: VecDeque::new(),
            others: VecDeque::new(),
            second_is_next: false,
        }
    }

    pub(super) fn connection(&self, role: Role) -> &Connection {
        &self.connections[role as usize]
    }

    pub(super) fn connection_mut(&mut self, role: Role) -> &mut Connection {
        &mut self.connections[role as usize]
    }

    /// A connection came or went: what was known about its replicas may be of another life.
    pub(super) fn changed(&mut self, role: Role) {
        self.changes += 1;
        self.doubt();
        if role == Role::Reader {
            self.is_looked_at = false;
            self.is_looking = false;
            self.time_at = Time::ZERO;
        }
    }

    /// Its view is not believed until it was asked once more.
    pub(super) fn doubt(&mut self) {
        self.view = None;
        self.look_at = Time::ZERO;
    }

    /// The node says something that was asked when its connections had changed so often.
    pub(super) fn says(&mut self, changes: u64, sight: Sight) {
        let own = sight.primaries.iter().find(|primary| primary.address == self.address);
        self.claim = own.map_or((Partitions::default(), 0), |own| (own.partitions, own.epoch));
        self.is_looked_at = true;
        match changes == self.changes {
            true => self.view = sight.view,
            false => self.doubt(),
        }
        let own = || sight.replicas.iter().filter(|replica| replica.primary == self.address);
        let in_view = own().filter(|replica| replica.in_view).map(|replica| replica.address.clone());
        self.replicas.in_view = in_view.collect();
        self.replicas.all = own().count();
        let replicas = sight.replicas.into_iter().map(|replica| replica.address);
        self.names = sight.primaries.into_iter().map(|primary| primary.address).chain(replicas).collect();
    }

    /// Whether its claims count now.
    pub(super) fn may_own(&self) -> bool {
        self.is_looked_at && self.connection(Role::Reader).is_up()
    }

    /// Whether it takes everything that is asked of it.
    pub(super) fn is_ready(&self) -> bool {
        self.may_own() && self.view.is_some()
    }

    /// The next writer that has nothing to do.
    pub(super) fn free_writer(&mut self) -> Option<Role> {
        let [first, second] = Role::WRITERS;
        let order = if self.second_is_next { [second, first] } else { [first, second] };
        let is_free = |role: &Role| {
            let connection = self.connection(*role);
            connection.is_up() && connection.owes() == 0 && connection.batch.ids.is_empty()
        };
        let free = order.into_iter().find(is_free)?;
        self.second_is_next = free == first;
        Some(free)
    }

    pub(super) fn is_wanted(&self, role: Role) -> bool {
        !self.is_forgotten && (role == Role::Reader || self.owned > 0)
    }
}
