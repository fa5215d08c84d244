//! Servers of a lower priority: they get new calls only while no server of a better one takes them, and keep what they have.

use super::farm::*;
use crate::counters::Counter;
use crate::settings::*;
use crate::why::explain::{Excluded, explain};

/// Servers 1 and 2 are the first, 3 and 4 stand behind them.
fn two_tiers(affinity: Affinity, selection: Selection) -> Farm {
    let mut settings = settings(affinity, selection);
    for entry in &mut settings.servers[2..] {
        entry.priority = 1;
    }
    Farm::new(settings)
}

/// Drains the servers with these last bytes, and no other.
fn drained(farm: &mut Farm, which: &[u8]) {
    for last in 1..=4u8 {
        let address = std::net::SocketAddr::from(([10, 0, 0, last], 5060));
        farm.table.drain(farm.now, address, which.contains(&last));
    }
    farm.publish();
}

/// The last byte of the server.
fn last(left: &Left) -> u8 {
    let address = left.address();
    address.trim_start_matches("udp 10.0.0.").trim_end_matches(":5060").parse().unwrap()
}

/// The servers of 40 new calls, each named once.
fn who_gets_calls(farm: &mut Farm, name: &str) -> Vec<u8> {
    let mut servers: Vec<u8> = (0..40)
        .map(|call| {
            let call = format!("{name}{call}");
            last(&only(farm.udp(CLIENT, &request("INVITE", &call, &format!("z9hG4bK{call}"), ""))))
        })
        .collect();
    servers.sort_unstable();
    servers.dedup();
    servers
}

const EACH: [(Affinity, Selection); 8] = [
    (Affinity::Hash, Selection::Hash),
    (Affinity::Tag, Selection::Hash),
    (Affinity::Tag, Selection::RoundRobin),
    (Affinity::Tag, Selection::LeastLoaded),
    (Affinity::Session, Selection::Score),
    (Affinity::Tag, Selection::Cjsq),
    (Affinity::Tag, Selection::Tjsq),
    (Affinity::Session, Selection::Tlwl),
];

#[test]
fn a_lower_tier_gets_new_calls_only_while_no_better_one_takes_them() {
    for (affinity, selection) in EACH {
        let mut farm = two_tiers(affinity, selection);
        assert_eq!(who_gets_calls(&mut farm, "a"), [1, 2], "{selection:?}: the first tier takes them");
        drained(&mut farm, &[1]);
        assert_eq!(who_gets_calls(&mut farm, "b"), [2], "{selection:?}: one of the first tier is enough");
        drained(&mut farm, &[1, 2]);
        assert_eq!(who_gets_calls(&mut farm, "c"), [3, 4], "{selection:?}: the second tier takes over");
        drained(&mut farm, &[]);
        let back = who_gets_calls(&mut farm, "d");
        assert!(back.iter().all(|last| *last <= 2), "{selection:?}: the first tier is back: {back:?}");
        for last in [1, 2] {
            farm.kill(&format!("10.0.0.{last}:5060"));
        }
        assert_eq!(who_gets_calls(&mut farm, "e"), [3, 4], "{selection:?}: the first tier has failed");
        drained(&mut farm, &[3, 4]);
        let refused = only(farm.udp(CLIENT, &request("INVITE", "none", "z9hG4bKnone", "")));
        assert_eq!(refused.start_line(), "SIP/2.0 503 No Server Available", "{selection:?}");
    }
}

#[test]
fn a_known_call_stays_in_the_lower_tier_when_a_better_one_is_back() {
    for (affinity, selection) in EACH {
        let mut farm = two_tiers(affinity, selection);
        drained(&mut farm, &[1, 2]);
        let (invite, answer) = establish(&mut farm, "known");
        assert!(last(&invite) > 2, "{selection:?}");
        drained(&mut farm, &[]);
        let bye = from_client("BYE", "known", "z9hG4bKbye", "bob", &routes(&answer));
        assert_eq!(only(farm.udp(CLIENT, &bye)).address(), invite.address(), "{affinity:?} {selection:?}");
    }
}

#[test]
fn calls_of_a_failed_server_go_to_the_best_tier_that_is_left() {
    for (affinity, selection) in EACH {
        let mut farm = two_tiers(affinity, selection);
        for number in 0..20 {
            let call = format!("c{number}");
            let (invite, answer) = establish(&mut farm, &call);
            let (of, other) = (last(&invite), 3 - last(&invite));
            farm.kill(&format!("10.0.0.{of}:5060"));
            let bye = from_client("BYE", &call, &format!("z9hG4bKb{call}"), "bob", &routes(&answer));
            assert_eq!(last(&only(farm.udp(CLIENT, &bye))), other, "{affinity:?} {selection:?}");
            farm = two_tiers(affinity, selection);
        }
    }
}

#[test]
fn round_robin_in_the_lower_tier_is_strict_and_a_refused_call_goes_down_the_tiers() {
    let mut farm = two_tiers(Affinity::Tag, Selection::RoundRobin);
    drained(&mut farm, &[1, 2]);
    let turns: Vec<u8> = (0..6)
        .map(|call| {
            last(&only(
                farm.udp(CLIENT, &request("INVITE", &format!("r{call}"), &format!("z9hG4bKr{call}"), "")),
            ))
        })
        .collect();
    assert_eq!(turns, [3, 4, 3, 4, 3, 4]);
    drained(&mut farm, &[]);
    // A held set-up that its server refuses: the other of its tier, then the next tier.
    let invite = request("INVITE", "held", "z9hG4bKheld", "").replace("UDP", "TCP");
    let mut sent = only(farm.tcp("192.0.2.1:40000", 3, &invite));
    let mut tried = vec![last(&sent)];
    for _ in 0..2 {
        let full = "503 Service Unavailable\r\nRetry-After: 120";
        farm.udp(&sent.address()[4..], &response(&sent, full));
        sent = only(farm.timers());
        tried.push(last(&sent));
    }
    tried[..2].sort_unstable();
    assert_eq!(tried[..2], [1, 2]);
    assert!(tried[2] > 2, "{tried:?}");
}

#[test]
fn why_says_that_a_better_tier_took_the_call() {
    let mut farm = two_tiers(Affinity::Tag, Selection::RoundRobin);
    farm.udp(CLIENT, &request("INVITE", "a", "z9hG4bKa", ""));
    let explained = |farm: &Farm| {
        let choice = farm.shared.why.newest(1).remove(0);
        explain(&farm.shared.why, &farm.shared.settings, choice).candidates
    };
    let candidates = explained(&farm);
    let behind = Excluded::Behind { priority: 1, winner: 0 };
    let out: Vec<_> = candidates.iter().map(|candidate| candidate.excluded).collect();
    assert_eq!(out, [None, None, Some(behind), Some(behind)]);
    let shares: Vec<_> = candidates.iter().map(|candidate| candidate.share_permille).collect();
    assert_eq!(shares, [Some(500), Some(500), None, None]);
    assert_eq!(behind.to_string(), "priority 1: a server of priority 0 took the call");
    drained(&mut farm, &[1, 2]);
    farm.udp(CLIENT, &request("INVITE", "b", "z9hG4bKb", ""));
    let out = explained(&farm);
    assert!(out[0].excluded.is_some() && out[2].excluded.is_none() && out[3].excluded.is_none(), "{out:?}");
    assert_eq!(farm.count(Counter::NoServer), 0);
}
