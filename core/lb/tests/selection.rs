//! Each policy: its distribution, its order, who is never named, and that an empty farm gives nobody.

mod farm;

use base::{Chance, Time};
use farm::{address, chi_square, chi_square_bound, counts, selector, server, servers, snapshot};
use proptest::prelude::*;
use strowger_lb::farm::condition::Condition;
use strowger_lb::farm::server::{Score, Server};
use strowger_lb::selection::known::known;
use strowger_lb::settings::{HashKind, Selection};

const ALL: [Selection; 7] = [
    Selection::Hash,
    Selection::RoundRobin,
    Selection::LeastLoaded,
    Selection::Score,
    Selection::Cjsq,
    Selection::Tjsq,
    Selection::Tlwl,
];
const CALLS: usize = 60_000;

#[track_caller]
fn check_shares(selection: Selection, servers: &[Server], shares: &[f64]) {
    let (selector, _) = selector(selection, servers);
    let counts = counts(&selector, &snapshot(servers.to_vec()), CALLS, 11);
    let square = chi_square(&counts, shares);
    println!("{selection:?} {counts:?} chi-square {square:.1}");
    assert!(square < chi_square_bound(counts.len()), "{selection:?}: {counts:?} is not {shares:?}");
}

#[test]
fn equals_share_equally_under_every_policy() {
    for size in [2, 5, 16] {
        for selection in ALL {
            let mut servers = servers(size);
            for server in &mut servers {
                (server.load_permille, server.score) = (Some(100), Some(Score::from_hundredths(5000)));
            }
            check_shares(selection, &servers, &vec![1.0; size]);
        }
    }
}

#[test]
fn weights_are_respected_under_every_policy_that_draws() {
    let weights = [1, 2, 5, 40, 1];
    let mut servers = servers(weights.len());
    for (server, weight) in servers.iter_mut().zip(weights) {
        (server.weight, server.load_permille, server.score) =
            (weight, Some(100), Some(Score::from_hundredths(10)));
    }
    for selection in [Selection::Hash, Selection::RoundRobin, Selection::LeastLoaded, Selection::Score] {
        check_shares(selection, &servers, &weights.map(f64::from));
    }
}

#[test]
fn round_robin_is_strict_among_equals_and_smooth_among_others() {
    let equal = servers(7);
    let (selector_equal, _) = selector(Selection::RoundRobin, &equal);
    assert_eq!(counts(&selector_equal, &snapshot(equal), 70, 1), [10; 7]);

    let mut weighted = servers(3);
    (weighted[0].weight, weighted[1].weight, weighted[2].weight) = (5, 1, 1);
    let (selector, _) = selector(Selection::RoundRobin, &weighted);
    let (farm, mut chance) = (snapshot(weighted), Chance::seeded(1));
    let turns: Vec<u16> = (0..7_000)
        .map(|_| selector.candidates(base::Time::ZERO, &farm, 0, &mut chance).next().unwrap().seat.slot)
        .collect();
    for window in turns.windows(70) {
        let heavy = window.iter().filter(|&&slot| slot == 0).count();
        assert!((48..=52).contains(&heavy), "{heavy} of 70 turns for a share of 50");
    }
}

#[test]
fn score_shares_by_score_and_never_names_a_zero() {
    let points = [0u32, 7015, 0, 7884, 1, 0];
    let mut servers = servers(points.len());
    for (server, points) in servers.iter_mut().zip(points) {
        server.score = Some(Score::from_hundredths(points));
    }
    let (selector, _) = selector(Selection::Score, &servers);
    let farm = snapshot(servers.clone());
    let counts = counts(&selector, &farm, 200_000, 3);
    assert_eq!((counts[0], counts[2], counts[5]), (0, 0, 0));
    let drawn = [counts[1], counts[3], counts[4]];
    assert!(chi_square(&drawn, &[7015.0, 7884.0, 1.0]) < chi_square_bound(3), "{counts:?}");

    let mut chance = Chance::seeded(4);
    let all: Vec<u16> =
        selector.candidates(base::Time::ZERO, &farm, 0, &mut chance).map(|server| server.seat.slot).collect();
    assert_eq!(all.len(), 3, "fall-backs have a score too: {all:?}");
    for server in &mut servers {
        server.score = Some(Score::default());
    }
    assert!(
        selector.candidates(base::Time::ZERO, &snapshot(servers), 0, &mut chance).next().is_none(),
        "all zero is a 503"
    );
}

