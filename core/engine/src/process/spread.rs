//! How an engine's tables spread their names, which are hashes already for the most part: two multiplications, with seeds that
//! nobody outside the farm knows.

use std::hash::{BuildHasher, Hasher};

use crate::secret::FarmSecret;

/// See the head of this module.
#[derive(Clone, Copy, Debug)]
pub(super) struct Spread([u64; 2]);

impl Spread {
    pub(super) fn of(secret: &FarmSecret) -> Spread {
        let [start, factor] = secret.seeds();
        Spread([start, factor | 1])
    }
}

impl BuildHasher for Spread {
    type Hasher = Folding;

    fn build_hasher(&self) -> Folding {
        let [state, factor] = self.0;
        Folding { state, factor }
    }
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Folding {
    state: u64,
    factor: u64,
}

impl Folding {
    /// Both halves of the product: a multiplication alone spreads nothing downwards.
    fn add(&mut self, word: u64) {
        let product = u128::from(self.state ^ word) * u128::from(self.factor);
        self.state = product as u64 ^ (product >> 64) as u64;
    }
}

impl Hasher for Folding {
    fn write(&mut self, bytes: &[u8]) {
        let (words, rest) = bytes.as_chunks();
        words.iter().for_each(|word| self.add(u64::from_le_bytes(*word)));
        if !rest.is_empty() {
            self.add(rest.iter().fold(0, |word, byte| word << 8 | u64::from(*byte)));
        }
    }

    fn write_u64(&mut self, word: u64) {
        self.add(word);
    }

    fn write_u128(&mut self, words: u128) {
        self.add(words as u64);
        self.add((words >> 64) as u64);
    }

    /// The length of a key, which is the same for all.
    fn write_usize(&mut self, _: usize) {}

    fn finish(&self) -> u64 {
        self.state
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use state::Key;

    use super::*;

    #[test]
    fn names_that_differ_in_one_bit_spread_over_both_ends_of_a_hash() {
        let spread = Spread::of(&FarmSecret::new([7; 32]));
        let names: Vec<Key> = (0..96)
            .map(|bit| {
                let mut bytes = [0x5A; 12];
                bytes[bit / 8] ^= 1 << (bit % 8);
                Key(bytes)
            })
            .collect();
        for shift in [0, 57] {
            let places: HashSet<u64> =
                names.iter().map(|name| spread.hash_one(name) >> shift & 0x7F).collect();
            // 96 balls in 128 urns: 68 urns on average, and 55 are five deviations below it.
            assert!(places.len() > 55, "{}", places.len());
        }
    }

    #[test]
    fn another_farm_spreads_otherwise() {
        let [one, other] = [1, 2].map(|byte| Spread::of(&FarmSecret::new([byte; 32])).hash_one(Key([3; 12])));
        assert_ne!(one, other);
    }
}
