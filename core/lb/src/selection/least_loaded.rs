//! Least loaded: the server with the smallest load in its last heartbeat, corrected by the calls given to it since. Loads
//! that differ by less than two measurements do are equal; equal servers share by chance and weight, so that the calls of one
//! heartbeat period do not all fall on one server. If no server tells a load, this is round robin.

use base::Chance;

use crate::farm::active_table::Candidate;
use crate::selection::Ask;
use crate::selection::round_robin::RoundRobin;

/// Loads this close are equal: at constant load, CPU use sampled once a second varies by some percent.
const EQUAL_PPM: u64 = 20_000;

pub(crate) fn pick(ask: &Ask<'_>, round_robin: &RoundRobin, chance: &mut Chance) -> Option<u16> {
    let table = ask.tier;
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
    // A load may have grown since the sum was made; then the last server takes the call.
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
