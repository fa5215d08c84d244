//! Which entries of a table are to be looked at when: one queue per worker, whoever armed an entry is woken for it.
//!
//! A queue may hold alarms that no longer count, since taking one out of a heap's middle is dear. The entry knows the one that
//! counts; the others are dropped when their time comes, in at most [`HORIZON`].

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use base::{Duration, Time};

/// The first alarm of an entry lies at most this far ahead: most transactions end sooner, and their alarm leaves with them.
/// Each further one may lie twice as far ahead, up to [`HORIZON`].
const HORIZON_MIN: Duration = Duration::from_secs(1);

/// An alarm is set no further ahead than this and then renewed, so that what no longer counts leaves soon: 64·T1, as long as
/// a transaction lasts.
pub(super) const HORIZON: Duration = Duration::from_secs(32);

/// Alarms per entry that may be held at most. An entry has one that counts and leaves a few behind when it changes hands; above
/// this many the table takes nothing in.
const PER_ENTRY_MAX: usize = 4;

/// How far ahead an alarm may lie that is set after so many others of its entry.
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
    /// `entries_max`: that of the table.
    pub fn new(worker: u8, entries_max: usize) -> Alarms {
        Alarms { worker, max: entries_max.saturating_mul(PER_ENTRY_MAX), queue: BinaryHeap::new() }
    }

    /// Whose queue it is: nothing to the table, but to owners of entries that tell who acted.
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

    /// When to ask the table what is due. Perhaps of an alarm that no longer counts; then nothing is.
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
