//! Durations in buckets that grow with them: eight buckets to each doubling, so a figure is right to an eighth.

use base::Counter;

/// Up to 2^32 microseconds, over an hour.
const BUCKETS: usize = 256;

/// One thread writes the counts, any thread may read them.
#[derive(Debug)]
pub(crate) struct Histogram {
    buckets: Vec<Counter>,
}

impl Default for Histogram {
    fn default() -> Histogram {
        Histogram { buckets: (0..BUCKETS).map(|_| Counter::default()).collect() }
    }
}

impl Histogram {
    pub(crate) fn add(&self, micros: u64) {
        self.buckets[bucket(micros)].add(1);
    }

    /// The counts, for a comparison with later counts.
    pub(crate) fn counts(&self) -> Vec<u64> {
        self.buckets.iter().map(Counter::get).collect()
    }
}

/// The duration in microseconds that `permille` of the counted durations do not exceed; `None` if there are none.
pub(crate) fn quantile(counts: &[u64], permille: u64) -> Option<u64> {
    let total: u64 = counts.iter().sum();
    let rank = (total * permille).div_ceil(1000).max(1);
    let mut seen = 0;
    let at = counts.iter().position(|count| {
        seen += count;
        seen >= rank
    });
    at.filter(|_| total > 0).map(upper)
}

fn bucket(micros: u64) -> usize {
    if micros < 8 {
        return micros as usize;
    }
    let doubling = micros.ilog2() as usize;
    let eighth = (micros >> (doubling - 3)) as usize & 7;
    ((doubling - 2) * 8 + eighth).min(BUCKETS - 1)
}

/// The largest duration of a bucket.
fn upper(bucket: usize) -> u64 {
    if bucket < 8 {
        return bucket as u64;
    }
    let (doubling, eighth) = (bucket / 8 + 2, (bucket % 8) as u64);
    ((8 + eighth + 1) << (doubling - 3)) - 1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_duration_lies_in_its_bucket_and_not_far_below_its_end() {
        for micros in (0..200_000).chain([1 << 20, 32_000_000, u64::MAX >> 33]) {
            let upper = upper(bucket(micros));
            assert!(micros <= upper && upper <= micros + micros / 8, "{micros} {upper}");
        }
        assert_eq!(bucket(u64::MAX), BUCKETS - 1);
    }

    #[test]
    fn quantiles_of_a_hundred() {
        let histogram = Histogram::default();
        assert_eq!(quantile(&histogram.counts(), 500), None);
        for micros in 1..=100 {
            histogram.add(micros * 1000);
        }
        let counts = histogram.counts();
        for (permille, expected) in [(500, 50_000), (990, 99_000), (1, 1000)] {
            let found = quantile(&counts, permille).unwrap();
            assert!(found >= expected && found <= expected + expected / 8, "{permille}: {found}");
        }
    }
}
