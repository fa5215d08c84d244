//! Times in nanoseconds in buckets of at most 1/32 relative width, so that percentiles of millions of messages cost a
//! few kilobytes.

/// Sub-buckets of each power of two.
const STEPS: u32 = 32;

#[derive(Clone, Debug)]
pub(crate) struct Histogram {
    buckets: Vec<u64>,
    count: u64,
}

impl Histogram {
    pub(crate) fn new() -> Histogram {
        Histogram { buckets: vec![0; (65 * STEPS) as usize], count: 0 }
    }

    pub(crate) fn record(&mut self, nanos: u64) {
        self.buckets[bucket(nanos)] += 1;
        self.count += 1;
    }

    pub(crate) fn clear(&mut self) {
        self.buckets.fill(0);
        self.count = 0;
    }

    /// The lower bound of the bucket that holds the given share of all times, 0 … 1; zero if nothing was recorded.
    pub(crate) fn quantile(&self, share: f64) -> u64 {
        let rank = (share * self.count as f64).ceil() as u64;
        let mut seen = 0;
        for (index, count) in self.buckets.iter().enumerate() {
            seen += count;
            if seen >= rank && seen > 0 {
                return lower_bound(index as u32);
            }
        }
        0
    }
}

fn bucket(nanos: u64) -> usize {
    if nanos < u64::from(STEPS) {
        return nanos as usize;
    }
    let power = nanos.ilog2();
    let step = (nanos >> (power - 5)) as u32 & (STEPS - 1);
    ((power - 4) * STEPS + step) as usize
}

fn lower_bound(bucket: u32) -> u64 {
    let (power, step) = (bucket / STEPS, bucket % STEPS);
    if power == 0 { u64::from(step) } else { u64::from(STEPS + step) << (power - 1) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_value_lies_in_a_bucket_close_below_it() {
        for nanos in [0, 1, 31, 32, 33, 63, 64, 1_000, 123_456, 1 << 40] {
            let low = lower_bound(bucket(nanos) as u32);
            assert!(low <= nanos && nanos - low <= nanos / 32, "{nanos}: {low}");
        }
    }

    #[test]
    fn quantiles_of_a_row_of_numbers() {
        let mut histogram = Histogram::new();
        (1..=1000).for_each(|number| histogram.record(number * 1000));
        let median = histogram.quantile(0.5);
        assert!((485_000..=500_000).contains(&median), "{median}");
        assert_eq!(Histogram::new().quantile(0.99), 0);
    }
}
