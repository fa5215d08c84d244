//! The bounds of a table, and its present size.

use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    pub entries_max: usize,
    /// Bound on the bytes that entries report plus the entries themselves.
    pub bytes_max: usize,
}

/// All parts of a table share one room; several workers may hold these parts.
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

    /// Takes room for one entry first and gives it back if there was none, so that the bounds hold with any number of workers.
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

    /// The bytes of an entry have changed. The entry's owner must bound its growth.
    pub(super) fn account(&self, before: usize, after: usize) {
        if before != after {
            // The sum wraps in the same way as the difference.
            self.bytes.fetch_add(after.wrapping_sub(before), Relaxed);
        }
    }
}
