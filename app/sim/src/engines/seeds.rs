//! Runs with engines: some hundreds of each kind. `STROWGER_SEED=n` runs only that seed of each kind, with its trace.

use super::case::{Case, Kind};
use super::runs::{Summary, run};
use super::world::World;
use crate::seeds::{none_failed, number};

/// Runs of each kind.
const SEEDS: u64 = 200;

fn check(kind: Kind) {
    let summary = match number("STROWGER_SEED") {
        Some(seed) => {
            let world = World::new(Case::drawn(seed, kind)).keep_trace().run();
            world.trace.iter().flatten().for_each(|line| println!("{line}"));
            let mut summary = Summary::default();
            summary.add(&world);
            summary
        }
        None => run(kind, 0..number("STROWGER_SEEDS").unwrap_or(SEEDS), |_| {}),
    };
    none_failed(&summary.failed, summary.runs as usize);
    println!("{kind:?}: {summary:?}");
    let proves = summary.taken_over > 0 && summary.conflicts > 0;
    assert!(proves || summary.runs == 1, "no call was taken over, or no write met another: {summary:?}");
}

#[test]
fn engines_die_and_messages_keep_to_one() {
    check(Kind::Affinity);
}

#[test]
fn engines_die_and_any_engine_gets_any_message() {
    check(Kind::Scattered);
}

#[test]
fn the_state_tier_fails_as_well() {
    check(Kind::StateTier);
}
