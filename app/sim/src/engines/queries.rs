//! Commands of engines that the store has not answered.

use std::collections::BTreeMap;

use base::Time;
use state::Ask;

#[derive(Debug)]
pub(super) struct Query {
    pub(super) member: usize,
    /// The life of the engine that asked.
    pub(super) number: u32,
    pub(super) ask: Ask,
    pub(super) attempt: u32,
    /// Then it is given up.
    pub(super) until: Time,
}

/// See the head of this module.
#[derive(Debug, Default)]
pub(super) struct Queries {
    pub(super) open: BTreeMap<u64, Query>,
    next: u64,
    /// Commands that were given up.
    pub(super) given_up: u64,
    /// Commands that were sent again.
    pub(super) again: u64,
}

impl Queries {
    pub(super) fn add(&mut self, query: Query) -> u64 {
        self.next += 1;
        self.open.insert(self.next, query);
        self.next
    }
}
