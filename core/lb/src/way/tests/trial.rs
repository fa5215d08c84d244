//! A server that failed and is tried again: which calls it gets, and which stay where they were taken over.

use base::Duration;

use super::farm::*;
use crate::counters::Counter;
use crate::farm::condition::Condition;
use crate::settings::*;
use sip::{Target, Transport};

const DEAD: &str = "10.0.0.1:5060";

fn server(left: &Left) -> String {
    left.address()[4..].to_owned()
}

fn tick(farm: &mut Farm, milliseconds: u64) {
    farm.now = farm.now + Duration::from_millis(milliseconds);
    farm.publish();
}

fn condition(farm: &Farm, server: &str) -> Condition {
    let rows = farm.table.rows(farm.now);
    rows.iter().find(|row| row.address.to_string() == server).unwrap().condition
}

/// A farm with 40 calls, and one server that has gone silent and is failed. Returns also the answers to the INVITEs of
/// its calls.
fn with_a_silent_server(affinity: Affinity) -> (Farm, Vec<(String, Left)>) {
    let mut farm = Farm::new(Settings { probe: Probe::Traffic, ..settings(affinity, Selection::RoundRobin) });
    let mut its = Vec::new();
    for call in 0..40 {
        let name = format!("c{call}");
        let (invite, answer) = establish(&mut farm, &name);
        if server(&invite) == DEAD {
            its.push((name, answer));
        }
    }
    assert!(its.len() >= 5);
    tick(&mut farm, 100);
    for round in 0..200 {
        if condition(&farm, DEAD) == Condition::Failed {
            break;
        }
        let (name, answer) = &its[0];
        farm.udp(CLIENT, &from_client("INFO", name, &format!("z9hG4bKi{round}"), "bob", &routes(answer)));
        tick(&mut farm, 100);
    }
    assert_eq!(condition(&farm, DEAD), Condition::Failed);
    (farm, its)
}

/// Where a request of this call goes.
fn info(farm: &mut Farm, (name, answer): &(String, Left), branch: &str) -> Left {
    let text = from_client("INFO", name, &format!("z9hG4bK{branch}{name}"), "bob", &routes(answer));
    only(farm.udp(CLIENT, &text))
}

#[test]
fn known_calls_follow_a_server_back_when_it_has_answered_and_three_new_ones_find_that_out() {
    for affinity in [Affinity::Tag, Affinity::Session, Affinity::Hash] {
        let (mut farm, its) = with_a_silent_server(affinity);
        tick(&mut farm, 1100);
        assert_eq!(condition(&farm, DEAD), Condition::Trial);
        for call in &its {
            assert_ne!(server(&info(&mut farm, call, "a")), DEAD, "{affinity:?}");
        }
        let mut tried = Vec::new();
        for call in 0..40 {
            let name = format!("n{call}");
            let invite = only(farm.udp(CLIENT, &request("INVITE", &name, &format!("z9hG4bK{name}"), "")));
            if server(&invite) == DEAD {
                tried.push((name, invite));
            }
        }
        assert_eq!(tried.len(), 3, "{affinity:?}");
        // Requests of a call of the trial find the server.
        let (name, invite) = &tried[0];
        for method in ["INVITE", "CANCEL"] {
            let text = request(method, name, &format!("z9hG4bK{name}"), "");
            assert_eq!(server(&only(farm.udp(CLIENT, &text))), DEAD, "{affinity:?} {method}");
        }
        // The server has answered: the call is there even before the table has seen that.
        let answer = only(farm.udp(DEAD, &response(invite, "200 OK")));
        let ack = from_client("ACK", name, &format!("z9hG4bKack{name}"), "bob", &routes(&answer));
        assert_eq!(server(&only(farm.udp(CLIENT, &ack))), DEAD, "{affinity:?}");
        tick(&mut farm, 100);
        assert_eq!(condition(&farm, DEAD), Condition::Active);
        let bye = from_client("BYE", name, &format!("z9hG4bKbye{name}"), "bob", &routes(&answer));
        let bye = only(farm.udp(CLIENT, &bye));
        only(farm.udp(DEAD, &response(&bye, "200 OK")));
        assert_eq!(farm.count(Counter::SessionCompleted), 1, "{affinity:?}");
        if affinity == Affinity::Tag {
            assert!(its.iter().all(|call| server(&info(&mut farm, call, "b")) == DEAD));
        }
    }
}

#[test]
fn a_server_that_stays_dead_gets_no_known_call_however_often_it_is_tried() {
    let (mut farm, its) = with_a_silent_server(Affinity::Tag);
    let mut trials = 0;
    for round in 0..600 {
        let was = condition(&farm, DEAD);
        tick(&mut farm, 100);
        trials += u32::from(was != Condition::Trial && condition(&farm, DEAD) == Condition::Trial);
        let sent = info(&mut farm, &its[round % its.len()], &round.to_string());
        assert_ne!(server(&sent), DEAD, "after {round}");
        farm.udp(&server(&sent), &response(&sent, "200 OK"));
        let name = format!("n{round}");
        only(farm.udp(CLIENT, &request("INVITE", &name, &format!("z9hG4bK{name}"), "")));
    }
    assert!(trials >= 3, "{trials}");
}

#[test]
fn where_all_are_tried_known_calls_are_not_refused() {
    let (mut farm, its) = with_a_silent_server(Affinity::Tag);
    for last in 2..=4 {
        farm.kill(&format!("10.0.0.{last}:5060"));
    }
    tick(&mut farm, 100);
    assert_eq!(condition(&farm, DEAD), Condition::Trial);
    assert_eq!(server(&info(&mut farm, &its[0], "a")), DEAD);
}

