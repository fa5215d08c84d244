//! A server that failed and is tried again: which calls it gets, and which stay where they were taken over.

use base::Duration;

use super::farm::*;
use crate::counters::Counter;
use crate::farm::condition::Condition;
use crate::settings::*;

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
