//! Servers of a state tier that are no longer at the address that messages of their calls name: the server has moved, or its row
//! was taken out. The others of the tier go on with these calls all the same.

use base::Time;

use crate::farm::server::ServerId;

/// How many are remembered; of more, the earliest are forgotten. Servers of a farm that gives each a new address at each start
/// come to this many in a rolling upgrade of 64.
const DEPARTED_MAX: usize = 64;

/// One of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Departed {
    /// By the address that it had.
    pub id: ServerId,
    pub state_tier: u64,
    /// Since when it has been gone from there. `None`: an operator took it out, and it may well live.
    pub gone_since: Option<Time>,
}

/// All that are remembered, the latest last.
#[derive(Clone, Debug, Default)]
pub struct DepartedServers(Vec<Departed>);

impl DepartedServers {
    pub(crate) fn note(&mut self, departed: Departed) {
        self.is_there(departed.id);
        if self.0.len() == DEPARTED_MAX {
            self.0.remove(0);
        }
        self.0.push(departed);
    }

    /// A server is at this address again.
    pub(crate) fn is_there(&mut self, id: ServerId) {
        self.0.retain(|departed| departed.id != id);
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn find(&self, id: ServerId) -> Option<&Departed> {
        self.0.iter().find(|departed| departed.id == id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_latest_are_remembered_each_once() {
        let departed = |id, state_tier| Departed { id: ServerId(id), state_tier, gone_since: None };
        let mut all = DepartedServers::default();
        for id in 0..100 {
            all.note(departed(id, 1));
            all.note(departed(id, 2));
        }
        assert_eq!((all.0.len(), all.find(ServerId(35))), (DEPARTED_MAX, None));
        assert_eq!(all.find(ServerId(36)), Some(&departed(36, 2)));
        all.is_there(ServerId(36));
        assert_eq!((all.0.len(), all.find(ServerId(36))), (DEPARTED_MAX - 1, None));
    }
}
