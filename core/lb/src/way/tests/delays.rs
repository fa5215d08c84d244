//! Delays and counts of RFC 6076, tested with whole messages.

use base::Duration;

use super::farm::{CLIENT, Farm, Left, from_client, request, response, routes};
use crate::counters::Counter;
use crate::farm::delays::{BOUNDS_MS, Delay};
use crate::settings::{Affinity, Selection};

fn wait(farm: &mut Farm, ms: u64) {
    farm.now = farm.now + Duration::from_millis(ms);
}

/// The measurements of all servers together: how many, and by the bounds of their buckets.
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

/// Phone, load manager, registrar, load manager, phone: a call passes twice, and so does each of its messages.
#[test]
fn a_call_that_passes_twice_counts_once() {
    for mut farm in all() {
        for (call, by_caller) in [("a", true), ("b", false)] {
            let first = farm.udp(CLIENT, &request("INVITE", call, &format!("z9hG4bK{call}"), "")).remove(0);
            let proxy = first.address().trim_start_matches("udp ").to_owned();
            // The registrar stays in the path and sends it on to the other phone.
            let callee = "192.0.2.2:5060";
            let via = format!("Via: SIP/2.0/UDP {proxy};branch=z9hG4bKp{call}\r\n");
            let stays = format!("Record-Route: <sip:{proxy};lr>\r\n");
            let on = first.text.replacen("Via: ", &format!("{via}{stays}Via: "), 1);
            let second =
                farm.udp(&proxy, &on.replace("sip:bob@198.51.100.1 ", &format!("sip:bob@{callee} ")));
            let second = second[0].clone();
            assert_eq!(second.address(), format!("udp {callee}"));
            let back = |farm: &mut Farm, request: &Left, from: &str, status: &str| {
                let there = farm.udp(from, &response(request, status)).remove(0);
                assert_eq!(there.address(), format!("udp {proxy}"));
                let on = there.text.replacen(&via, "", 1);
                assert_eq!(farm.udp(&proxy, &on).len(), 1);
            };
            for status in ["180 Ringing", "200 OK", "200 OK"] {
                back(&mut farm, &second, callee, status);
            }
            // Which side hangs up, and by which route.
            let entries: Vec<String> =
                second.fields("Record-Route").iter().map(|entry| entry.to_string()).collect();
            let route = |entries: &mut dyn Iterator<Item = &String>| -> String {
                entries.map(|entry| format!("Route: {entry}\r\n")).collect()
            };
            let (from, to, routes) = match by_caller {
                true => (CLIENT, callee, route(&mut entries.iter().rev())),
                false => (callee, CLIENT, route(&mut entries.iter())),
            };
            let bye = from_client("BYE", call, &format!("z9hG4bKb{call}"), "bob", &routes);
            let bye = match by_caller {
                true => bye,
                false => bye
                    .replace("From: <sip:alice@example.com>;tag=alice", "From: <sip:bob@example.com>;tag=bob")
                    .replace("To: <sip:bob@example.com>;tag=bob", "To: <sip:alice@example.com>;tag=alice")
                    .replace("UDP 192.0.2.1;", "UDP 192.0.2.2;"),
            };
            let bye = bye.replace("sip:bob@198.51.100.1 ", &format!("sip:x@{to} "));
            let one = farm.udp(from, &bye).remove(0);
            assert_eq!(one.address(), format!("udp {proxy}"), "{}", one.text);
            // The registrar takes its own Route out.
            let on = one.text.replacen("Via: ", &format!("{via}Via: "), 1);
            let on = on.replacen(&format!("Route: <sip:{proxy};lr>\r\n"), "", 1);
            let two = farm.udp(&proxy, &on).remove(0);
            assert_eq!(two.address(), format!("udp {to}"), "{}", two.text);
            back(&mut farm, &two, to, "200 OK");
        }
        let counted = [
            Counter::SessionEstablished,
            Counter::SessionCompleted,
            Counter::SessionNotCompleted,
            Counter::SessionFailed,
        ];
        assert_eq!(counted.map(|counter| farm.count(counter)), [2, 2, 0, 0]);
    }
}

/// Neither the call's answer nor its end counts: the ratios are about calls to the farm.
#[test]
fn a_call_that_a_server_begins_is_no_attempt() {
    for mut farm in all() {
        let text = request("INVITE", "a", "z9hG4bKa", "").replace("UDP 192.0.2.1;", "UDP 10.0.0.1;");
        let invite = farm.udp("10.0.0.1:5060", &text.replace("sip:bob@198.51.100.1 ", "sip:bob@192.0.2.2 "));
        assert_eq!(farm.udp("192.0.2.2:5060", &response(&invite[0], "200 OK")).len(), 1);
        let bye = from_client("BYE", "a", "z9hG4bKb", "bob", &routes(&invite[0]))
            .replace("UDP 192.0.2.1;", "UDP 10.0.0.1;")
            .replace("sip:bob@198.51.100.1 ", "sip:bob@192.0.2.2 ");
        let bye = farm.udp("10.0.0.1:5060", &bye);
        assert_eq!(bye[0].address(), "udp 192.0.2.2:5060");
        farm.udp("192.0.2.2:5060", &response(&bye[0], "200 OK"));
        assert_eq!(farm.count(Counter::SessionEstablished) + farm.count(Counter::SessionCompleted), 0);
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
