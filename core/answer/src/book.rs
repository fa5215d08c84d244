//! All calls of the server: a table of due times; calls are found by their names and by the searches for a server.

use std::collections::HashMap;
use std::hash::BuildHasher;

use base::{HashKey, Time};
use transaction::table::{Alarms, Bounds, Due, Next, Table};

use super::call::{Call, Phase};

/// Calls in progress and calls just ended, counted together; a call takes some 2 KiB with its INVITE.
const BOUNDS: Bounds = Bounds { entries_max: 1_000_000, bytes_max: 2 << 30 };

/// A call's slot is the keyed hash of its name, so that no caller can choose names with equal slots.
pub(super) struct Book {
    names: HashKey,
    calls: Table<Call>,
    alarms: Alarms,
    /// Calls for which a server is sought, by the number of the search.
    searches: HashMap<u64, u64>,
    /// Calls that are not over.
    live: usize,
}

impl Book {
    pub(super) fn new(names: HashKey) -> Book {
        let (calls, alarms) = (Table::new(BOUNDS), Alarms::new(0, BOUNDS.entries_max));
        Book { names, calls, alarms, searches: HashMap::new(), live: 0 }
    }

    pub(super) fn live(&self) -> usize {
        self.live
    }

    pub(super) fn is_full(&self) -> bool {
        self.calls.len() >= BOUNDS.entries_max
    }

    pub(super) fn find(&self, key: &[u8]) -> Option<u64> {
        let slot = self.names.hash_one(key);
        self.get(slot).filter(|call| *call.key == *key).map(|_| slot)
    }

    /// The call of a search; the search is then forgotten.
    pub(super) fn find_search(&mut self, search: u64) -> Option<u64> {
        self.searches.remove(&search)
    }

    pub(super) fn get(&self, slot: u64) -> Option<&Call> {
        self.calls.get(slot)
    }

    /// The caller of this function has made sure that there is no call of this name. `None`: there is no room.
    pub(super) fn insert(&mut self, now: Time, call: Call) -> Option<u64> {
        let slot = self.names.hash_one(&*call.key);
        let search = if let Phase::Sought { search, .. } = call.phase { Some(search) } else { None };
        let live = usize::from(!call.is_over());
        self.calls.insert(now, &mut self.alarms, slot, call).ok()?;
        self.searches.extend(search.map(|search| (search, slot)));
        self.live += live;
        Some(slot)
    }

    /// Changes a call and sets its alarm to its next deadline.
    pub(super) fn update<T>(
        &mut self,
        now: Time,
        slot: u64,
        change: impl FnOnce(&mut Call) -> T,
    ) -> Option<T> {
        let live = &mut self.live;
        self.calls.change(now, &mut self.alarms, slot, |call| {
            let was_live = !call.is_over();
            let result = change(call);
            *live = *live + usize::from(!call.is_over()) - usize::from(was_live);
            Next::Keep(result)
        })
    }

    pub(super) fn remove(&mut self, slot: u64) {
        let Some(call) = self.calls.remove(slot) else { return };
        self.live -= usize::from(!call.is_over());
        if let Phase::Sought { search, .. } = call.phase {
            self.searches.remove(&search);
        }
    }

    /// A call whose deadline has come. The same call comes again until it is changed.
    pub(super) fn next_due(&mut self, now: Time) -> Option<u64> {
        self.calls.next_due(now, &mut self.alarms, |slot, _| Next::Keep(Some(slot)))
    }

    /// When to ask for due calls. Perhaps none is due by then.
    pub(super) fn next_deadline(&self) -> Option<Time> {
        self.alarms.next_deadline()
    }
}

impl Due for Call {
    fn deadline(&self) -> Time {
        self.next_deadline().unwrap_or(Time::NEVER)
    }

    fn bytes(&self) -> usize {
        let remote_target = self.remote_target.as_ref().map_or(0, |target| target.len());
        let texts = [&self.key, &self.invite, &self.last, &self.own_tag].map(|text| text.len());
        texts.iter().sum::<usize>() + remote_target + self.transaction_key.text().len()
    }
}
