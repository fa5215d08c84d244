//! Delays and counts of RFC 6076, by whole messages.

use base::Duration;

use super::farm::{CLIENT, Farm, Left, from_client, request, response, routes};
use crate::counters::Counter;
use crate::farm::delays::{BOUNDS_MS, Delay};
use crate::settings::{Affinity, Selection};

fn wait(farm: &mut Farm, ms: u64) {
    farm.now = farm.now + Duration::from_millis(ms);
}

/// What all servers together took: how many, and in which buckets' bounds.
fn measured(farm: &Farm, what: Delay) -> Vec<u32> {
    let of_row = |row: &crate::farm::server_table::RowView| farm.shared.tables.delays.of(row.seat, what);
    let mut bounds = Vec::new();
    for row in farm.table.rows(farm.now) {
        for (bound, count) in BOUNDS_MS.iter().chain([&u32::MAX]).zip(of_row(&row).counts) {
            bounds.extend(std::iter::repeat_n(*bound, count as usize));
        }
    }
    bounds.sort_unstable();
    bounds
}

fn answer(farm: &mut Farm, to: &Left, status: &str) {
    let from = to.address().trim_start_matches("udp ").to_owned();
    let answer = response(to, status);
    assert_eq!(farm.udp(&from, &answer).len(), 1, "{answer}");
}

fn all() -> impl Iterator<Item = Farm> {
    [Affinity::Tag, Affinity::Session, Affinity::Hash]
        .into_iter()
        .map(|affinity| Farm::of(affinity, Selection::RoundRobin))
}

#[test]
fn a_call_is_timed_to_its_first_sign_of_life_once() {
    for mut farm in all() {
        let invite = farm.udp(CLIENT, &request("INVITE", "a", "z9hG4bKa", "")).remove(0);
        wait(&mut farm, 30);
        answer(&mut farm, &invite, "100 Trying");
        assert_eq!(measured(&farm, Delay::Session), []);
        wait(&mut farm, 30);
        answer(&mut farm, &invite, "183 Session Progress");
        wait(&mut farm, 4000);
        answer(&mut farm, &invite, "180 Ringing");
        for _ in 0..2 {
            answer(&mut farm, &invite, "200 OK");
        }
        assert_eq!(measured(&farm, Delay::Session), [100], "60 ms");
        assert_eq!(measured(&farm, Delay::FailedSession), []);
        assert_eq!(farm.count(Counter::SessionEstablished), 1, "a repeated 200 is no other call");
    }
}

#[test]
fn without_a_provisional_response_the_200_counts_and_a_failure_counts_apart() {
    for mut farm in all() {
        let invite = farm.udp(CLIENT, &request("INVITE", "a", "z9hG4bKa", "")).remove(0);
        wait(&mut farm, 3);
        answer(&mut farm, &invite, "200 OK");
        assert_eq!(measured(&farm, Delay::Session), [5]);
        for (call, status) in
            [("b", "486 Busy Here"), ("c", "401 Unauthorized"), ("d", "302 Moved Temporarily")]
        {
            let invite = farm.udp(CLIENT, &request("INVITE", call, &format!("z9hG4bK{call}"), "")).remove(0);
            wait(&mut farm, 700);
            for _ in 0..2 {
                answer(&mut farm, &invite, status);
            }
        }
        assert_eq!(
            measured(&farm, Delay::FailedSession),
            [1000],
            "neither a challenge nor a redirection failed"
        );
        assert_eq!(farm.count(Counter::SessionDeclined), 1);
        assert_eq!(farm.count(Counter::SessionRedirected), 1);
        assert_eq!(measured(&farm, Delay::Session), [5]);
    }
}

#[test]
fn the_end_of_a_call_is_timed_long_after_all_memory_of_it() {
    for mut farm in all() {
        let invite = farm.udp(CLIENT, &request("INVITE", "a", "z9hG4bKa", "")).remove(0);
        answer(&mut farm, &invite, "200 OK");
        farm.wait(3000);
        let bye = from_client("BYE", "a", "z9hG4bKb", "bob", &routes(&invite));
        let bye = farm.udp(CLIENT, &bye).remove(0);
        wait(&mut farm, 15);
        answer(&mut farm, &bye, "200 OK");
        assert_eq!(measured(&farm, Delay::Disconnect), [20]);
        assert_eq!(farm.count(Counter::SessionCompleted), 1);
        assert_eq!(measured(&farm, Delay::FailedDisconnect), []);
    }
}

#[test]
fn a_held_set_up_is_timed_from_its_first_sending() {
    let mut farm = Farm::of(Affinity::Tag, Selection::RoundRobin);
    let invite = farm.tcp("192.0.2.1:40000", 7, &request("INVITE", "a", "z9hG4bKa", "")).remove(0);
    wait(&mut farm, 500);
    let again = farm.timers().remove(0);
    assert_eq!(again.text, invite.text, "the same bytes");
    wait(&mut farm, 100);
    answer(&mut farm, &again, "180 Ringing");
    assert_eq!(measured(&farm, Delay::Session), [1000], "600 ms");
}

#[test]
fn a_registration_is_timed_and_a_refused_one_counted() {
    let mut farm = Farm::of(Affinity::Tag, Selection::RoundRobin);
    for (call, status) in [("a", "200 OK"), ("b", "401 Unauthorized"), ("c", "503 Service Unavailable")] {
        let register = farm.udp(CLIENT, &request("REGISTER", call, &format!("z9hG4bK{call}"), "")).remove(0);
        wait(&mut farm, 9);
        answer(&mut farm, &register, status);
    }
    assert_eq!(measured(&farm, Delay::Registration), [10]);
    assert_eq!(farm.count(Counter::RegisterFailed), 1);
    assert_eq!(farm.count(Counter::Register), 3);
}
