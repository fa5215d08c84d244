//! The ledger's promise: whatever happens to a call or transaction, its server's count comes back to zero, once.

use base::{Duration, Time};
use proptest::prelude::*;
use strowger_lb::farm::server::Seat;
use strowger_lb::memory::ledger::{Begun, ENDED_TIME, Ledger, ONE, Unit};

const FIRST: Seat = Seat { slot: 0, incarnation: 1 };
const SECOND: Seat = Seat { slot: 1, incarnation: 2 };
const HOUR: Duration = Duration::from_secs(3600);

fn ledger(unit: Unit) -> Ledger {
    let ledger = Ledger::new(unit, 1000, 2);
    ledger.attach(FIRST);
    ledger.attach(SECOND);
    ledger
}

/// Turns of the sweep until it has passed everything.
fn sweep_all(ledger: &Ledger, now: Time) {
    (0..6).for_each(|turn| _ = ledger.sweep(now + Duration::from_secs(turn)));
}

/// Sweeps at some later time and gives what is left at the two servers.
fn left_after(ledger: &Ledger, now: Time, later: Duration) -> (u32, u32) {
    sweep_all(ledger, now + later);
    (ledger.count(0), ledger.count(1))
}

#[test]
fn every_way_of_ending_leaves_zero() {
    let now = Time::from_secs(1);
    type Way = (&'static str, fn(&Ledger, Time));
    let ways: &[Way] = &[
        ("never ended: it expires", |_, _| {}),
        ("ended once", |ledger, now| assert!(ledger.end(now, 7))),
        ("ended twice", |ledger, now| {
            assert!(ledger.end(now, 7));
            assert!(!ledger.end(now, 7));
        }),
        ("begun again after its end: a late retransmission", |ledger, now| {
            ledger.end(now, 7);
            assert_eq!(ledger.begin(now, 7, FIRST, true, now + HOUR), Begun::Known);
            assert_eq!(ledger.count(0), 0);
        }),
        ("ended after it expired", |ledger, now| assert!(!ledger.end(now + HOUR * 2, 7))),
        ("begun again after it expired, then ended", |ledger, now| {
            let later = now + HOUR * 2;
            assert_eq!(ledger.begin(later, 7, SECOND, true, later + HOUR), Begun::New);
            assert_eq!((ledger.count(0), ledger.count(1)), (0, u32::from(ONE)));
            assert!(ledger.end(later, 7));
        }),
        ("moved, then ended", |ledger, now| {
            ledger.move_to(now, 7, SECOND);
            ledger.move_to(now, 7, SECOND);
            assert_eq!((ledger.count(0), ledger.count(1)), (0, u32::from(ONE)));
            assert!(ledger.end(now, 7));
        }),
        ("moved after its end", |ledger, now| {
            ledger.end(now, 7);
            ledger.move_to(now, 7, SECOND);
            assert_eq!((ledger.count(0), ledger.count(1)), (0, 0));
        }),
        ("prolonged, then expired", |ledger, now| {
            ledger.extend(now, 7, now + HOUR * 2);
            sweep_all(ledger, now + HOUR + Duration::from_secs(60));
            assert_eq!(ledger.count(0), u32::from(ONE));
        }),
        ("its server removed, then ended", |ledger, now| {
            ledger.attach(Seat { incarnation: 9, ..FIRST });
            assert_eq!(ledger.count(0), 0);
            assert!(ledger.end(now, 7));
        }),
        ("its server removed and back at the same slot, then expired", |ledger, _| {
            ledger.attach(Seat { incarnation: 9, ..FIRST });
        }),
    ];
    for (name, way) in ways {
        let ledger = ledger(Unit::Calls);
        assert_eq!(ledger.begin(now, 7, FIRST, true, now + HOUR), Begun::New);
        assert_eq!(ledger.begin(now, 7, SECOND, true, now + HOUR), Begun::Known);
        assert_eq!((ledger.count(0), ledger.count(1)), (u32::from(ONE), 0), "{name}");
        way(&ledger, now);
        assert_eq!(left_after(&ledger, now, HOUR * 4), (0, 0), "{name}");
        assert_eq!(ledger.entries().len(), 0, "{name}");
    }
}

#[test]
fn an_ended_one_is_remembered_for_its_retransmissions_and_no_longer() {
    let (ledger, now) = (ledger(Unit::Transactions), Time::from_secs(1));
    ledger.begin(now, 7, FIRST, false, now + HOUR);
    ledger.end(now, 7);
    let late = now + ENDED_TIME - Duration::from_millis(1);
    assert_eq!(ledger.begin(late, 7, FIRST, false, late + HOUR), Begun::Known);
    let anew = now + ENDED_TIME + Duration::from_secs(1);
    assert_eq!(ledger.begin(anew, 7, FIRST, false, anew + HOUR), Begun::New);
}

#[test]
fn work_weighs_an_invite_more() {
    let (ledger, now) = (ledger(Unit::Work { invite_percent: 175 }), Time::from_secs(1));
    ledger.begin(now, 1, FIRST, true, now + HOUR);
    ledger.begin(now, 2, FIRST, false, now + HOUR);
    assert_eq!(ledger.count(0), 275);
    ledger.end(now, 1);
    assert_eq!(ledger.count(0), 100);
}

#[test]
fn a_full_ledger_counts_no_more_and_says_so() {
    let (ledger, now) = (ledger(Unit::Calls), Time::from_secs(1));
    let full = (0..1100u64)
        .filter(|n| ledger.begin(now, n << 40 | n, FIRST, true, now + HOUR) == Begun::Full)
        .count();
    assert_eq!((full, ledger.count(0), ledger.entries().refused()), (100, 100_000, 100));
    assert_eq!(left_after(&ledger, now, HOUR * 2), (0, 0));
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(300) })]

    /// A model that knows each counted call by key: server and weight. Counts are compared after each event.
    #[test]
    fn counts_are_those_of_a_model(
        events in prop::collection::vec((0u8..7, 0u64..30, 0u16..2, any::<bool>(), 0u64..60_000), 1..300)
    ) {
        let ledger = ledger(Unit::Work { invite_percent: 175 });
        let mut seats = [FIRST, SECOND];
        let mut now = Time::from_secs(1);
        // By key: seat, weight (0: ended), until. Expired entries may still be counted until they are swept.
        let mut model: std::collections::HashMap<u64, (Seat, u32, Time)> = Default::default();
        let kept = |until: Time| Time::from_micros(until.as_micros().div_ceil(1 << 16) << 16);
        for (kind, key, server, invite, ms) in events {
            let (key, seat) = (key << 58 | key, seats[usize::from(server)]);
            let until = kept(now + Duration::from_millis(ms));
            let living = model.get(&key).copied().filter(|(_, _, until)| now < *until);
            match kind {
                0 | 1 => {
                    let begun = ledger.begin(now, key, seat, invite, until);
                    prop_assert_eq!(begun, if living.is_some() { Begun::Known } else { Begun::New });
                    if living.is_none() {
                        model.insert(key, (seat, if invite { 175 } else { 100 }, until));
                    }
                }
                2 => {
                    let counted = living.is_some_and(|(_, weight, _)| weight > 0);
                    prop_assert_eq!(ledger.end(now, key), counted);
                    if let (true, Some((_, weight, until))) = (counted, model.get_mut(&key)) {
                        *weight = 0;
                        *until = kept((*until).min(now + ENDED_TIME));
                    }
                }
                3 => {
                    ledger.move_to(now, key, seat);
                    if let (Some((_, 1.., _)), Some(entry)) = (living, model.get_mut(&key)) {
                        entry.0 = seat;
                    }
                }
                4 => {
                    ledger.extend(now, key, until);
                    if let (Some((_, 1.., _)), Some(entry)) = (living, model.get_mut(&key)) {
                        entry.2 = entry.2.max(until);
                    }
                }
                5 => now = now + Duration::from_millis(ms / 4),
                _ => {
                    // A server leaves and another takes its slot.
                    seats[usize::from(server)].incarnation += 2;
                    ledger.attach(seats[usize::from(server)]);
                }
            }
            for seat in seats {
                let at = |late: bool| -> u32 {
                    let counted = model.values().filter(|(at, _, until)| *at == seat && (late || now < *until));
                    counted.map(|(_, weight, _)| *weight).sum()
                };
                let count = ledger.count(seat.slot);
                // Between what lives and what lives or waits for the sweep; never below, never above.
                prop_assert!(at(false) <= count && count <= at(true), "{} {} {}", at(false), count, at(true));
            }
        }
        let end = now + HOUR;
        sweep_all(&ledger, end);
        prop_assert_eq!((ledger.count(0), ledger.count(1), ledger.entries().len()), (0, 0, 0));
    }
}
