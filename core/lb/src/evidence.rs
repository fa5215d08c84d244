//! What workers saw of the servers, left in counters that only grow: the server table reads them at its tick and hands the
//! differences to [`crate::health`].

use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

/// Evidence of one server by one worker. One writer each, so plain loads and stores do.
#[derive(Debug, Default)]
struct Cell {
    sent: AtomicU32,
    answered: AtomicU32,
    unreachable: AtomicU32,
    failed: AtomicU32,
}

/// What workers saw of the servers: counters that only grow, by worker and slot ([`crate::snapshot::Place`]). Each worker
/// writes its own part; the server table reads all at its tick.
#[derive(Debug)]
pub struct Evidence {
    cells: Box<[Cell]>,
    slots: usize,
}

/// Sums over all workers, modulo 2^32.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    pub sent: u32,
    pub answered: u32,
    pub unreachable: u32,
    /// Time-outs, 5xx, and requests within a dialog that it did not know any more.
    pub failed: u32,
}

impl Totals {
    /// Everything that went wrong: what could not be sent, and what came to nothing.
    pub fn failures(&self) -> u32 {
        self.failed.wrapping_add(self.unreachable)
    }
}

impl Evidence {
    pub fn new(workers: usize, slots: usize) -> Evidence {
        Evidence { cells: (0..workers * slots).map(|_| Cell::default()).collect(), slots }
    }

    /// A request that asks for a response (not ACK) was forwarded.
    #[inline]
    pub fn sent(&self, worker: u8, slot: u16) {
        self.bump(worker, slot, |cell| &cell.sent);
    }

    /// A response of the server passed.
    #[inline]
    pub fn answered(&self, worker: u8, slot: u16) {
        self.bump(worker, slot, |cell| &cell.answered);
    }

    /// A send to the server failed.
    #[inline]
    pub fn unreachable(&self, worker: u8, slot: u16) {
        self.bump(worker, slot, |cell| &cell.unreachable);
    }

    /// A request came to nothing through the server's fault: a time-out, 5xx, a call that it lost.
    #[inline]
    pub fn failed(&self, worker: u8, slot: u16) {
        self.bump(worker, slot, |cell| &cell.failed);
    }

    fn bump(&self, worker: u8, slot: u16, counter: impl Fn(&Cell) -> &AtomicU32) {
        if usize::from(slot) < self.slots
            && let Some(cell) = self.cells.get(usize::from(worker) * self.slots + usize::from(slot))
        {
            let counter = counter(cell);
            counter.store(counter.load(Relaxed).wrapping_add(1), Relaxed);
        }
    }

    pub fn totals(&self, slot: u16) -> Totals {
        let mut totals = Totals::default();
        for cell in self.cells.iter().skip(usize::from(slot)).step_by(self.slots.max(1)) {
            totals.sent = totals.sent.wrapping_add(cell.sent.load(Relaxed));
            totals.answered = totals.answered.wrapping_add(cell.answered.load(Relaxed));
            totals.unreachable = totals.unreachable.wrapping_add(cell.unreachable.load(Relaxed));
            totals.failed = totals.failed.wrapping_add(cell.failed.load(Relaxed));
        }
        totals
    }
}
