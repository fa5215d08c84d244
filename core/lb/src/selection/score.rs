//! The performance score (SPEC B1) and the choice by it (SPEC B2): CPU and memory of each server give a score of 0 … 100,
//! and a server is drawn with a probability in proportion to its score. A zero score is never drawn.

use base::Chance;

use crate::selection::Ask;

/// A score in hundredths of a point, 0 … 10,000; printed truncated to points.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Score(u32);

impl Score {
    pub const fn from_hundredths(hundredths: u32) -> Score {
        Score(if hundredths > 10_000 { 10_000 } else { hundredths })
    }

    pub const fn hundredths(self) -> u32 {
        self.0
    }

    pub const fn points(self) -> u32 {
        self.0 / 100
    }
}

impl std::fmt::Display for Score {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}", self.points())
    }
}

/// The four settings of B1; they can be changed while running.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ScoreSettings {
    /// W0, weight of CPU; default 1. Zero: memory only.
    pub cpu_weight: u32,
    /// W1, weight of memory; default 1. Zero: CPU only.
    pub memory_weight: u32,
    /// Cmax: above it the score is 0; default 950.
    pub cpu_max_permille: u16,
    /// Mmin: below it the score is 0; default 10 MB.
    pub memory_min_kib: u64,
}

impl Default for ScoreSettings {
    fn default() -> ScoreSettings {
        ScoreSettings { cpu_weight: 1, memory_weight: 1, cpu_max_permille: 950, memory_min_kib: 10 * 1024 }
    }
}

/// What a server told of itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Figures {
    pub cpu_permille: Option<u16>,
    pub memory_available_kib: Option<u64>,
}

/// Scores of a farm, in its order. A server that told neither figure has none; one that told one figure is judged by it
/// alone.
pub fn scores(settings: &ScoreSettings, farm: &[Figures]) -> Vec<Option<Score>> {
    let cut_off = |figures: &Figures| {
        figures.cpu_permille.is_some_and(|cpu| cpu > settings.cpu_max_permille)
            || figures.memory_available_kib.is_some_and(|memory| memory < settings.memory_min_kib)
    };
    let memory_sum: f64 = farm
        .iter()
        .filter(|figures| !cut_off(figures))
        .filter_map(|figures| figures.memory_available_kib)
        .map(|memory| memory as f64)
        .sum();
    let score = |figures: &Figures| {
        let cpu = figures.cpu_permille.map(|cpu| 1.0 - f64::from(cpu.min(1000)) / 1000.0);
        let memory = figures.memory_available_kib.map(|memory| memory as f64 / memory_sum.max(1.0));
        if cpu.is_none() && memory.is_none() {
            return None;
        }
        if cut_off(figures) {
            return Some(Score(0));
        }
        let cpu_weight = if cpu.is_some() { f64::from(settings.cpu_weight) } else { 0.0 };
        let memory_weight = if memory.is_some() { f64::from(settings.memory_weight) } else { 0.0 };
        let weighed = cpu_weight * cpu.unwrap_or(0.0) + memory_weight * memory.unwrap_or(0.0);
        let points = 100.0 * weighed / (cpu_weight + memory_weight).max(f64::MIN_POSITIVE);
        // A millionth on top: 0.95 and its like are not exact in binary, and truncation must not show it.
        Some(Score::from_hundredths((points * 100.0 + 1e-6) as u32))
    };
    farm.iter().map(score).collect()
}

/// B2: X is drawn with 0 < X ≤ ΣS, and the server with S0+…+S(j−1) < X ≤ S0+…+Sj is chosen.
pub(crate) fn pick(ask: &Ask<'_>, chance: &mut Chance) -> Option<u16> {
    let table = ask.snapshot.active();
    let sum = *table.scores().last()?;
    if sum == 0 {
        return None;
    }
    let position = table.active()[chosen(table.scores(), chance.below(sum) + 1)].position;
    if ask.all_usable() || ask.usable(position) {
        return Some(position);
    }
    // Drawn again among those that are left: rare, so it may take a pass over all.
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

/// Index j with `sums[j−1] < x ≤ sums[j]`. Between equal sums, the mark of a zero score, no x fits.
fn chosen(sums: &[u64], x: u64) -> usize {
    sums.partition_point(|&sum| sum < x)
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
        // The document prints 28 for the last; its own formula gives 29.76.
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
        let figures = |cpu_permille, memory_available_kib| Figures { cpu_permille, memory_available_kib };
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
    fn every_x_falls_on_the_server_of_its_stretch() {
        // Scores 0, 10, 0, 20, 0: the zeros are at both ends and between.
        let sums = [0, 10, 10, 30, 30];
        for x in 1..=30 {
            assert_eq!(chosen(&sums, x), if x <= 10 { 1 } else { 3 }, "x = {x}");
        }
    }
}
