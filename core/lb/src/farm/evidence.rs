//! What workers saw of the servers, in counters that only grow: the server table reads them at its tick and passes the
//! differences to [`crate::farm::health`].

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// Evidence of one server by one worker. Each cell has one writer, so plain loads and stores do.
#[derive(Debug, Default)]
struct Cell {
    sent: AtomicU64,
    answered: AtomicU64,
    unreachable: AtomicU64,
    returned: AtomicU64,
    failed: AtomicU64,
    setups_taken: AtomicU64,
    setups_failed: AtomicU64,
}

/// What workers saw of the servers: counters that only grow, by worker and slot ([`crate::farm::server::Seat`]). Each worker
/// writes its own part; the server table reads all at its tick.
#[derive(Debug)]
pub struct Evidence {
    cells: Box<[Cell]>,
    slots: usize,
}

/// Sums over all workers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    pub sent: u64,
    pub answered: u64,
    pub unreachable: u64,
    /// Of the unreachable, those that were datagrams: only the network says so.
    pub returned: u64,
    /// Time-outs, 5xx, and requests within a dialog that the server no longer knew.
    pub failed: u64,
    /// Set-ups of calls that the server handled, even if the callee refused; each call once.
    pub setups_taken: u64,
    /// Set-ups that the server failed: 500, 502, 503, 504, or nothing at all.
    pub setups_failed: u64,
}

impl Totals {
    /// All failures: requests that could not be sent, and requests that failed.
    pub fn failures(&self) -> u64 {
        self.failed + self.unreachable
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

    /// A response from the server passed.
    #[inline]
    pub fn answered(&self, worker: u8, slot: u16) {
        self.bump(worker, slot, |cell| &cell.answered);
    }

    /// A send to the server failed.
    #[inline]
    pub fn unreachable(&self, worker: u8, slot: u16) {
        self.bump(worker, slot, |cell| &cell.unreachable);
    }

    /// The network says that a datagram to the server did not arrive. Counts as [`Evidence::unreachable`], too.
    pub fn returned(&self, worker: u8, slot: u16) {
        self.unreachable(worker, slot);
        self.bump(worker, slot, |cell| &cell.returned);
    }

    /// A request failed through the server's fault: a time-out, a 5xx, a call that the server lost.
    #[inline]
    pub fn failed(&self, worker: u8, slot: u16) {
        self.bump(worker, slot, |cell| &cell.failed);
    }

    /// The server handled the set-up of a call.
    #[inline]
    pub fn setup_taken(&self, worker: u8, slot: u16) {
        self.bump(worker, slot, |cell| &cell.setups_taken);
    }

    /// The set-up of a call failed through the server's fault.
    #[inline]
    pub fn setup_failed(&self, worker: u8, slot: u16) {
        self.bump(worker, slot, |cell| &cell.setups_failed);
    }

    fn bump(&self, worker: u8, slot: u16, counter: impl Fn(&Cell) -> &AtomicU64) {
        if usize::from(slot) < self.slots
            && let Some(cell) = self.cells.get(usize::from(worker) * self.slots + usize::from(slot))
        {
            let counter = counter(cell);
            counter.store(counter.load(Relaxed) + 1, Relaxed);
        }
    }

    pub fn totals(&self, slot: u16) -> Totals {
        let mut totals = Totals::default();
        for cell in self.cells.iter().skip(usize::from(slot)).step_by(self.slots.max(1)) {
            totals.sent += cell.sent.load(Relaxed);
            totals.answered += cell.answered.load(Relaxed);
            totals.unreachable += cell.unreachable.load(Relaxed);
            totals.returned += cell.returned.load(Relaxed);
            totals.failed += cell.failed.load(Relaxed);
            totals.setups_taken += cell.setups_taken.load(Relaxed);
            totals.setups_failed += cell.setups_failed.load(Relaxed);
        }
        totals
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_go_on_beyond_32_bits() {
        let evidence = Evidence::new(2, 3);
        evidence.cells[1].sent.store(u64::from(u32::MAX), Relaxed);
        evidence.sent(0, 1);
        evidence.sent(1, 1);
        assert_eq!(evidence.totals(1), Totals { sent: (1 << 32) + 1, ..Totals::default() });
    }
}
