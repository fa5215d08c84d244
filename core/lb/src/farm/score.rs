//! The performance score (SPEC B1): CPU and memory of each server, and further weighted factors, give a score of 0 … 100.

use crate::farm::server::Score;

/// The settings of B1: weights of the factors, and the limits beyond which a score is 0. They can be changed at run time
/// ([`crate::farm::server_table::ServerTable::set_score_settings`]).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ScoreSettings {
    /// W0, weight of CPU; default 1. Zero: memory only.
    pub cpu_weight: u32,
    /// W1, weight of memory; default 1. Zero: CPU only.
    pub memory_weight: u32,
    /// Weight of the free part of the network; default 0.
    pub network_weight: u32,
    /// Weight of call volume: the new calls that we gave the server lately, against the mean of the farm; default 0.
    pub calls_weight: u32,
    /// Weight of failures that we saw lately: time-outs, 5xx, calls that the server lost; default 0.
    pub failures_weight: u32,
    /// Weight of the time that the server takes to answer OPTIONS; default 1, as only a server that gets OPTIONS has such
    /// a time.
    pub latency_weight: u32,
    /// The time that counts as half loaded; default 20 ms.
    pub latency_half_us: u32,
    /// Cmax: above it the score is 0; default 950.
    pub cpu_max_permille: u16,
    /// Mmin: below it the score is 0; default 10 MB.
    pub memory_min_kib: u64,
}

impl Default for ScoreSettings {
    fn default() -> ScoreSettings {
        ScoreSettings {
            cpu_weight: 1,
            memory_weight: 1,
            network_weight: 0,
            calls_weight: 0,
            failures_weight: 0,
            latency_weight: 1,
            latency_half_us: 20_000,
            cpu_max_permille: 950,
            memory_min_kib: 10 * 1024,
        }
    }
}

impl ScoreSettings {
    /// Whether a factor that changes with every call has weight.
    pub fn counts_calls(&self) -> bool {
        self.calls_weight > 0 || self.failures_weight > 0
    }
}

/// The figures of a server: told by itself, measured by others, or seen by us.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Figures {
    pub cpu_permille: Option<u16>,
    pub memory_available_kib: Option<u64>,
    pub network_permille: Option<u16>,
    pub latency_us: Option<u32>,
    /// New calls that we gave the server lately.
    pub calls: Option<u32>,
    /// Of the requests that we gave the server lately, those that failed.
    pub failed_permille: Option<u16>,
    /// Its agent does not answer: score 0, whatever was told before.
    pub down: bool,
}

impl Figures {
    fn cut_off(&self, settings: &ScoreSettings) -> bool {
        self.down
            || self.cpu_permille.is_some_and(|cpu| cpu > settings.cpu_max_permille)
            || self.memory_available_kib.is_some_and(|memory| memory < settings.memory_min_kib)
    }
}

