//! Chance for cores: numbers from a key that the edge gives. Each number is SipHash-2-4 of how many were drawn before.
//! Without the key, nobody can guess an earlier or later number, whatever numbers he has seen.

use std::hash::{BuildHasher, Hasher as _};

use siphasher::sip::SipHasher24;

/// Pseudo-random numbers, the same on every machine. The same key gives the same run.
#[derive(Clone)]
pub struct Chance {
    key: (u64, u64),
    drawn: u64,
}

impl Chance {
    /// Nobody can guess these numbers without the key: the product uses this, with a key from the system.
    pub fn keyed(key: [u8; 16]) -> Chance {
        let (left, right) = key.split_at(8);
        let half = |bytes: &[u8]| bytes.iter().fold(0, |all, byte| all << 8 | u64::from(*byte));
        Chance { key: (half(left), half(right)), drawn: 0 }
    }

    /// For runs that somebody wants to repeat by a small number: simulations, tests, measurements. Anybody can find the next
    /// number by trying all seeds, so the product does not use this.
    pub const fn seeded(seed: u64) -> Chance {
        Chance { key: (seed, 0), drawn: 0 }
    }

    /// Another generator, whose numbers tell nothing about this one's: for a part that goes its own way.
    pub fn fork(&mut self) -> Chance {
        Chance { key: (self.next_u64(), self.next_u64()), drawn: 0 }
    }

    /// A hash that nobody can predict, even if he has seen other hashes by it.
    pub fn hash_key(&mut self) -> HashKey {
        HashKey(self.next_u64(), self.next_u64())
    }

    pub fn next_u64(&mut self) -> u64 {
        let mut hasher = SipHasher24::new_with_keys(self.key.0, self.key.1);
        hasher.write(&self.drawn.to_le_bytes());
        self.drawn = self.drawn.wrapping_add(1);
        hasher.finish()
    }

    /// A number below `bound`, without bias that matters (multiply-shift). Zero when `bound` is zero.
    pub fn below(&mut self, bound: u64) -> u64 {
        ((u128::from(self.next_u64()) * u128::from(bound)) >> 64) as u64
    }

    /// True with a probability of `permille` / 1000.
    pub fn permille(&mut self, permille: u32) -> bool {
        self.below(1000) < u64::from(permille)
    }
}

/// Hides the key, so that no log shows it.
impl std::fmt::Debug for Chance {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Chance").field("drawn", &self.drawn).finish_non_exhaustive()
    }
}

/// Key of a hash (SipHash-2-4), for values that must be the same for the same input and that nobody may guess, such as a
/// tag.
#[derive(Clone)]
pub struct HashKey(u64, u64);

impl BuildHasher for HashKey {
    type Hasher = SipHasher24;

    fn build_hasher(&self) -> SipHasher24 {
        SipHasher24::new_with_keys(self.0, self.1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_those_of_the_key_and_of_nobody_else() {
        let key = [0x0f; 16];
        let numbers = |mut chance: Chance| [(); 4].map(|()| chance.next_u64());
        assert_eq!(numbers(Chance::keyed(key)), numbers(Chance::keyed(key)));
        for byte in 0..16 {
            let mut other = key;
            other[byte] ^= 1;
            assert_ne!(numbers(Chance::keyed(other)), numbers(Chance::keyed(key)), "byte {byte} counts");
        }
        assert_ne!(numbers(Chance::seeded(1)), numbers(Chance::seeded(2)));
    }

    /// The number that SplitMix64, a generator without a key, gives after a number.
    fn next_of_splitmix(number: u64) -> u64 {
        let inverse = |factor: u64| {
            (0..6).fold(factor, |x, _| x.wrapping_mul(2u64.wrapping_sub(factor.wrapping_mul(x))))
        };
        let unshift = |z: u64, by: u32| (0..64 / by).fold(z, |x, _| z ^ (x >> by));
        let mut state = unshift(number, 31).wrapping_mul(inverse(0x94D0_49BB_1331_11EB));
        state = unshift(state, 27).wrapping_mul(inverse(0xBF58_476D_1CE4_E5B9));
        state = unshift(state, 30).wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = (state ^ (state >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    #[test]
    fn one_number_does_not_give_the_next() {
        assert_eq!(next_of_splitmix(0xE220_A839_7B1D_CDAF), 0x6E78_9E6A_A1B9_65F4, "as published, of seed 0");
        let mut chance = Chance::seeded(42);
        let (first, second) = (chance.next_u64(), chance.next_u64());
        assert_ne!(next_of_splitmix(first), second);
    }

    #[test]
    fn a_fork_goes_its_own_way() {
        let mut chance = Chance::seeded(1);
        let mut fork = chance.fork();
        assert_ne!(fork.next_u64(), chance.next_u64());
        assert_eq!(Chance::seeded(1).fork().next_u64(), Chance::seeded(1).fork().next_u64());
    }

    #[test]
    fn a_hash_is_that_of_its_key() {
        let key = Chance::seeded(1).hash_key();
        assert_eq!(key.hash_one("call"), key.hash_one("call"));
        assert_ne!(key.hash_one("call"), Chance::seeded(2).hash_key().hash_one("call"));
    }

    #[test]
    fn every_number_below_the_bound_comes_up_alike() {
        let (mut chance, mut seen) = (Chance::seeded(3), [0u32; 7]);
        (0..70_000).for_each(|_| seen[chance.below(7) as usize] += 1);
        assert!(seen.iter().all(|count| (9_500..10_500).contains(count)), "{seen:?}");
        assert_eq!(chance.below(0), 0);
    }

    #[test]
    fn nothing_of_the_key_is_printed() {
        assert_eq!(format!("{:?}", Chance::seeded(0xABCD)), "Chance { drawn: 0, .. }");
    }
}
