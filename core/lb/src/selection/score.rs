//! The choice by the performance score (SPEC B2): a server is drawn with a probability in proportion to its score. A server
//! with score zero is never drawn.

use base::Chance;

use crate::selection::Ask;

/// B2: X is drawn with 0 < X ≤ ΣS, and the server with S0+…+S(j−1) < X ≤ S0+…+Sj is chosen.
pub(crate) fn pick(ask: &Ask<'_>, chance: &mut Chance) -> Option<u16> {
    let table = ask.tier;
    let sum = *table.scores().last()?;
    if sum == 0 {
        return None;
    }
    let position = table.active()[chosen(table.scores(), chance.below(sum) + 1)].position;
    if ask.all_usable() || ask.usable(position) {
        return Some(position);
    }
    // Another draw among the servers that are left: rare, so it may take a pass over all.
    let left = || {
        let score = |at: usize| table.scores()[at] - if at == 0 { 0 } else { table.scores()[at - 1] };
        let usable =
            table.active().iter().enumerate().filter(|(_, candidate)| ask.usable(candidate.position));
        usable.map(move |(at, candidate)| (candidate.position, score(at)))
    };
    let mut x = chance.below(left().map(|(_, score)| score).sum()) + 1;
    left().find_map(|(position, score)| {
        if x <= score {
            return Some(position);
        }
        x -= score;
        None
    })
}

/// Index j with `sums[j−1] < x ≤ sums[j]`. Equal sums come from a zero score: no x fits between them.
fn chosen(sums: &[u64], x: u64) -> usize {
    sums.partition_point(|&sum| sum < x)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_x_falls_on_the_server_of_its_stretch() {
        // Scores 0, 10, 0, 20, 0: the zeros are at both ends and between.
        let sums = [0, 10, 10, 30, 30];
        for x in 1..=30 {
            assert_eq!(chosen(&sums, x), if x <= 10 { 1 } else { 3 }, "x = {x}");
        }
    }
}
