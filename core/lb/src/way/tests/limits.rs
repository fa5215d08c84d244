//! Limits that the configuration sets for a server: calls in progress, and new calls in a second.

use base::Duration;

use super::farm::*;
use crate::counters::Counter;
use crate::settings::*;
use crate::why::explain::{Excluded, explain};

/// Two servers, each with these limits.
fn limited(selection: Selection, calls_max: Option<u32>, calls_per_second_max: Option<u32>) -> Farm {
    let mut settings = settings(Affinity::Tag, selection);
    settings.servers.truncate(2);
    for entry in &mut settings.servers {
        (entry.calls_max, entry.calls_per_second_max) = (calls_max, calls_per_second_max);
    }
    // As the configuration has it for servers with `calls_max`.
    settings.count_calls = calls_max.is_some();
    Farm::new(settings)
}

fn invite(farm: &mut Farm, call: &str) -> Left {
    only(farm.udp(CLIENT, &request("INVITE", call, &format!("z9hG4bK{call}"), "")))
}

/// How many calls each server was given, and for how many it was at its limit.
fn given(farm: &Farm) -> Vec<(u64, u64)> {
    farm.table.rows(farm.now).iter().map(|row| (row.new_calls, row.at_limit)).collect()
}

const REFUSED: &str = "SIP/2.0 503 Limits Of Servers Reached";
const EACH: [Selection; 7] = [
    Selection::Hash,
    Selection::RoundRobin,
    Selection::LeastLoaded,
    Selection::Score,
    Selection::Cjsq,
    Selection::Tjsq,
    Selection::Tlwl,
];

#[test]
fn no_server_has_more_calls_in_progress_than_it_may() {
    for selection in EACH {
        let mut farm = limited(selection, Some(3), None);
        let mut up: Vec<(String, Left, Left)> = Vec::new();
        for number in 0..6 {
            let call = format!("c{number}");
            let (sent, answer) = establish(&mut farm, &call);
            up.push((call, sent, answer));
        }
        assert_eq!(given(&farm).iter().map(|(calls, _)| *calls).collect::<Vec<_>>(), [3, 3], "{selection:?}");
        let refused = invite(&mut farm, "more");
        assert_eq!(
            (refused.start_line(), refused.field("Retry-After")),
            (REFUSED, Some("5")),
            "{selection:?}"
        );
        assert_eq!((farm.count(Counter::NoServer), farm.count(Counter::LimitsReached)), (1, 1));
        // Calls that are up go on, and one that ends makes room at its server alone.
        let (call, sent, answer) = up.remove(4);
        let again = from_client("INVITE", &call, "z9hG4bKagain", "bob", &routes(&answer));
        assert_eq!(only(farm.udp(CLIENT, &again)).address(), sent.address(), "{selection:?}");
        let bye = only(farm.udp(CLIENT, &from_client("BYE", &call, "z9hG4bKbye", "bob", &routes(&answer))));
        farm.udp(&bye.address()[4..], &response(&bye, "200 OK"));
        assert_eq!(invite(&mut farm, "next").address(), sent.address(), "{selection:?}");
        assert_eq!(invite(&mut farm, "last").start_line(), REFUSED, "{selection:?}");
        let counted: Vec<_> = farm.table.rows(farm.now).iter().map(|row| row.in_progress).collect();
        if !matches!(selection, Selection::Tjsq | Selection::Tlwl) {
            assert_eq!(counted, [Some(300), Some(300)], "{selection:?}");
        }
    }
}

#[test]
fn a_call_that_fails_or_is_repeated_takes_no_place() {
    let mut farm = limited(Selection::RoundRobin, Some(1), None);
    for number in 0..10 {
        let call = format!("c{number}");
        let sent = invite(&mut farm, &call);
        assert_eq!(invite(&mut farm, &call).address(), sent.address(), "a repetition");
        farm.udp(&sent.address()[4..], &response(&sent, "486 Busy Here"));
    }
    assert_eq!(farm.count(Counter::NoServer), 0);
}

