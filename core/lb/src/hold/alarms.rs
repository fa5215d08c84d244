//! Deadlines of held requests, one queue per worker: who keeps a request is woken for it.
//!
//! A queue may hold entries that no longer count, since taking one out of a heap's middle is dear. The held request
//! knows the one that does; the others are dropped when their time comes, in at most [`HORIZON`].

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use base::{Duration, Time};

/// An alarm is set no further ahead than this and then renewed, so that what no longer counts leaves soon.
pub(super) const HORIZON: Duration = Duration::from_secs(32);

/// For a young request the alarm lies at most this far ahead: most requests are answered before. Later it lies at most the
/// request's age ahead.
pub(super) const HORIZON_MIN: Duration = Duration::from_secs(1);

/// Alarms per request that may be held at most. A request has one that counts and leaves a few behind when it changes
/// hands; above this many the next request goes through unheld.
const PER_ENTRY_MAX: usize = 4;

/// One worker's queue. Owned by its router and lent to [`super::Held`] in every call that can change a deadline.
#[derive(Debug)]
pub struct Alarms {
    worker: u8,
    max: usize,
    queue: BinaryHeap<Reverse<(Time, u64)>>,
}

impl Alarms {
    /// `entries_max`: that of [`super::Limits`].
    pub fn new(worker: u8, entries_max: usize) -> Alarms {
        Alarms { worker, max: entries_max.saturating_mul(PER_ENTRY_MAX), queue: BinaryHeap::new() }
    }

    pub(crate) fn worker(&self) -> u8 {
        self.worker
    }

    pub(crate) fn is_full(&self) -> bool {
        self.queue.len() >= self.max
    }

    pub(crate) fn set(&mut self, at: Time, slot: u64) {
        self.queue.push(Reverse((at, slot)));
    }

    /// The earliest alarm whose time has come.
    pub(crate) fn pop(&mut self, now: Time) -> Option<(Time, u64)> {
        self.queue.peek().filter(|Reverse((at, _))| *at <= now)?;
        self.queue.pop().map(|Reverse(alarm)| alarm)
    }

    pub fn next_deadline(&self) -> Option<Time> {
        self.queue.peek().map(|Reverse((at, _))| *at)
    }

    pub fn len(&self) -> usize {
        self.queue.len()
    }

    pub fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }

    pub fn bytes(&self) -> usize {
        self.queue.capacity() * size_of::<(Time, u64)>()
    }
}
