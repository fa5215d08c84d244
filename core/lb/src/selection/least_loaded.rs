//! Least loaded: the server that told the smallest load in its last heartbeat, corrected by what it was given since. Loads
//! that differ by less than a measurement does are equal, and equals share by chance and weight, so that the calls of one
//! heartbeat period do not all fall on one server. Where nobody tells a load it is round robin.

use base::Chance;

use crate::farm::active_table::Candidate;
use crate::selection::Ask;
use crate::selection::round_robin::RoundRobin;

/// Loads this close are equal: CPU use sampled once a second varies by some percent at constant load.
const EQUAL_PPM: u64 = 20_000;

pub(crate) fn pick(ask: &Ask<'_>, round_robin: &RoundRobin, chance: &mut Chance) -> Option<u16> {
    let table = ask.snapshot.active();
    if !table.loads_known() {
        return round_robin.pick(ask);
    }
    let load = |candidate: &Candidate| {
        let since = ask.admitted.since(candidate.slot, candidate.admitted_before);
        u64::from(candidate.load_ppm) + u64::from(since) * u64::from(candidate.call_load_ppm)
    };
    let compared = ask.compared(chance.next_u64());
    let bound = compared.clone().map(load).min()? + EQUAL_PPM;
    let equals = compared.filter(|candidate| load(candidate) <= bound);
    let weight = |candidate: &Candidate| u64::from(candidate.weight);
    let mut x = chance.below(equals.clone().map(weight).sum());
    // A load may have grown since it was summed; then whoever is last takes the call.
    let mut chosen = None;
    for candidate in equals {
        chosen = Some(candidate.position);
        if x < weight(candidate) {
            break;
        }
        x -= weight(candidate);
    }
    chosen
}
