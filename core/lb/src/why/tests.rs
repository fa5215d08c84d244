//! A choice that was noted can be read again unchanged, whatever the size of ring and farm.

use base::Duration;

use super::explain::{By, Excluded, explain};
use super::*;
use crate::counters::Counter;
use crate::farm::condition::Cause;
use crate::settings::{Affinity, HashKind, Selection, Settings};
use crate::way::tests::farm::{CLIENT, Farm, request, settings};

fn invite(call: &str) -> String {
    request("INVITE", call, &format!("z9hG4bK{call}"), "")
}

#[test]
fn each_new_call_is_explained_and_the_winners_are_those_that_got_it() {
    let mut farm = Farm::of(Affinity::Tag, Selection::Cjsq);
    for number in 0..20 {
        let call = format!("call-{number}");
        let sent = farm.udp(CLIENT, &invite(&call));
        let choices = farm.shared.why.of_call(farm.shared.keys.call(call.as_bytes()));
        let [choice] = choices.as_slice() else { panic!("{choices:?}") };
        assert_eq!((choice.kind, choice.call_id.as_slice()), (Kind::Selected, call.as_bytes()));
        let explained = explain(&farm.shared.why, &farm.shared.settings, choice.clone());
        assert_eq!(explained.by, By::Selection(Selection::Cjsq));
        let winner = explained.candidates.iter().find(|candidate| candidate.won).unwrap();
        assert_eq!(sent[0].address(), format!("udp {}", winner.server.address));
        let least = explained.candidates.iter().filter_map(|candidate| candidate.counted).min();
        assert_eq!(winner.counted, least, "of {:?}", explained.choice.figures);
        let before: u32 = explained.candidates.iter().filter_map(|candidate| candidate.counted).sum();
        assert_eq!(before, number * 100, "what is counted are the calls before this one");
    }
    assert_eq!(farm.count(Counter::NewCall), 20);
    assert_eq!(farm.shared.why.newest(1000).len(), 20);
    assert_eq!(farm.shared.why.newest(3)[2].call_id, b"call-19");
}

#[test]
fn a_repetition_chooses_nothing_and_a_takeover_says_from_whom() {
    let mut farm = Farm::of(Affinity::Tag, Selection::RoundRobin);
    let first = farm.udp(CLIENT, &invite("a"));
    farm.udp(CLIENT, &invite("a"));
    farm.kill(&first[0].address());
    farm.udp(CLIENT, &invite("a"));
    let choices = farm.shared.why.of_call(farm.shared.keys.call(b"a"));
    let kinds: Vec<Kind> = choices.iter().map(|choice| choice.kind).collect();
    assert_eq!(kinds, [Kind::Selected, Kind::TakenOver]);
    assert_eq!(choices[1].from, choices[0].winner);
    assert_ne!(choices[1].winner, choices[0].winner);
    assert_eq!(
        explain(&farm.shared.why, &farm.shared.settings, choices[1].clone()).by,
        By::Hash(HashKind::Consistent)
    );
}

#[test]
fn who_was_excluded_and_why() {
    let mut farm = Farm::of(Affinity::Tag, Selection::RoundRobin);
    let drained = farm.table.rows(farm.now)[1].address;
    farm.table.drain(farm.now, drained, true);
    farm.publish();
    farm.udp(CLIENT, &invite("a"));
    let choice = farm.shared.why.newest(1).remove(0);
    let explained = explain(&farm.shared.why, &farm.shared.settings, choice);
    let out: Vec<_> = explained.candidates.iter().filter_map(|candidate| candidate.excluded).collect();
    assert_eq!(out, [Excluded::KnownCallsOnly(Cause::Drained)]);
    let shares: Vec<_> =
        explained.candidates.iter().filter_map(|candidate| candidate.share_permille).collect();
    assert_eq!(shares.iter().sum::<u32>() / shares.len() as u32, 1000 / shares.len() as u32);
}

#[test]
fn nobody_could_take_it() {
    let mut farm = Farm::of(Affinity::Tag, Selection::RoundRobin);
    for row in farm.table.rows(farm.now) {
        farm.table.drain(farm.now, row.address, true);
    }
    farm.publish();
    farm.udp(CLIENT, &invite("a"));
    let choice = farm.shared.why.newest(1).remove(0);
    assert_eq!((choice.kind, choice.winner), (Kind::Refused, None));
    let explained = explain(&farm.shared.why, &farm.shared.settings, choice);
    assert!(!explained.candidates.is_empty());
    assert!(explained.candidates.iter().all(|candidate| candidate.excluded.is_some()));
}

#[test]
fn a_full_ring_keeps_the_newest_and_none_keeps_nothing() {
    let mut farm = Farm::new(Settings { why_calls: 5, ..settings(Affinity::Tag, Selection::RoundRobin) });
    let mut follower = Follower::default();
    for number in 0..10 {
        farm.udp(CLIENT, &invite(&format!("call-{number}")));
    }
    let newest = farm.shared.why.newest(100);
    assert_eq!(newest.len(), 8, "rounded up to a power of two");
    assert_eq!(newest[0].call_id, b"call-2");
    assert!(farm.shared.why.of_call(farm.shared.keys.call(b"call-1")).is_empty());
    let (followed, missed) = farm.shared.why.follow(&mut follower, 1000);
    assert_eq!((followed.len(), missed), (8, 2));
    farm.udp(CLIENT, &invite("more"));
    let (followed, missed) = farm.shared.why.follow(&mut follower, 1000);
    assert_eq!((followed.len(), missed), (1, 0));

    let mut farm = Farm::new(Settings { why_calls: 0, ..settings(Affinity::Tag, Selection::RoundRobin) });
    farm.udp(CLIENT, &invite("a"));
    assert!(farm.shared.why.newest(100).is_empty());
    assert!(farm.shared.why.snapshot(farm.shared.epoch()).is_some(), "the first alone");
}

#[test]
fn a_long_call_id_is_cut_in_the_record_but_found_whole() {
    let mut farm = Farm::of(Affinity::Tag, Selection::RoundRobin);
    let call = "x".repeat(200);
    farm.udp(CLIENT, &invite(&call));
    let choice = farm.shared.why.of_call(farm.shared.keys.call(call.as_bytes())).remove(0);
    assert_eq!((choice.call_id.len(), choice.call_id_bytes), (64, 200));
}

#[test]
fn a_table_that_is_no_longer_kept_is_said_to_be_so() {
    let mut farm = Farm::of(Affinity::Tag, Selection::RoundRobin);
    farm.udp(CLIENT, &invite("a"));
    let drained = farm.table.rows(farm.now)[0].address;
    for round in 0..=SNAPSHOTS_MAX {
        farm.now = farm.now + Duration::from_secs(1);
        farm.table.drain(farm.now, drained, round % 2 == 0);
        farm.publish();
    }
    let choice = farm.shared.why.of_call(farm.shared.keys.call(b"a")).remove(0);
    assert!(explain(&farm.shared.why, &farm.shared.settings, choice).candidates.is_empty());
}
