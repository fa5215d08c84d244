//! Many runs of one kind, and what they saw.

use std::collections::BTreeMap;
use std::ops::Range;

use super::case::{Case, Kind, What};
use super::world::World;

/// The results of runs of one kind.
#[derive(Clone, Debug, Default)]
pub struct Summary {
    pub runs: u64,
    pub calls: u64,
    pub answered: u64,
    /// Lives of engines that ended.
    pub deaths: u64,
    /// Calls that an engine took over from a dead one.
    pub taken_over: u64,
    /// Writes that were refused because another engine had written.
    pub conflicts: u64,
    /// Commands of the state tier that were sent again, and that were given up.
    pub again: u64,
    pub given_up: u64,
    /// Number of runs in which each kind of fault happened.
    pub seen: BTreeMap<&'static str, usize>,
    /// Violations, by seed.
    pub failed: Vec<String>,
}

impl Summary {
    pub fn add(&mut self, world: &World) {
        self.runs += 1;
        self.calls += world.callers.len() as u64;
        let answered = world.callers.iter().filter(|one| one.outcome == crate::callers::Outcome::Answered);
        self.answered += answered.count() as u64;
        self.deaths += u64::from(world.engines_started) - world.members.len() as u64;
        for counters in world.members.iter().flat_map(|member| &member.counters) {
            self.taken_over += counters.taken_over.get();
            self.conflicts += counters.conflicts.get();
        }
        self.again += world.queries.again;
        self.given_up += world.queries.given_up;
        for name in &world.seen {
            *self.seen.entry(name).or_default() += 1;
        }
        let wrong = world.wrong();
        if !wrong.is_empty() {
            let Case { seed, kind, .. } = world.case;
            self.failed.push(format!("STROWGER_SEED={seed} {kind:?}\n  {}", wrong.join("\n  ")));
        }
    }

    pub fn join(&mut self, other: &Summary) {
        self.runs += other.runs;
        self.calls += other.calls;
        self.answered += other.answered;
        self.deaths += other.deaths;
        self.taken_over += other.taken_over;
        self.conflicts += other.conflicts;
        self.again += other.again;
        self.given_up += other.given_up;
        for (name, runs) in &other.seen {
            *self.seen.entry(name).or_default() += runs;
        }
        self.failed.extend_from_slice(&other.failed);
    }

    /// What none of these runs saw: they prove nothing about it.
    pub fn unseen(&self) -> Vec<&'static str> {
        let counts =
            [("a take-over", self.taken_over), ("a conflict", self.conflicts), ("a death", self.deaths)];
        let missing = counts.into_iter().filter(|(_, count)| *count == 0).map(|(name, _)| name);
        missing.chain(What::NAMES.into_iter().filter(|name| !self.seen.contains_key(name))).collect()
    }
}

/// Runs these seeds; calls `after` with the results so far after each run.
pub fn run(kind: Kind, seeds: Range<u64>, mut after: impl FnMut(&Summary)) -> Summary {
    let mut summary = Summary::default();
    for seed in seeds {
        summary.add(&World::new(Case::drawn(seed, kind)).run());
        after(&summary);
    }
    summary
}