#[test]
fn least_loaded_takes_the_least_and_counts_what_it_gave_since_the_heartbeat() {
    let mut servers = servers(4);
    for (server, load) in servers.iter_mut().zip([Some(300), Some(500), Some(305), None]) {
        // Each call adds 10 permille.
        (server.load_permille, server.call_load_ppm) = (load, 10_000);
    }
    let (selector, _) = selector(Selection::LeastLoaded, &servers);
    let (farm, mut chance) = (snapshot(servers), Chance::seeded(5));
    let mut given = [0; 4];
    for _ in 0..60 {
        let first = selector.candidates(base::Time::ZERO, &farm, 0, &mut chance).next().unwrap();
        selector.admit(base::Time::ZERO, first);
        given[usize::from(first.seat.slot)] += 1;
    }
    // One load unknown: it counts as the mean, 368. The four end up alike, within what is equal.
    let ends: Vec<i32> =
        given.iter().zip([300, 500, 305, 368]).map(|(given, load)| load + given * 10).collect();
    let spread = ends.iter().max().unwrap() - ends.iter().min().unwrap();
    assert!(spread <= 40, "{given:?} gives {ends:?}");
}

#[test]
fn without_any_load_least_loaded_is_round_robin() {
    let servers = servers(6);
    let (selector, _) = selector(Selection::LeastLoaded, &servers);
    assert_eq!(counts(&selector, &snapshot(servers), 60, 1), [10; 6]);
}

#[test]
fn shortest_queue_takes_the_exact_minimum_and_breaks_ties_by_chance() {
    for size in [3usize, 17, 64] {
        let servers = servers(size);
        let (selector, ledger) = selector(Selection::Cjsq, &servers);
        let (ledger, farm) = (ledger.unwrap(), snapshot(servers));
        let mut chance = Chance::seeded(size as u64);
        for call in 0..20 * size as u64 {
            let least = (0..size).map(|slot| ledger.count(slot as u16)).min().unwrap();
            let first = selector.candidates(base::Time::ZERO, &farm, 0, &mut chance).next().unwrap();
            assert_eq!(ledger.count(first.seat.slot), least);
            ledger.begin(Time::ZERO, chance.next_u64(), first.seat, true, Time::from_secs(100));
            if call % 3 == 2 {
                // Some server ends a call and is then the only shortest.
                ledger.attach(farm.servers()[chance.below(size as u64) as usize].seat);
            }
        }
    }
}

#[test]
fn among_a_thousand_the_shortest_of_some_is_nearly_the_shortest_of_all() {
    let servers = servers(1000);
    let (selector, ledger) = selector(Selection::Cjsq, &servers);
    let (ledger, farm, mut chance) = (ledger.unwrap(), snapshot(servers), Chance::seeded(8));
    let mut calls = Vec::new();
    let (mut worst, mut among_least) = (0, 0);
    for call in 0..60_000 {
        let first = selector.candidates(base::Time::ZERO, &farm, 0, &mut chance).next().unwrap();
        let queue = ledger.count(first.seat.slot);
        let shorter = (0..1000).filter(|&slot| ledger.count(slot) < queue).count();
        among_least += usize::from(shorter < 70);
        let key = chance.next_u64();
        ledger.begin(Time::ZERO, key, first.seat, true, Time::from_secs(900));
        calls.push(key);
        if calls.len() > 20_000 {
            let ended = chance.below(calls.len() as u64) as usize;
            ledger.end(Time::ZERO, calls.swap_remove(ended));
        }
        if call > 20_000 && call % 500 == 0 {
            worst = worst.max((0..1000).map(|slot| ledger.count(slot) / 100).max().unwrap());
        }
    }
    println!("20 calls per server on average: at most {worst}; {among_least} of 60,000 among the least 7 %");
    assert!(worst <= 22, "{worst} calls at one server, 20 on average");
    assert!(among_least > 59_000, "{among_least}");
}

#[test]
fn shortest_queue_gives_the_heavy_their_part() {
    let mut servers = servers(3);
    (servers[0].weight, servers[1].weight, servers[2].weight) = (1, 3, 6);
    let (selector, ledger) = selector(Selection::Cjsq, &servers);
    let (ledger, farm, mut chance) = (ledger.unwrap(), snapshot(servers), Chance::seeded(9));
    for _ in 0..1000 {
        let first = selector.candidates(base::Time::ZERO, &farm, 0, &mut chance).next().unwrap();
        ledger.begin(Time::ZERO, chance.next_u64(), first.seat, true, Time::from_secs(100));
    }
    let calls = [0, 1, 2].map(|slot| ledger.count(slot) / 100);
    assert!(calls[0].abs_diff(100) <= 1 && calls[1].abs_diff(300) <= 1, "{calls:?}");
}

