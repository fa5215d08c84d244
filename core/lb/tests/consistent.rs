//! The hashes compared: how many calls move when a server dies, returns or is added, how evenly, and what it costs.
//! `cargo test -p strowger-lb --release --test consistent -- --nocapture` prints the table of
//! docs/affinity-and-selection.md.

mod farm;

use std::collections::HashMap;

use base::Chance;
use farm::{server, servers, snapshot};
use strowger_lb::farm::condition::Condition;
use strowger_lb::farm::server::ServerId;
use strowger_lb::farm::snapshot::Snapshot;
use strowger_lb::selection::known::known;
use strowger_lb::settings::HashKind;

const CALLS: usize = 200_000;

fn places(snapshot: &Snapshot, kind: HashKind) -> Vec<ServerId> {
    let mut chance = Chance::seeded(42);
    (0..CALLS).map(|_| known(snapshot, kind, chance.next_u64()).expect("some server lives").id).collect()
}

fn counted(places: &[ServerId]) -> HashMap<ServerId, usize> {
    let mut counts = HashMap::new();
    for &id in places {
        *counts.entry(id).or_insert(0) += 1;
    }
    counts
}

/// Share of the calls that lie elsewhere, in percent.
fn moved(before: &[ServerId], after: &[ServerId]) -> f64 {
    100.0 * before.iter().zip(after).filter(|(a, b)| a != b).count() as f64 / before.len() as f64
}

struct Effect {
    death: f64,
    unneeded: f64,
    most_loaded: f64,
    added: f64,
}

fn effect(kind: HashKind, size: usize) -> Effect {
    let all = snapshot(servers(size));
    let dead = size / 2;
    let dead_id = server(dead).id;
    let mut with_dead = servers(size);
    with_dead[dead].condition = Condition::Failed;
    let with_dead = Snapshot::build(2, with_dead, Some(&all));
    let back = Snapshot::build(3, servers(size), Some(&with_dead));
    let more = Snapshot::build(4, servers(size + 1), Some(&all));
    let (before, after) = (places(&all, kind), places(&with_dead, kind));
    assert_eq!(before, places(&back, kind), "a return brings every call back to where it was");
    let others = before.iter().zip(&after).filter(|(a, b)| **a != dead_id && a != b).count();
    let (first, second) = (counted(&before), counted(&after));
    let grown = |(id, count): (&ServerId, &usize)| *count as f64 / first[id] as f64;
    Effect {
        death: moved(&before, &after),
        unneeded: 100.0 * others as f64 / CALLS as f64,
        most_loaded: second.iter().map(grown).fold(0.0, f64::max),
        added: moved(&before, &places(&more, kind)),
    }
}

#[test]
fn what_a_death_moves() {
    println!(
        "| servers | hash | moved at a death | of these without need | most loaded survivor | moved at an addition |"
    );
    println!("|---|---|---|---|---|---|");
    for size in [4, 16, 100] {
        for kind in [HashKind::Modulo, HashKind::Cascade, HashKind::Consistent] {
            let Effect { death, unneeded, most_loaded, added } = effect(kind, size);
            let name = format!("{kind:?}").to_lowercase();
            println!(
                "| {size} | {name} | {death:.1} % | {unneeded:.1} % | {most_loaded:.2} × before | {added:.1} % |"
            );
            let share = 100.0 / size as f64;
            match kind {
                HashKind::Modulo => assert!(unneeded > 20.0),
                HashKind::Cascade => {
                    assert!(unneeded == 0.0 && most_loaded > 1.8, "the next entry takes all: {most_loaded}");
                }
                HashKind::Consistent => {
                    assert_eq!(unneeded, 0.0, "only the dead server's calls move");
                    assert!((death - share).abs() < share * 0.1, "{death} of {share}");
                    assert!(most_loaded < 1.0 + 1.0 / (size - 1) as f64 + 0.1, "{most_loaded}");
                    // Filling in turns displaces some entries besides: the price of even shares.
                    assert!(added < 1.6 * 100.0 / (size + 1) as f64, "{added}");
                }
            }
        }
    }
}

#[test]
fn all_load_managers_agree_in_whatever_order_they_learnt() {
    let (mut chance, forward) = (Chance::seeded(3), servers(50));
    let mut other = forward.clone();
    for at in (1..other.len()).rev() {
        other.swap(at, chance.below(at as u64 + 1) as usize);
    }
    let (one, two) = (snapshot(forward), snapshot(other));
    for kind in [HashKind::Modulo, HashKind::Cascade, HashKind::Consistent] {
        assert_eq!(places(&one, kind), places(&two, kind), "{kind:?}");
    }
}

#[test]
fn shares_are_even_and_by_weight() {
    let even = counted(&places(&snapshot(servers(100)), HashKind::Consistent));
    let bounds = (even.values().min().unwrap(), even.values().max().unwrap());
    assert!(*bounds.0 > 1_800 && *bounds.1 < 2_200, "{bounds:?} of 2,000 each");

    let mut weighted = servers(4);
    for (server, weight) in weighted.iter_mut().zip([1, 10, 100, 1000]) {
        server.weight = weight;
    }
    let ids: Vec<ServerId> = weighted.iter().map(|server| server.id).collect();
    let counts = counted(&places(&snapshot(weighted), HashKind::Consistent));
    for (id, weight) in ids.iter().zip([1.0, 10.0, 100.0, 1000.0]) {
        let expected = CALLS as f64 * weight / 1111.0;
        let count = *counts.get(id).unwrap_or(&0) as f64;
        assert!((count - expected).abs() < expected * 0.05 + 60.0, "weight {weight}: {count} of {expected}");
    }
}

#[test]
fn with_most_servers_dead_the_rest_share_evenly() {
    let mut farm = servers(20);
    for server in &mut farm[..17] {
        server.condition = Condition::Failed;
    }
    let counts = counted(&places(&snapshot(farm), HashKind::Consistent));
    assert_eq!(counts.len(), 3);
    assert!(counts.values().all(|&count| count.abs_diff(CALLS / 3) < CALLS / 50), "{counts:?}");
}

#[test]
fn the_table_for_a_thousand_servers_is_built_in_time() {
    let mut heavy = servers(1000);
    heavy[0].weight = 1000;
    for farm in [servers(1000), heavy] {
        #[allow(clippy::disallowed_methods, reason = "a measurement, outside of the core")]
        let timed = |previous: Option<&Snapshot>| {
            let start = std::time::Instant::now();
            let built = Snapshot::build(2, farm.clone(), previous);
            (start.elapsed(), built)
        };
        // The quickest of a few: the machine may be busy with others.
        let (first, built) = (0..3).map(|_| timed(None)).min_by_key(|(took, _)| *took).unwrap();
        let (kept, again) = timed(Some(&built));
        println!("1,000 servers: snapshot built in {first:?}; with the hash table kept in {kept:?}");
        assert_eq!(again.servers().len(), 1000);
        // The bar is 50 ms optimised; a debug build on a busy machine gets ten times that.
        assert!(first.as_millis() < if cfg!(debug_assertions) { 500 } else { 50 }, "{first:?}");
    }
}
