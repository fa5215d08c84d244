//! Times at which a table's entries are to be looked at: one queue per worker. The worker that armed an entry is woken for it.
//!
//! A queue may hold alarms that no longer count, since removing an alarm from the middle of a heap is expensive. The entry
//! knows the alarm that counts; the others are dropped when their time comes, within [`HORIZON`].

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use base::{Duration, Time};

/// The first alarm of an entry lies at most this far ahead: most transactions end sooner, and their alarm leaves with them.
/// Each further one may lie twice as far ahead, up to [`HORIZON`].
const HORIZON_MIN: Duration = Duration::from_secs(1);

/// An alarm lies at most this far ahead and is then renewed, so that alarms which no longer count leave soon: 64·T1, the life
/// of a transaction.
pub(super) const HORIZON: Duration = Duration::from_secs(32);

/// Most alarms per entry. An entry has one alarm that counts and leaves a few behind when it changes hands; above this number
/// the table takes no entry in.
const PER_ENTRY_MAX: usize = 4;

/// How far ahead an alarm may lie after this many alarms of its entry.
pub(super) fn horizon(armings: u8) -> Duration {
    (HORIZON_MIN * (1 << armings.min(5))).min(HORIZON)
}

/// One worker's queue. The worker owns it and lends it to the table in every call that can change a deadline.
#[derive(Debug)]
pub struct Alarms {
    worker: u8,
    max: usize,
    queue: BinaryHeap<Reverse<(Time, u64)>>,
}

impl Alarms {
    /// `entries_max`: the bound of the table.
    pub fn new(worker: u8, entries_max: usize) -> Alarms {
        Alarms { worker, max: entries_max.saturating_mul(PER_ENTRY_MAX), queue: BinaryHeap::new() }
    }

    /// The queue's worker. The table does not use it; owners whose entries record the acting worker do.
    pub fn worker(&self) -> u8 {
        self.worker
    }

    pub(super) fn is_full(&self) -> bool {
        self.queue.len() >= self.max
    }

    pub(super) fn set(&mut self, at: Time, key: u64) {
        self.queue.push(Reverse((at, key)));
    }

    /// The earliest alarm whose time has come.
    pub(super) fn pop(&mut self, now: Time) -> Option<(Time, u64)> {
        self.queue.peek().filter(|Reverse((at, _))| *at <= now)?;
        self.queue.pop().map(|Reverse(alarm)| alarm)
    }

    /// Time to ask the table for due entries. That alarm may no longer count; then no entry is due.
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