#[test]
fn a_limit_holds_between_two_heartbeats() {
    for selection in ALL {
        let mut servers = servers(3);
        for (server, residual) in servers.iter_mut().zip([5, 0, 20]) {
            server.residual_calls = Some(residual);
        }
        let (selector, _) = selector(selection, &servers);
        let (farm, mut chance) = (snapshot(servers), Chance::seeded(2));
        let mut given = [0; 3];
        for _ in 0..40 {
            let hash = chance.next_u64();
            if let Some(first) = selector.candidates(base::Time::ZERO, &farm, hash, &mut chance).next() {
                selector.admit(base::Time::ZERO, first);
                given[usize::from(first.seat.slot)] += 1;
            }
        }
        assert_eq!(given, [5, 0, 20], "{selection:?}");
    }
}

#[test]
fn draining_and_filling_up_do_not_move_known_calls() {
    for kind in [HashKind::Modulo, HashKind::Cascade, HashKind::Consistent] {
        let all = snapshot(servers(10));
        let mut changed = servers(10);
        changed[3].condition = Condition::KnownCallsOnly;
        changed[5].residual_calls = Some(0);
        let changed = snapshot(changed);
        let mut chance = Chance::seeded(1);
        for _ in 0..5_000 {
            let hash = chance.next_u64();
            assert_eq!(known(&all, kind, hash).unwrap().id, known(&changed, kind, hash).unwrap().id);
        }
        let mut failed = servers(10);
        failed[3].condition = Condition::Failed;
        let failed = snapshot(failed);
        for _ in 0..5_000 {
            assert_ne!(known(&failed, kind, chance.next_u64()).unwrap().address, address(3));
        }
    }
}

fn any_server(n: usize) -> impl Strategy<Value = Server> {
    let condition = prop_oneof![
        3 => Just(Condition::Active),
        1 => Just(Condition::KnownCallsOnly),
        1 => Just(Condition::Failed)
    ];
    let residual = prop_oneof![3 => Just(None), 1 => (0u32..4).prop_map(Some)];
    let score = prop_oneof![Just(None), (0u32..10_001).prop_map(|score| Some(Score::from_hundredths(score)))];
    (condition, residual, score, prop::option::of(0u32..1001), 1u32..1001).prop_map(
        move |(condition, residual_calls, score, load_permille, weight)| Server {
            condition,
            residual_calls,
            score,
            load_permille,
            weight,
            ..server(n)
        },
    )
}

fn any_farm() -> impl Strategy<Value = Vec<Server>> {
    (0usize..12).prop_flat_map(|size| (0..size).map(any_server).collect::<Vec<_>>())
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(200) })]

    /// Whoever is named has room and was not named before; all that have room are named, up to the bound.
    #[test]
    fn candidates_have_room_are_distinct_and_complete(farm in any_farm(), hash: u64, seed: u64, given in 0usize..10) {
        let snapshot = snapshot(farm.clone());
        for selection in ALL {
            let (selector, _) = selector(selection, &farm);
            let mut chance = Chance::seeded(seed);
            for _ in 0..given {
                if let Some(first) = selector.candidates(base::Time::ZERO, &snapshot, chance.next_u64(), &mut Chance::seeded(seed)).next() {
                    selector.admit(base::Time::ZERO, first);
                }
            }
            let mut named: Vec<_> =
                selector.candidates(base::Time::ZERO, &snapshot, hash, &mut chance).map(|server| server.id).collect();
            let room = |server: &&Server| selector.admitted().has_room(server);
            let may = |server: &&Server| selection != Selection::Score || server.score != Some(Score::default());
            let mut expected: Vec<_> =
                snapshot.servers().iter().filter(room).filter(may).map(|server| server.id).collect();
            // A mean of zero makes the unmeasured zero too.
            let unmeasured = selection == Selection::Score && farm.iter().any(|server| server.score.is_none());
            prop_assert!(named.iter().all(|id| expected.contains(id)), "{:?}", selection);
            let count = named.len();
            named.sort();
            named.dedup();
            prop_assert_eq!(count, named.len(), "{:?} named one twice", selection);
            expected.truncate(8);
            prop_assert!(unmeasured || count == expected.len(), "{:?}: {} of {}", selection, count, expected.len());
        }
    }
}
