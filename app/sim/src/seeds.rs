//! A thousand runs, each from its own seed. `STROWGER_SEED=n` runs that one of each kind, with its trace;
//! `STROWGER_SEEDS=n` runs so many of each kind.

use lb::hold::Counts;

use crate::checkers;
use crate::farm::Farm;
use crate::scenario::{Kind, Scenario};

/// Runs of each kind. All together well under 20 s, so that every change sees them.
const SEEDS: u64 = 250;

/// Of a thousand runs without a lost server, in so many loss alone may make one seem lost: five copies in a row.
const SEEMING_PERMILLE_MAX: usize = 5;

/// Runs all seeds of a kind, or the chosen one; gives the sum of what holding did.
fn check(kind: Kind) -> Counts {
    let chosen = number("STROWGER_SEED");
    let seeds = chosen.map_or(0..number("STROWGER_SEEDS").unwrap_or(SEEDS), |seed| seed..seed + 1);
    let (mut failed, mut sum, mut lost, count) = (Vec::new(), Counts::default(), 0, seeds.clone().count());
    for seed in seeds {
        let farm = Farm::new(Scenario::drawn(seed, kind));
        let farm = if chosen.is_some() { farm.keep_trace() } else { farm }.run();
        for line in farm.trace.iter().flatten() {
            println!("{line}");
        }
        farm.managers.iter().for_each(|manager| add(&mut sum, &manager.shared.held.counts()));
        lost += usize::from(farm.lost_one());
        let wrong = checkers::all(&farm);
        if !wrong.is_empty() {
            failed.push(format!("STROWGER_SEED={seed} {kind:?}\n  {}", wrong.join("\n  ")));
        }
    }
    let shown = failed.len().min(5);
    assert!(failed.is_empty(), "{} seeds failed, of them:\n{}", failed.len(), failed[..shown].join("\n"));
    println!("{kind:?}: {sum:?}, in {lost} of {count} runs a server was lost or seemed to be");
    assert!(kind == Kind::ServerLost || lost <= 1 + count * SEEMING_PERMILLE_MAX / 1000, "{lost} of {count}");
    sum
}

fn add(sum: &mut Counts, of: &Counts) {
    sum.kept += of.kept;
    sum.repeated += of.repeated;
    sum.rerouted_failed += of.rerouted_failed;
    sum.rerouted_silent += of.rerouted_silent;
    sum.answered += of.answered;
    sum.absorbed += of.absorbed;
    sum.acknowledged += of.acknowledged;
    sum.cancelled += of.cancelled;
    sum.full += of.full;
    sum.let_go += of.let_go;
    sum.unanswered += of.unanswered;
}

fn number(variable: &str) -> Option<u64> {
    let value = std::env::var(variable).ok()?;
    Some(value.parse().unwrap_or_else(|_| panic!("{variable} is not a number: {value}")))
}

/// A single seed need not have it all.
fn all_seeds() -> bool {
    std::env::var_os("STROWGER_SEED").is_none()
}

#[test]
fn servers_stay_well() {
    let sum = check(Kind::Calm);
    let nothing_moved =
        (sum.rerouted_failed, sum.rerouted_silent, sum.answered, sum.cancelled) == (0, 0, 0, 0);
    assert!(nothing_moved && (sum.repeated > 100 || !all_seeds()), "{sum:?}");
}

#[test]
fn a_server_is_lost_and_returns() {
    let sum = check(Kind::ServerLost);
    let seen = [sum.rerouted_failed, sum.rerouted_silent, sum.answered, sum.cancelled, sum.acknowledged];
    assert!(seen.iter().all(|count| *count > 0) || !all_seeds(), "a path that no seed took: {sum:?}");
}

#[test]
fn any_load_manager_gets_any_datagram() {
    check(Kind::Anycast);
}

#[test]
fn servers_join_and_are_drained() {
    let sum = check(Kind::FarmChanges);
    assert_eq!(sum.answered, 0, "{sum:?}");
}
