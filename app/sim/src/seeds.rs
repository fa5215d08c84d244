//! Some hundreds of runs of each kind, each from its own seed. `STROWGER_SEED=n` runs only that seed of each kind, with its
//! trace; `STROWGER_SEEDS=n` runs that many of each kind. The example `seeds` runs more, with a summary.

use crate::farm::Farm;
use crate::fault::What;
use crate::runs::{Summary, run};
use crate::scenario::{Kind, Scenario};

/// Runs of each kind. All together take some 40 s of one core, so that every change can run them.
const SEEDS: u64 = 200;

/// Most runs of a thousand, among runs without a lost server, in which datagram loss may make a server seem lost: five copies
/// in a row.
const SEEMING_PERMILLE_MAX: usize = 5;

/// Runs all seeds of a kind, or the chosen seed; returns the results.
fn check(kind: Kind) -> Summary {
    let summary = match number("STROWGER_SEED") {
        Some(seed) => {
            let farm = Farm::new(Scenario::drawn(seed, kind)).keep_trace().run();
            farm.trace.iter().flatten().for_each(|line| println!("{line}"));
            let mut summary = Summary::default();
            summary.add(&farm);
            summary
        }
        None => run(kind, 0..number("STROWGER_SEEDS").unwrap_or(SEEDS), |_| {}),
    };
    none_failed(&summary.failed, summary.runs);
    println!("{kind:?}: {summary:?}");
    summary
}

/// The same for kinds that lose no server.
fn check_well(kind: Kind) -> Summary {
    let summary = check(kind);
    let (lost, runs) = (summary.lost, summary.runs);
    assert!(lost <= 1 + runs * SEEMING_PERMILLE_MAX / 1000, "{lost} of {runs}");
    summary
}

/// Asserts that these kinds of faults happened, if there were enough runs.
fn saw(summary: &Summary, names: &[&str]) {
    for name in names {
        assert!(What::NAMES.contains(name), "{name}");
        assert!(summary.seen.contains_key(name) || !all_seeds(), "no run saw: {name}");
    }
}

/// Asserts that no run failed, and shows the first that did.
#[track_caller]
pub(crate) fn none_failed(failed: &[String], runs: usize) {
    let shown = failed.len().min(5);
    assert!(
        failed.is_empty(),
        "{} of {runs} seeds failed, of them:\n{}",
        failed.len(),
        failed[..shown].join("\n")
    );
}

pub(crate) fn number(variable: &str) -> Option<u64> {
    let value = std::env::var(variable).ok()?;
    Some(value.parse().unwrap_or_else(|_| panic!("{variable} is not a number: {value}")))
}

/// Whether all seeds run. A single seed need not have every kind of fault.
fn all_seeds() -> bool {
    std::env::var_os("STROWGER_SEED").is_none()
}

#[test]
fn servers_stay_well() {
    let summary = check_well(Kind::Calm);
    let sum = summary.held;
    let moved = sum.rerouted_failed + sum.rerouted_silent + sum.answered + sum.cancelled;
    assert!(moved <= summary.lost as u64 && (sum.repeated > 50 || !all_seeds()), "{summary:?}");
    saw(&summary, &["weather changes", "clocks apart"]);
}

#[test]
fn a_server_is_lost_and_returns() {
    let summary = check(Kind::ServerLost);
    let sum = summary.held;
    let seen = [sum.rerouted_failed, sum.rerouted_silent, sum.answered, sum.cancelled, sum.acknowledged];
    assert!(seen.iter().all(|count| *count > 0) || !all_seeds(), "a path that no seed took: {sum:?}");
    saw(&summary, &["server dies", "server hangs", "server is back"]);
}

#[test]
fn any_load_manager_gets_any_datagram() {
    check_well(Kind::Anycast);
}

#[test]
fn servers_join_and_are_drained() {
    let summary = check_well(Kind::FarmChanges);
    assert_eq!(summary.held.answered, 0, "{summary:?}");
    saw(&summary, &["server joins late", "server is drained"]);
}

#[test]
fn ways_are_cut_and_healed() {
    let summary = check(Kind::WaysCut);
    saw(&summary, &["way cut both ways", "way cut one way"]);
}

#[test]
fn a_load_manager_dies_and_is_started_again() {
    let summary = check(Kind::ManagerLost);
    saw(&summary, &["load manager dies", "load manager starts"]);
}

#[test]
fn the_address_moves_to_another_load_manager() {
    let summary = check(Kind::AddressMoves);
    saw(&summary, &["address moves"]);
}

#[test]
fn connections_end_under_calls() {
    let summary = check(Kind::ConnectionsEnd);
    assert!(summary.held.resent > 0 || !all_seeds(), "{summary:?}");
    saw(&summary, &["client closes", "server closes", "load manager closes"]);
}

#[test]
fn settings_change_under_calls() {
    let summary = check(Kind::Reload);
    saw(&summary, &["reload"]);
}

#[test]
fn a_stranger_forges_what_he_can() {
    let summary = check_well(Kind::Forged);
    saw(&summary, &["forged ICMP", "forged message"]);
}

#[test]
fn everything_goes_wrong_at_once() {
    let summary = check(Kind::Everything);
    saw(&summary, &["connection torn", "reload", "load manager dies", "way cut one way"]);
}
