//! How much a table may hold, and how much it holds.

use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    pub entries_max: usize,
    /// Of the bytes that entries say they have, and of the entries themselves.
    pub bytes_max: usize,
}

/// One for all parts of a table, which may be in the hands of several workers.
#[derive(Debug)]
pub(super) struct Room {
    pub(super) bounds: Bounds,
    entries: AtomicUsize,
    bytes: AtomicUsize,
}

impl Room {
    pub(super) fn new(bounds: Bounds) -> Room {
        Room { bounds, entries: AtomicUsize::new(0), bytes: AtomicUsize::new(0) }
    }

    pub(super) fn entries(&self) -> usize {
        self.entries.load(Relaxed)
    }

    pub(super) fn bytes(&self) -> usize {
        self.bytes.load(Relaxed)
    }

    /// Room for one entry is taken first and given back if there was none, so that the bounds hold with any number of workers.
    pub(super) fn take(&self, bytes: usize) -> bool {
        let entries = self.entries.fetch_add(1, Relaxed) + 1;
        let total = self.bytes.fetch_add(bytes, Relaxed) + bytes;
        let fits = entries <= self.bounds.entries_max && total <= self.bounds.bytes_max;
        if !fits {
            self.give(bytes);
        }
        fits
    }

    pub(super) fn give(&self, bytes: usize) {
        self.entries.fetch_sub(1, Relaxed);
        self.bytes.fetch_sub(bytes, Relaxed);
    }

    /// The bytes of an entry have changed. Its owner sees to it that what grows has an end.
    pub(super) fn account(&self, before: usize, after: usize) {
        if before != after {
            // The sum wraps as the difference does.
            self.bytes.fetch_add(after.wrapping_sub(before), Relaxed);
        }
    }
}