/// Scores of a farm, in its order: the weighted mean of the free part of each factor that is known of a server. A server of
/// which nothing is known has no score.
pub fn scores(settings: &ScoreSettings, farm: &[Figures]) -> Vec<Option<Score>> {
    let left = || farm.iter().filter(|figures| !figures.cut_off(settings));
    let memory_sum: f64 =
        left().filter_map(|figures| figures.memory_available_kib).map(|memory| memory as f64).sum();
    let calls: Vec<f64> = left().filter_map(|figures| figures.calls).map(f64::from).collect();
    let calls_mean = calls.iter().sum::<f64>() / (calls.len() as f64).max(1.0);
    let of_thousand = |permille: u16| 1.0 - f64::from(permille.min(1000)) / 1000.0;
    let score = |figures: &Figures| {
        if figures.down {
            return Some(Score::default());
        }
        let weighed = |weight: u32, free: Option<f64>| free.filter(|_| weight > 0).map(|free| (weight, free));
        // CPU and memory with weight zero still count as known, so that only a server without figures has no score.
        let cpu = figures.cpu_permille.map(|cpu| (settings.cpu_weight, of_thousand(cpu)));
        let memory = figures
            .memory_available_kib
            .map(|memory| (settings.memory_weight, memory as f64 / memory_sum.max(1.0)));
        let network = weighed(settings.network_weight, figures.network_permille.map(of_thousand));
        // Half at the mean, whole when idle, never zero: a single server must not lose by having the whole load.
        let volume = |calls: u32| if calls == 0 { 1.0 } else { calls_mean / (calls_mean + f64::from(calls)) };
        let calls = weighed(settings.calls_weight, figures.calls.map(volume));
        let failures = weighed(settings.failures_weight, figures.failed_permille.map(of_thousand));
        let half = f64::from(settings.latency_half_us.max(1));
        let speed = |us: u32| half / (half + f64::from(us));
        let latency = weighed(settings.latency_weight, figures.latency_us.map(speed));
        let known = [cpu, memory, network, calls, failures, latency];
        if known.iter().all(Option::is_none) {
            return None;
        }
        if figures.cut_off(settings) {
            return Some(Score::default());
        }
        let (free, weights) = known.iter().flatten().fold((0.0, 0.0), |(free, weights), (weight, share)| {
            (free + f64::from(*weight) * share, weights + f64::from(*weight))
        });
        let points = 100.0 * free / f64::max(weights, f64::MIN_POSITIVE);
        // A millionth is added: 0.95 and its like are not exact in binary, and truncation must not show that.
        Some(Score::from_hundredths((points * 100.0 + 1e-6) as u32))
    };
    farm.iter().map(score).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// SPEC B1: (CPU %, free KiB, printed score) of the servers of one farm.
    #[track_caller]
    fn check(farm: &[(u16, u64, u32)]) {
        let figures: Vec<Figures> = farm
            .iter()
            .map(|&(cpu, memory, _)| Figures {
                cpu_permille: Some(cpu * 10),
                memory_available_kib: Some(memory),
                ..Figures::default()
            })
            .collect();
        let printed: Vec<u32> = scores(&ScoreSettings::default(), &figures)
            .into_iter()
            .map(|score| score.expect("measured").points())
            .collect();
        assert_eq!(printed, farm.iter().map(|&(_, _, points)| points).collect::<Vec<_>>());
    }

    #[test]
    fn the_known_answers_of_the_document() {
        check(&[(1, 60_456, 70), (2, 85_892, 78)]);
        check(&[(95, 113_420, 26), (0, 125_549, 76)]);
        check(&[(2, 57_612, 87), (88, 16_888, 17)]);
        // The document prints 28 for the last server; its own formula gives 29.76.
        check(&[(92, 101_234, 29), (89, 95_425, 29)]);
    }

    #[test]
    fn above_and_below_the_cut_offs() {
        check(&[(95, 50_000, 52), (96, 50_000, 0)]);
        check(&[(50, 10_240, 75), (50, 10_239, 0)]);
        check(&[(99, 50_000, 0), (0, 100, 0)]);
    }

    #[test]
    fn one_figure_alone_and_none() {
        let figures = |cpu_permille, memory_available_kib| Figures {
            cpu_permille,
            memory_available_kib,
            ..Figures::default()
        };
        let points = |settings: &ScoreSettings, farm: &[Figures]| -> Vec<Option<u32>> {
            scores(settings, farm).into_iter().map(|score| score.map(Score::points)).collect()
        };
        let both = ScoreSettings::default();
        assert_eq!(points(&both, &[figures(Some(250), None), figures(None, None)]), [Some(75), None]);
        assert_eq!(
            points(&both, &[figures(None, Some(20_480)), figures(None, Some(61_440))]),
            [Some(25), Some(75)]
        );
        let cpu_only = ScoreSettings { memory_weight: 0, ..both };
        assert_eq!(points(&cpu_only, &[figures(Some(250), Some(20_480))]), [Some(75)]);
        let nothing = ScoreSettings { cpu_weight: 0, memory_weight: 0, ..both };
        assert_eq!(points(&nothing, &[figures(Some(250), Some(20_480))]), [Some(0)]);
    }

    #[test]
    fn who_is_down_has_zero_and_lends_no_memory_to_the_sum() {
        let up = Figures { cpu_permille: Some(0), memory_available_kib: Some(50_000), ..Figures::default() };
        let points = |farm: &[Figures]| -> Vec<Option<u32>> {
            scores(&ScoreSettings::default(), farm)
                .into_iter()
                .map(|score| score.map(Score::points))
                .collect()
        };
        assert_eq!(points(&[up, up]), [Some(75), Some(75)]);
        assert_eq!(points(&[up, Figures { down: true, ..up }]), [Some(100), Some(0)]);
        assert_eq!(points(&[Figures { down: true, ..Figures::default() }]), [Some(0)], "never heard of");
    }

    #[test]
    fn further_factors_count_by_their_weights_and_only_with_one() {
        let farm = [
            Figures {
                cpu_permille: Some(0),
                network_permille: Some(900),
                calls: Some(30),
                failed_permille: Some(500),
                ..Figures::default()
            },
            Figures {
                cpu_permille: Some(0),
                network_permille: Some(100),
                calls: Some(10),
                failed_permille: Some(0),
                ..Figures::default()
            },
        ];
        let points = |settings: &ScoreSettings| -> Vec<u32> {
            scores(settings, &farm).into_iter().map(|score| score.unwrap().points()).collect()
        };
        let none = ScoreSettings::default();
        assert_eq!(points(&none), [100, 100]);
        assert_eq!(points(&ScoreSettings { network_weight: 1, ..none }), [55, 95]);
        // The mean is 20 calls: 20/50 and 20/30.
        assert_eq!(points(&ScoreSettings { calls_weight: 1, ..none }), [70, 83]);
        assert_eq!(points(&ScoreSettings { failures_weight: 3, ..none }), [62, 100]);
        assert_eq!(points(&ScoreSettings { cpu_weight: 0, calls_weight: 1, ..none }), [40, 66]);
    }

    #[test]
    fn a_server_may_be_judged_by_the_time_it_takes_alone() {
        let after = |us| Figures { latency_us: Some(us), ..Figures::default() };
        let farm = [after(0), after(20_000), after(60_000), after(u32::MAX)];
        let points: Vec<u32> = scores(&ScoreSettings::default(), &farm)
            .into_iter()
            .map(|score| score.unwrap().points())
            .collect();
        assert_eq!(points, [100, 50, 25, 0]);
    }
}
