//! Shortest queue, one policy with three names: `cjsq` counts calls in progress, `tjsq` transactions, `tlwl` transactions by
//! weight. The ledger decides what is counted; the choice is the same: the smallest of (amount in progress plus one) per
//! weight. Ties are decided by chance, never for the first.

use base::Chance;

use crate::farm::active_table::Candidate;
use crate::memory::ledger::{Ledger, ONE};
use crate::selection::Ask;

/// Numerator of a weight's reciprocal: weights reach 1000, so this keeps three digits for the heaviest.
const PER_WEIGHT: u64 = 1_000_000;

pub(crate) fn pick(ask: &Ask<'_>, ledger: &Ledger, chance: &mut Chance) -> Option<u16> {
    let queue = |candidate: &&Candidate| u64::from(ledger.count(candidate.slot)) + u64::from(ONE);
    // The comparison begins at a random seat, and of equal servers the first is taken.
    let compared = ask.compared(chance.next_u64());
    let least = if ask.tier.equal_weights() {
        compared.min_by_key(queue)
    } else {
        compared.min_by_key(|candidate| queue(candidate) * (PER_WEIGHT / u64::from(candidate.weight.max(1))))
    };
    least.map(|candidate| candidate.position)
}
