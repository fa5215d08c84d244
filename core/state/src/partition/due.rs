//! When each record is looked at next.

use std::collections::{BTreeSet, HashMap};

use crate::command::{Due, Millis};
use crate::key::Key;

use super::records::Spread;

#[derive(Debug, Default)]
pub(super) struct Wakeups {
    in_order: BTreeSet<(Millis, Key)>,
    of: HashMap<Key, Millis, Spread>,
}

impl Wakeups {
    pub(super) fn set(&mut self, key: Key, at: Millis) {
        self.remove(key);
        self.of.insert(key, at);
        self.in_order.insert((at, key));
    }

    pub(super) fn no_later_than(&mut self, key: Key, at: Millis) {
        if self.of.get(&key).is_none_or(|present| at < *present) {
            self.set(key, at);
        }
    }

    pub(super) fn remove(&mut self, key: Key) {
        if let Some(at) = self.of.remove(&key) {
            self.in_order.remove(&(at, key));
        }
    }

    /// The keys whose time has come; each moves on by the lease.
    pub(super) fn take(&mut self, due: &Due) -> Vec<Key> {
        let come = self.in_order.iter().take_while(|(at, _)| *at <= due.now).take(due.limit as usize);
        let taken: Vec<Key> = come.map(|(_, key)| *key).collect();
        taken.iter().for_each(|key| self.set(*key, due.now.saturating_add(due.lease)));
        taken
    }

    /// The keys that wake after one time, and no later than another: at most `limit`, and those that wake with the last. And where
    /// to go on.
    pub(super) fn between(&self, after: Millis, until: Millis, limit: u32) -> (Vec<Key>, Option<Millis>) {
        let Some(from) = after.checked_add(1) else { return (Vec::new(), None) };
        let mut keys = Vec::new();
        let mut last = None;
        for (at, key) in self.in_order.range((from, Key([0; 12]))..).take_while(|(at, _)| *at <= until) {
            if keys.len() >= limit as usize && last != Some(*at) {
                return (keys, last);
            }
            keys.push(*key);
            last = Some(*at);
        }
        (keys, None)
    }
}
