//! Weighted consistent hash: a table of positions in the manner of Maglev, which every load manager that knows the same
//! servers fills alike. Each server has its share to within a few entries; a look-up is one load. The table is made of all
//! servers, failed ones included, and a call whose server has failed tries again with a hash of its own. So the death of a
//! server moves only its own calls and spreads them over all other servers, and its return brings exactly these calls back.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use crate::farm::server::ServerId;

/// Entries of the table; prime, so that every stride visits all of them. With 1,000 servers each has 65 or 66.
const SIZE: usize = 65_537;
/// Hashes tried for a call before the caller goes through the servers in a row: with half of the servers failed, one call
/// in 65,536 comes that far.
const TRIES: u32 = 16;
/// Distance between the turns of a server of weight 1; weights reach 1000.
const TURN: u64 = 1_000_000;

/// See the head of this module.
#[derive(Debug)]
pub struct Consistent {
    table: Box<[u16]>,
    members: Box<[(ServerId, u32)]>,
}

impl Consistent {
    /// `members`: id and weight, in the order of the ids. Positions in the table are positions in this order.
    pub(crate) fn build(members: impl Iterator<Item = (ServerId, u32)>) -> Consistent {
        let members: Box<[(ServerId, u32)]> = members.collect();
        Consistent { table: fill(&members), members }
    }

    pub(crate) fn is_of(&self, members: impl Iterator<Item = (ServerId, u32)>) -> bool {
        self.members.iter().copied().eq(members)
    }

    /// Positions to try for a call, the best first; at most [`TRIES`], with repetitions. Empty without servers.
    pub fn walk(&self, hash: u64) -> impl Iterator<Item = u16> + '_ {
        (0..TRIES).map_while(move |attempt| {
            let hash = if attempt == 0 { hash } else { mix(hash.wrapping_add(u64::from(attempt))) };
            self.table.get((((hash >> 32) * SIZE as u64) >> 32) as usize).copied()
        })
    }
}

/// Servers take entries in turn, each in the order of its own permutation. The n-th turn of a server of weight w is due at
/// n/w; of turns due together, the server with the smaller id comes first.
fn fill(members: &[(ServerId, u32)]) -> Box<[u16]> {
    const FREE: u16 = u16::MAX;
    if members.is_empty() {
        return Box::default();
    }
    let mut table = vec![FREE; SIZE].into_boxed_slice();
    let mut takers: Vec<Taker> = members.iter().map(|&(id, weight)| Taker::new(id, weight)).collect();
    let mut turns: BinaryHeap<Reverse<(u64, u16)>> =
        (0u16..).take(takers.len()).map(|position| Reverse((0, position))).collect();
    for _ in 0..SIZE {
        // Never empty: each turn that is taken is put back as the next turn.
        let Some(Reverse((_, position))) = turns.pop() else { break };
        let taker = &mut takers[usize::from(position)];
        while table[taker.at] != FREE {
            taker.at = (taker.at + taker.stride) % SIZE;
        }
        table[taker.at] = position;
        taker.turns += 1;
        turns.push(Reverse((taker.turns * TURN / taker.weight, position)));
    }
    table
}

struct Taker {
    at: usize,
    stride: usize,
    turns: u64,
    weight: u64,
}

impl Taker {
    fn new(id: ServerId, weight: u32) -> Taker {
        let hash = mix(u64::from(id.0));
        Taker {
            at: (hash >> 32) as usize % SIZE,
            stride: hash as u32 as usize % (SIZE - 1) + 1,
            turns: 0,
            weight: u64::from(weight.max(1)),
        }
    }
}

/// Finalizer of SplitMix64: a fixed bijection, the same on every machine.
pub(crate) fn mix(value: u64) -> u64 {
    let mut z = value.wrapping_add(0x9E37_79B9_7F4A_7C15);
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}
