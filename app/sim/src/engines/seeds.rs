//! Runs with engines: some hundreds of each kind. `STROWGER_SEED=n` runs only that seed of each kind, with its trace.

use super::case::{Case, Kind};
use super::runs::{Summary, run};
use super::world::World;
use crate::seeds::{none_failed, number};

/// Runs of kinds in which engines alone fail, and how many of them die in these runs at least.
const OF_ENGINES: (u64, u64) = (340, 390);
/// The same where the servers of the state tier fail as well. In the three kinds together a thousand engines die.
const OF_THE_STATE_TIER: (u64, u64) = (200, 220);

/// The same where calls ring and engines stand still for long.
const OF_LASTING: (u64, u64) = (100, 130);

fn check(kind: Kind, (seeds, deaths_min): (u64, u64)) {
    let chosen = number("STROWGER_SEEDS");
    let summary = match number("STROWGER_SEED") {
        Some(seed) => {
            let world = World::new(Case::drawn(seed, kind)).keep_trace().run();
            world.trace.iter().flatten().for_each(|line| println!("{line}"));
            let mut summary = Summary::default();
            summary.add(&world);
            summary
        }
        None => run(kind, 0..chosen.unwrap_or(seeds), |_| {}),
    };
    none_failed(&summary.failed, summary.runs as usize);
    println!("{kind:?}: {summary:?}");
    let proves = summary.taken_over > 0 && summary.conflicts > 0;
    assert!(proves || summary.runs == 1, "no call was taken over, or no write met another: {summary:?}");
    let deaths = summary.deaths;
    assert!(chosen.is_some() || summary.runs == 1 || deaths >= deaths_min, "only {deaths} engines died");
}

#[test]
fn engines_die_and_messages_keep_to_one() {
    check(Kind::Affinity, OF_ENGINES);
}

#[test]
fn engines_die_and_any_engine_gets_any_message() {
    check(Kind::Scattered, OF_ENGINES);
}

#[test]
fn the_state_tier_fails_as_well() {
    check(Kind::StateTier, OF_THE_STATE_TIER);
}

#[test]
fn calls_ring_and_engines_stand_still_for_long() {
    check(Kind::Lasting, OF_LASTING);
}