#[test]
fn no_second_has_more_new_calls_than_the_limit() {
    for selection in EACH {
        let mut farm = limited(selection, None, Some(5));
        let mut refused = Vec::new();
        for number in 0..30 {
            let sent = invite(&mut farm, &format!("c{number}"));
            refused.push(sent.start_line() == REFUSED);
            farm.now = farm.now + Duration::from_millis(50);
        }
        // Twenty calls a second for a second and a half: ten, then none until the second is over, then again.
        let passed: usize = refused.iter().filter(|refused| !**refused).count();
        assert_eq!((passed, refused[10], refused[20]), (20, true, false), "{selection:?}: {refused:?}");
        assert_eq!(
            given(&farm).iter().map(|(calls, _)| *calls).collect::<Vec<_>>(),
            [10, 10],
            "{selection:?}"
        );
        assert_eq!(farm.count(Counter::LimitsReached), 10);
    }
}

#[test]
fn a_server_with_a_limit_leaves_the_rest_to_others_and_to_lower_tiers() {
    let mut settings = settings(Affinity::Tag, Selection::RoundRobin);
    settings.servers.truncate(3);
    settings.servers[0].calls_max = Some(2);
    settings.servers[1].calls_max = Some(3);
    settings.servers[2].priority = 1;
    settings.count_calls = true;
    let mut farm = Farm::new(settings);
    for number in 0..12 {
        establish(&mut farm, &format!("c{number}"));
    }
    let given = given(&farm);
    assert_eq!(given.iter().map(|(calls, _)| *calls).collect::<Vec<_>>(), [2, 3, 7]);
    // The turns were 1, 2, 1, 2, 2: at the fourth call the first server was full, at the sixth both were.
    assert_eq!(given.iter().map(|(_, at_limit)| *at_limit).collect::<Vec<_>>(), [9, 7, 0]);
    let choice = farm.shared.why.newest(1).remove(0);
    let out = explain(&farm.shared.why, &farm.shared.settings, choice).candidates;
    let at = |max| Some(Excluded::AtLimit { calls_max: Some(max), calls_per_second_max: None });
    assert_eq!(out.iter().map(|candidate| candidate.excluded).collect::<Vec<_>>(), [at(2), at(3), None]);
    assert_eq!(at(2).map(|limit| limit.to_string()), Some("at its limit: calls_max 2".into()));
}

#[test]
fn a_call_for_help_is_not_turned_away_by_a_limit() {
    let mut farm = limited(Selection::RoundRobin, Some(1), Some(1));
    for call in ["a", "b"] {
        invite(&mut farm, call);
    }
    assert_eq!(invite(&mut farm, "c").start_line(), REFUSED);
    let help = request("INVITE", "h", "z9hG4bKh", "").replace("sip:bob@198.51.100.1", "urn:service:sos");
    assert!(only(farm.udp(CLIENT, &help)).start_line().starts_with("INVITE"));
}

#[test]
fn limits_change_at_run_time_and_the_calls_of_the_last_second_go_on_counting() {
    let mut farm = limited(Selection::RoundRobin, None, Some(2));
    for number in 0..4 {
        invite(&mut farm, &format!("c{number}"));
    }
    let mut entries = farm.shared.settings.servers.clone();
    assert!(farm.table.reconfigure(farm.now, &entries).is_empty());
    farm.publish();
    assert_eq!(invite(&mut farm, "same").start_line(), REFUSED);
    entries[0].calls_per_second_max = Some(3);
    entries[1].calls_per_second_max = None;
    assert!(farm.table.reconfigure(farm.now, &entries).is_empty());
    farm.publish();
    for number in 0..20 {
        assert!(invite(&mut farm, &format!("d{number}")).start_line().starts_with("INVITE"));
    }
    assert_eq!(given(&farm)[0].0, 5, "two, and three under the new limit");
}
