//! Which servers a held request was taken away from, and how many it may be given to.

use crate::farm::server::ServerId;

/// Servers that one request is given to, including the first. [`super::Limits::silence`] is a quarter of timer B, so this
/// many silent servers fit into the time that the client waits (RFC 3261 §17.1.1.2).
pub const ATTEMPTS_MAX: u8 = 4;

/// The servers that a request was taken away from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tried {
    servers: [Option<ServerId>; ATTEMPTS_MAX as usize],
}

impl Tried {
    pub fn contains(&self, server: ServerId) -> bool {
        self.servers.contains(&Some(server))
    }

    pub fn iter(&self) -> impl Iterator<Item = ServerId> + '_ {
        self.servers.iter().flatten().copied()
    }

    /// The server that was given up last: the request comes from there when it is given to another.
    pub fn last(&self) -> Option<ServerId> {
        self.iter().last()
    }

    pub(super) fn add(&mut self, server: ServerId) {
        if let Some(place) = self.servers.iter_mut().find(|place| place.is_none()) {
            *place = Some(server);
        }
    }

    pub(super) fn take_last(&mut self) -> Option<ServerId> {
        self.servers.iter_mut().rev().find_map(Option::take)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.servers[0].is_none()
    }

    /// Whether the server that has the request now is the last that may get it.
    pub(super) fn is_last(&self) -> bool {
        self.iter().count() + 1 >= self.servers.len()
    }

    pub(super) fn is_full(&self) -> bool {
        self.iter().count() == self.servers.len()
    }
}
