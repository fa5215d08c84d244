//! Many runs of one kind, and their results: for the tests of this crate and for running seeds by hand.

use std::collections::BTreeMap;
use std::ops::Range;

use lb::hold::Counts;

use crate::checkers;
use crate::farm::Farm;
use crate::fault::What;
use crate::kinds::Kind;
use crate::scenario::Scenario;

/// The results of runs of one kind.
#[derive(Clone, Debug, Default)]
pub struct Summary {
    pub runs: usize,
    /// Runs in which a server was lost, or seemed to be.
    pub lost: usize,
    /// Counts of held set-ups, over all load managers and their lives.
    pub held: Counts,
    /// Messages and set-ups that went to another server than before.
    pub taken_over: u64,
    /// Notices of a call that the receiving load manager knew to be at another server.
    pub conflicts: u64,
    /// Number of runs in which each kind of fault happened.
    pub seen: BTreeMap<&'static str, usize>,
    /// Violations that checkers found, by seed.
    pub failed: Vec<String>,
}

impl Summary {
    /// Adds the results of one run.
    pub fn add(&mut self, farm: &Farm) {
        self.runs += 1;
        self.lost += usize::from(farm.lost_one());
        for manager in &farm.managers {
            manager.lives().for_each(|life| add(&mut self.held, &life.held.counts()));
            self.taken_over += manager.taken_over;
            self.conflicts += manager.conflicts;
        }
        for name in &farm.seen {
            *self.seen.entry(name).or_default() += 1;
        }
        let wrong = checkers::all(farm);
        if !wrong.is_empty() {
            let Scenario { seed, kind, .. } = farm.scenario;
            self.failed.push(format!("STROWGER_SEED={seed} {kind:?}\n  {}", wrong.join("\n  ")));
        }
    }

    /// Adds the results of other runs.
    pub fn join(&mut self, other: &Summary) {
        self.runs += other.runs;
        self.lost += other.lost;
        add(&mut self.held, &other.held);
        self.taken_over += other.taken_over;
        self.conflicts += other.conflicts;
        for (name, runs) in &other.seen {
            *self.seen.entry(name).or_default() += runs;
        }
        self.failed.extend_from_slice(&other.failed);
    }

    /// Kinds of faults that no run saw: these runs prove nothing about them.
    pub fn unseen(&self) -> Vec<&'static str> {
        What::NAMES.into_iter().filter(|name| !self.seen.contains_key(name)).collect()
    }
}

/// Runs these seeds; calls `after` with the results so far after each run.
pub fn run(kind: Kind, seeds: Range<u64>, mut after: impl FnMut(&Summary)) -> Summary {
    let mut summary = Summary::default();
    for seed in seeds {
        summary.add(&Farm::new(Scenario::drawn(seed, kind)).run());
        after(&summary);
    }
    summary
}

fn add(sum: &mut Counts, of: &Counts) {
    // All fields are named, so that a new field cannot be forgotten.
    let Counts {
        kept,
        full,
        repeated,
        resent,
        rerouted_failed,
        rerouted_silent,
        rerouted_full,
        rerouted_refused,
        answered,
        absorbed,
        acknowledged,
        cancelled,
        let_go,
        unanswered,
    } = of;
    sum.kept += kept;
    sum.full += full;
    sum.repeated += repeated;
    sum.resent += resent;
    sum.rerouted_failed += rerouted_failed;
    sum.rerouted_silent += rerouted_silent;
    sum.rerouted_full += rerouted_full;
    sum.rerouted_refused += rerouted_refused;
    sum.answered += answered;
    sum.absorbed += absorbed;
    sum.acknowledged += acknowledged;
    sum.cancelled += cancelled;
    sum.let_go += let_go;
    sum.unanswered += unanswered;
}
