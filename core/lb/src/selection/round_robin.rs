//! Round robin: servers in turn, each as often as its weight says, with one counter for all workers. With equal weights the
//! turn is strict. With other weights the counter walks over the summed weights in steps of the golden section. These steps
//! visit every stretch in proportion to its length, never in bursts, and need no table, however large the weights are.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use crate::farm::active_table::{Candidate, Tier};
use crate::selection::Ask;

/// 2^64 divided by the golden ratio, made odd.
const GOLDEN_STEP: u64 = 0x9E37_79B9_7F4A_7C15;

#[derive(Debug, Default)]
pub(crate) struct RoundRobin {
    turn: AtomicU64,
}

impl RoundRobin {
    /// The next server in turn. A tier without room uses up no turn, so that the servers of the next tier come in strict turn.
    pub(crate) fn pick(&self, ask: &Ask<'_>) -> Option<u16> {
        let is_open = |candidate: &Candidate| ask.is_open(candidate);
        if !ask.all_usable() && !ask.tier.active().iter().any(is_open) {
            return None;
        }
        self.next(ask.tier, |position| ask.usable(position))
    }

    /// Position of the next server in turn that is `usable`, in a tier.
    pub(crate) fn next(&self, table: &Tier, usable: impl Fn(u16) -> bool) -> Option<u16> {
        let active = table.active();
        let turn = self.turn.fetch_add(1, Relaxed);
        let from = if table.equal_weights() {
            turn.checked_rem(active.len() as u64)? as usize
        } else {
            let sum = *table.weights().last()?;
            let point = (u128::from(turn.wrapping_mul(GOLDEN_STEP)) * u128::from(sum)) >> 64;
            table.weights().partition_point(|&below| below <= point as u64)
        };
        let in_turn = active[from..].iter().chain(&active[..from]);
        in_turn.map(|candidate| candidate.position).find(|&position| usable(position))
    }
}
