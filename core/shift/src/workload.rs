//! How much work a member has (SPEC D1): the measures, and the one figure that members compare.
//!
//! The figure is in permille of the member's own threshold, so that a large and a small server can be compared: 1000 and
//! more is above the threshold.

/// One measure.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Measure {
    /// SIP received, bytes in a second.
    BytesPerSecond,
    /// Callers heard from within the last minutes.
    Clients,
    /// Calls in progress.
    Calls,
    /// New calls in a second.
    CallsPerSecond,
    /// CPU use of the host, permille.
    CpuPermille,
}

impl Measure {
    pub const ALL: [Measure; 5] = [
        Measure::BytesPerSecond,
        Measure::Clients,
        Measure::Calls,
        Measure::CallsPerSecond,
        Measure::CpuPermille,
    ];

    /// The name in settings and logs.
    pub const fn name(self) -> &'static str {
        match self {
            Measure::BytesPerSecond => "bytes_per_second",
            Measure::Clients => "clients",
            Measure::Calls => "calls",
            Measure::CallsPerSecond => "calls_per_second",
            Measure::CpuPermille => "cpu_permille",
        }
    }
}

/// The last measured value; 0 if nothing was measured.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Measures {
    pub bytes_per_second: u32,
    pub clients: u32,
    pub calls: u32,
    pub calls_per_second: u32,
    /// 0 … 1000.
    pub cpu_permille: u32,
}

impl Measures {
    pub const fn get(&self, measure: Measure) -> u32 {
        match measure {
            Measure::BytesPerSecond => self.bytes_per_second,
            Measure::Clients => self.clients,
            Measure::Calls => self.calls,
            Measure::CallsPerSecond => self.calls_per_second,
            Measure::CpuPermille => self.cpu_permille,
        }
    }
}

/// Work in permille of the member's threshold; 1000 and more: above.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Workload(pub u32);

impl Workload {
    /// The threshold itself.
    pub const THRESHOLD: Workload = Workload(1000);

    pub fn is_above(self) -> bool {
        self >= Workload::THRESHOLD
    }
}

/// How the figure is computed from the measures.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Model {
    /// A measure and the value at which the member has enough, at least 1. The fullest measure counts: a server is as full
    /// as its scarcest resource.
    pub thresholds: Vec<(Measure, u32)>,
    /// A measure, the value that counts as whole (at least 1), and its weight: the weighted mean is one more threshold.
    pub weighted: Vec<(Measure, u32, u32)>,
}

impl Model {
    /// Without a threshold and without weights, a member never has enough.
    pub fn workload(&self, measures: &Measures) -> Workload {
        let share = |measure, whole: u32| {
            u64::from(measures.get(measure)).saturating_mul(1000) / u64::from(whole.max(1))
        };
        let fullest = self.thresholds.iter().map(|(measure, whole)| share(*measure, *whole)).max();
        let weights: u64 = self.weighted.iter().map(|(_, _, weight)| u64::from(*weight)).sum();
        let sum = self.weighted.iter().fold(0u64, |sum, (measure, whole, weight)| {
            sum.saturating_add(share(*measure, *whole).saturating_mul(u64::from(*weight)))
        });
        let mean = sum.checked_div(weights);
        let permille = fullest.unwrap_or(0).max(mean.unwrap_or(0));
        Workload(u32::try_from(permille).unwrap_or(u32::MAX))
    }

    /// Whether one more call changes the figure by itself, before the next measurement.
    pub fn counts_calls(&self) -> bool {
        self.thresholds.iter().any(|(measure, _)| *measure == Measure::Calls)
            || self.weighted.iter().any(|(measure, _, _)| *measure == Measure::Calls)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SAMPLE: Measures =
        Measures { bytes_per_second: 500, clients: 40, calls: 10, calls_per_second: 3, cpu_permille: 900 };

    #[track_caller]
    fn check(thresholds: &[(Measure, u32)], weighted: &[(Measure, u32, u32)], expected: u32) {
        let model = Model { thresholds: thresholds.to_vec(), weighted: weighted.to_vec() };
        assert_eq!(model.workload(&SAMPLE), Workload(expected), "{model:?}");
    }

    #[test]
    fn any_measure_alone_is_a_threshold() {
        check(&[(Measure::BytesPerSecond, 500)], &[], 1000);
        check(&[(Measure::Clients, 50)], &[], 800);
        check(&[(Measure::Calls, 8)], &[], 1250);
        check(&[(Measure::CallsPerSecond, 30)], &[], 100);
        check(&[(Measure::CpuPermille, 1000)], &[], 900);
    }

    #[test]
    fn the_fullest_of_several_counts() {
        check(&[(Measure::Calls, 100), (Measure::CpuPermille, 1000)], &[], 900);
    }

    #[test]
    fn a_model_is_the_weighted_mean() {
        check(&[], &[(Measure::Calls, 20, 3), (Measure::CpuPermille, 1000, 1)], (3 * 500 + 900) / 4);
        check(&[(Measure::Calls, 10)], &[(Measure::Calls, 20, 1)], 1000);
    }

    #[test]
    fn the_ends_of_the_ranges_do_not_overflow() {
        check(&[], &[], 0);
        check(&[(Measure::Calls, 0)], &[], 10_000);
        check(&[], &[(Measure::Calls, 1, 0)], 0);
        let full = Measures { calls: u32::MAX, ..Measures::default() };
        let model = Model {
            thresholds: vec![(Measure::Calls, 1)],
            weighted: vec![(Measure::Calls, 1, u32::MAX), (Measure::Calls, 1, u32::MAX)],
        };
        assert_eq!(model.workload(&full), Workload(u32::MAX));
    }
}