fn over_tcp() -> Farm {
    let mut given = settings(Affinity::Tag, Selection::RoundRobin);
    given.servers.iter_mut().for_each(|server| server.transport = Transport::Tcp);
    Farm::new(Settings { probe: Probe::Traffic, ..given })
}

/// The first server refuses every connection, fails, and is on trial.
fn fail_and_try(farm: &mut Farm) {
    refuse(farm);
    assert_eq!(condition(farm, DEAD), Condition::Failed);
    tick(farm, 1100);
    assert_eq!(condition(farm, DEAD), Condition::Trial);
}

fn with_a_refusing_server() -> Farm {
    let mut farm = over_tcp();
    fail_and_try(&mut farm);
    farm
}

/// The server refuses connections until the table knows.
fn refuse(farm: &mut Farm) {
    for _ in 0..3 {
        farm.send_failed(Target::Stream { listener: 1, to: DEAD.parse().unwrap() });
    }
    tick(farm, 100);
}

/// The INVITE of a call over TCP that the server on trial gets.
fn held_in_trial(farm: &mut Farm, name: &str) -> Left {
    let mut invites = (0..8).map(|call| {
        let text = request("INVITE", &format!("{name}{call}"), &format!("z9hG4bK{name}{call}"), "");
        only(farm.tcp("192.0.2.1:40000", 3, &text))
    });
    invites.find(|invite| server(invite) == DEAD).unwrap()
}

#[test]
fn a_held_set_up_leaves_a_server_on_trial_that_refuses_its_connections() {
    let mut farm = with_a_refusing_server();
    let invite = held_in_trial(&mut farm, "n");
    assert!(farm.closed(DEAD).is_empty(), "a server on trial is asked by its calls alone");
    for pause_ms in [0, 500, 1000] {
        farm.now = farm.now + Duration::from_millis(pause_ms);
        assert_eq!(only(farm.timers()).text, invite.text, "after {pause_ms} ms");
        farm.closed(DEAD);
    }
    assert_ne!(server(&only(farm.timers())), DEAD);
}

#[test]
fn a_held_set_up_leaves_a_server_whose_trial_has_failed() {
    let mut farm = with_a_refusing_server();
    let invite = held_in_trial(&mut farm, "n");
    refuse(&mut farm);
    assert_eq!(condition(&farm, DEAD), Condition::Failed);
    let moved = only(farm.timers());
    assert_eq!(moved.fields("Call-ID"), invite.fields("Call-ID"));
    assert_ne!(server(&moved), DEAD);
}

#[test]
fn two_set_ups_of_one_moment_are_both_sent_again() {
    let mut farm = with_a_refusing_server();
    for name in ["n", "m"] {
        let invite = held_in_trial(&mut farm, name);
        farm.send_failed(invite.to);
    }
    farm.now = farm.now + Duration::from_millis(1000);
    assert_eq!(farm.timers().iter().filter(|left| server(left) == DEAD).count(), 2);
}

#[test]
fn while_a_server_is_on_trial_its_calls_are_still_taken_over() {
    let (mut farm, its) = with_a_silent_server(Affinity::Tag);
    let asked = |name: &str, branch: &str| {
        format!(
            "INFO sip:alice@192.0.2.1 SIP/2.0\r\nVia: SIP/2.0/UDP {DEAD};branch=z9hG4bK{branch}\r\nMax-Forwards: 70\r\n\
             From: <sip:bob@example.com>;tag=bob\r\nTo: <sip:alice@example.com>;tag=alice\r\nCall-ID: {name}\r\n\
             CSeq: 1 INFO\r\nContent-Length: 0\r\n\r\n"
        )
    };
    let late = only(farm.udp(DEAD, &asked("late", "late")));
    tick(&mut farm, 1100);
    assert_eq!(condition(&farm, DEAD), Condition::Trial);
    let (name, answer) = &its[0];
    let routes = format!("{}Route: <sip:{DEAD};lr>\r\n", routes(answer));
    let bye = only(farm.udp(CLIENT, &from_client("BYE", name, "z9hG4bKbye", "bob", &routes)));
    let taker = server(&bye);
    assert_ne!(taker, DEAD);
    assert!(bye.text.contains(&format!("Route: <sip:{taker};lr>")), "{}", bye.text);
    // It asked after it had failed: it lives, and hears the answer.
    let there = only(farm.udp(CLIENT, &response(&late, "200 OK")));
    assert_eq!(server(&there), DEAD);
}

#[test]
fn while_a_server_is_on_trial_the_answers_of_clients_go_to_the_server_that_takes_over() {
    let mut farm = over_tcp();
    let info = format!(
        "INFO sip:alice@192.0.2.1 SIP/2.0\r\nVia: SIP/2.0/TCP {DEAD};branch=z9hG4bKs\r\nMax-Forwards: 70\r\n\
         From: <sip:bob@example.com>;tag=bob\r\nTo: <sip:alice@example.com>;tag=alice\r\nCall-ID: c9\r\n\
         CSeq: 1 INFO\r\nContent-Length: 0\r\n\r\n"
    );
    let sent = only(farm.tcp(DEAD, 9, &info));
    tick(&mut farm, 1);
    fail_and_try(&mut farm);
    assert_ne!(server(&only(farm.udp(CLIENT, &response(&sent, "200 OK")))), DEAD);
}
