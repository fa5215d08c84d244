//! All calls of the server: found by key, and by what is due next.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};

use base::Time;

use super::call::{Call, Phase};

/// Calls in progress and calls just ended together. Some 600 bytes each.
const ENTRIES_MAX: usize = 1_000_000;

/// Void places in the queue are swept out when there are this many times more places than calls.
const VOID_FACTOR: usize = 4;

#[derive(Default)]
pub(super) struct Book {
    calls: Vec<Option<Call>>,
    free: Vec<u32>,
    index: HashMap<Box<[u8]>, u32>,
    due: BinaryHeap<Reverse<(Time, u32, u32)>>,
    stamp: u32,
    /// Calls that a server is sought for, by the number of the search.
    searches: HashMap<u64, u32>,
    /// Calls that are not over.
    live: usize,
}

impl Book {
    pub(super) fn live(&self) -> usize {
        self.live
    }

    pub(super) fn is_full(&self) -> bool {
        self.index.len() >= ENTRIES_MAX
    }

    pub(super) fn find(&self, key: &[u8]) -> Option<u32> {
        self.index.get(key).copied()
    }

    /// The call of a search; nobody finds it a second time.
    pub(super) fn find_search(&mut self, search: u64) -> Option<u32> {
        self.searches.remove(&search)
    }

    pub(super) fn get(&self, slot: u32) -> Option<&Call> {
        self.calls.get(slot as usize)?.as_ref()
    }

    /// The caller has made sure that there is no call of this key.
    pub(super) fn insert(&mut self, call: Call) -> u32 {
        let slot = match self.free.pop() {
            Some(slot) => slot,
            None => {
                self.calls.push(None);
                (self.calls.len() - 1) as u32
            }
        };
        self.index.insert(call.key.clone(), slot);
        self.live += usize::from(!call.is_over());
        if let Phase::Sought { search, .. } = call.phase {
            self.searches.insert(search, slot);
        }
        self.calls[slot as usize] = Some(call);
        self.update(slot, |_| ());
        slot
    }

    /// Changes a call and puts it where it is due next.
    pub(super) fn update<T>(&mut self, slot: u32, change: impl FnOnce(&mut Call) -> T) -> Option<T> {
        let call = self.calls.get_mut(slot as usize)?.as_mut()?;
        let was_live = !call.is_over();
        let result = change(call);
        self.live = self.live + usize::from(!call.is_over()) - usize::from(was_live);
        let next = call.next_deadline();
        if next != call.scheduled {
            call.scheduled = next;
            self.stamp = self.stamp.wrapping_add(1);
            call.stamp = self.stamp;
            if let Some(next) = next {
                self.due.push(Reverse((next, slot, self.stamp)));
            }
        }
        if self.due.len() > VOID_FACTOR * self.index.len() + 1024 {
            let calls = &self.calls;
            self.due.retain(|Reverse((_, slot, stamp))| is_current(calls, *slot, *stamp));
        }
        Some(result)
    }

    pub(super) fn remove(&mut self, slot: u32) {
        if let Some(call) = self.calls.get_mut(slot as usize).and_then(Option::take) {
            self.live -= usize::from(!call.is_over());
            if let Phase::Sought { search, .. } = call.phase {
                self.searches.remove(&search);
            }
            self.index.remove(&call.key);
            self.free.push(slot);
        }
    }

    /// The next call whose time has come.
    pub(super) fn pop_due(&mut self, now: Time) -> Option<u32> {
        while let Some(Reverse((at, slot, stamp))) = self.due.peek().copied() {
            if at > now {
                return None;
            }
            self.due.pop();
            if is_current(&self.calls, slot, stamp) {
                if let Some(call) = self.calls[slot as usize].as_mut() {
                    call.scheduled = None;
                }
                return Some(slot);
            }
        }
        None
    }

    /// Perhaps of a place that is void by now; then nothing is found to be due.
    pub(super) fn next_deadline(&self) -> Option<Time> {
        self.due.peek().map(|Reverse((at, _, _))| *at)
    }
}

fn is_current(calls: &[Option<Call>], slot: u32, stamp: u32) -> bool {
    calls.get(slot as usize).and_then(Option::as_ref).is_some_and(|call| call.stamp == stamp)
}
