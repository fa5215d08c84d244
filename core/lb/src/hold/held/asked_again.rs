//! Requests of servers of a state tier: if one fails, another asks the client the same with the same branch. The held request,
//! and with it the response, is then of the server that asked last.

use base::Time;

use super::{Held, slot};
use crate::farm::server::ServerId;
use crate::hold::entry::Entry;
use crate::hold::{Alarms, Asker, Class, Kept, NotKept};

impl Held {
    /// A copy of a held request to a client has come from `asker`, which may be another server of the tier than the holder:
    /// `kept` is its copy.
    pub fn asked_again(
        &self,
        now: Time,
        alarms: &mut Alarms,
        key: u64,
        (kept, asker): (&Kept<'_>, Asker),
        one_tier: impl FnOnce(ServerId) -> bool,
    ) {
        let slot = slot(key, kept.class);
        let mut shard = self.table.lock(slot);
        let is_of_another = |entry: &Entry| {
            entry.class == kept.class
                && entry.to_client.is_some()
                && entry.server.is_some_and(|holder| holder != asker.server && one_tier(holder))
        };
        if !shard.get(slot).is_some_and(is_of_another) {
            return;
        }
        // Taken out and put in again, so that the bounds hold although the entry may grow.
        let Some(entry) = shard.remove(slot) else { return };
        if shard.insert(now, alarms, slot, entry.asked_again(kept, asker)) == Err(NotKept::Full) {
            self.counters.full.add();
        }
    }

    /// The server that asked last, if it is another than the one that asked first.
    pub fn asker(&self, key: u64, class: Class) -> Option<Asker> {
        let slot = slot(key, class);
        let shard = self.table.lock(slot);
        let entry = shard.get(slot).filter(|entry| entry.class == class)?;
        entry.to_client.as_ref()?.asker.clone()
    }
}
