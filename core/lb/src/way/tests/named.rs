//! Requests that name a server of the farm in their Request-URI or their next Route.

use super::farm::*;
use crate::counters::Counter;
use crate::register::settings::RegisterTo;
use crate::settings::*;
use crate::shared::Terms;

const WAYS: [(Affinity, Selection); 4] = [
    (Affinity::Tag, Selection::RoundRobin),
    (Affinity::Session, Selection::RoundRobin),
    (Affinity::Session, Selection::Cjsq),
    (Affinity::Hash, Selection::Hash),
];

fn names(server: u8) -> String {
    format!("sip:bob@10.0.0.{server}:5060")
}

fn at(server: u8) -> String {
    format!("udp 10.0.0.{server}:5060")
}

fn number(left: &Left) -> u8 {
    let address = left.address();
    address.trim_end_matches(":5060").rsplit('.').next().unwrap().parse().unwrap()
}

fn to(uri: &str, text: &str) -> String {
    text.replace("sip:bob@198.51.100.1 ", &format!("{uri} "))
}

/// The server that follows this one.
fn after(server: u8) -> u8 {
    server % 4 + 1
}

#[test]
fn a_redirected_call_goes_where_its_request_uri_says_and_stays_there() {
    for (affinity, selection) in WAYS {
        let mut farm = Farm::of(affinity, selection);
        let first = only(farm.udp(CLIENT, &request("INVITE", "c1", "z9hG4bK1", "")));
        let (was, other) = (number(&first), after(number(&first)));
        farm.udp(first.address().trim_start_matches("udp "), &response(&first, "302 Moved"));
        let ack = from_client("ACK", "c1", "z9hG4bK1", "bob", "");
        assert_eq!(only(farm.udp(CLIENT, &ack)).address(), at(was), "{affinity:?}");
        // The client follows, with our Route as its outbound proxy or without it.
        let route = "Route: <sip:198.51.100.1;lr>\r\n";
        let send = |farm: &mut Farm, method: &str, to_tag: &str| {
            let text = from_client(method, "c1", "z9hG4bK2", to_tag, route);
            only(farm.udp(CLIENT, &to(&names(other), &text)))
        };
        let second = send(&mut farm, "INVITE", "");
        assert_eq!((second.address(), second.fields("Route").len()), (at(other), 0));
        for (method, to_tag) in [("INVITE", ""), ("CANCEL", ""), ("ACK", "bob")] {
            assert_eq!(send(&mut farm, method, to_tag).address(), at(other), "{method} {affinity:?}");
        }
        let answer = only(farm.udp(&at(other)[4..], &response(&second, "200 OK")));
        for (method, routes) in
            [("ACK", routes(&answer)), ("INFO", routes(&answer)), ("UPDATE", String::new())]
        {
            let text = from_client(method, "c1", &format!("z9hG4bK{method}"), "bob", &routes);
            // The contact of the server is a name, or the address of nobody in the farm.
            let text = to("sip:bob@203.0.113.9", &text);
            assert_eq!(only(farm.udp(CLIENT, &text)).address(), at(other), "{method} {affinity:?}");
        }
        assert_eq!(farm.count(Counter::NewCall), 1);
        assert_eq!(farm.shared.calls.known_calls().len(), 1);
    }
}

#[test]
fn a_new_call_goes_to_the_server_that_it_names() {
    for (affinity, selection) in WAYS {
        for (uri, more) in [
            ("sip:bob@10.0.0.3", ""),
            ("sip:10.0.0.3;transport=tcp", ""),
            ("sip:bob@example.com;maddr=10.0.0.3", ""),
            ("sip:bob@example.com", "Route: <sip:198.51.100.1;lr>, <sip:10.0.0.3;lr>\r\n"),
            ("sip:bob@10.0.0.1", "Route: <sip:10.0.0.3;lr>\r\n"),
            ("sip:bob@example.com", "Route: <sip:10.0.0.3>\r\n"),
        ] {
            let mut farm = Farm::of(affinity, selection);
            for call in 0..6 {
                let call = format!("c{call}");
                let invite = to(uri, &request("INVITE", &call, "z9hG4bK1", more));
                let sent = only(farm.udp(CLIENT, &invite));
                assert_eq!(sent.address(), at(3), "{affinity:?} {uri} {more}");
                let answer = only(farm.udp(&at(3)[4..], &response(&sent, "200 OK")));
                let bye = from_client("BYE", &call, "z9hG4bK2", "bob", &routes(&answer));
                assert_eq!(only(farm.udp(CLIENT, &bye)).address(), at(3), "{affinity:?}");
            }
            assert_eq!(farm.count(Counter::NewCall), 6);
        }
    }
}

#[test]
fn a_dialog_without_a_route_goes_to_the_contact_of_its_server() {
    for (affinity, selection) in WAYS {
        let mut farm = Farm::of(affinity, selection);
        for call in 0..4 {
            let call = format!("c{call}");
            let first = only(farm.udp(CLIENT, &request("INVITE", &call, &format!("z9hG4bK{call}"), "")));
            let was = number(&first);
            farm.udp(&at(was)[4..], &response(&first, "200 OK"));
            let info = |number: u8| from_client("INFO", &call, &format!("z9hG4bK{number}{call}"), "bob", "");
            let stranger = info(1).replace("tag=alice", "tag=mallory");
            let other = after(was);
            assert_eq!(only(farm.udp(CLIENT, &to(&names(other), &stranger))).address(), at(other));
            assert_eq!(only(farm.udp(CLIENT, &info(2))).address(), at(was), "a stranger has moved nothing");
            assert_eq!(only(farm.udp(CLIENT, &to(&names(other), &info(3)))).address(), at(other));
            assert_eq!(only(farm.udp(CLIENT, &info(4))).address(), at(other), "what is remembered has moved");
            // A request of a call that nobody here knows.
            let unknown = to(&names(2), &info(5)).replace(&call, &format!("x{call}"));
            assert_eq!(only(farm.udp(CLIENT, &unknown)).address(), at(2));
        }
    }
}

#[test]
fn a_strangers_set_up_with_a_known_call_id_moves_nothing() {
    let mut farm = Farm::of(Affinity::Session, Selection::RoundRobin);
    let (invite, _) = establish(&mut farm, "c1");
    let other = after(number(&invite));
    let stolen = request("INVITE", "c1", "z9hG4bKs", "").replace("tag=alice", "tag=mallory");
    assert_eq!(only(farm.udp("203.0.113.9:5060", &to(&names(other), &stolen))).address(), at(other));
    let bye = from_client("BYE", "c1", "z9hG4bKb", "bob", "");
    assert_eq!(only(farm.udp(CLIENT, &bye)).address(), invite.address());
}

#[test]
fn a_tag_counts_for_more_than_a_contact() {
    let mut farm = Farm::of(Affinity::Tag, Selection::RoundRobin);
    let (invite, answer) = establish(&mut farm, "c1");
    let other = after(number(&invite));
    let info = to(&names(other), &from_client("INFO", "c1", "z9hG4bK2", "bob", &routes(&answer)));
    assert_eq!(only(farm.udp(CLIENT, &info)).address(), invite.address());
}

#[test]
fn one_that_drains_gets_what_names_it_and_one_that_failed_does_not() {
    for (affinity, selection) in WAYS {
        let mut farm = Farm::of(affinity, selection);
        farm.table.drain(farm.now, at(3)[4..].parse().unwrap(), true);
        farm.publish();
        let invite = |call: &str| to(&names(3), &request("INVITE", call, "z9hG4bK1", ""));
        assert_eq!(only(farm.udp(CLIENT, &invite("c1"))).address(), at(3));
        farm.kill(&at(3));
        let moved = only(farm.udp(CLIENT, &invite("c1")));
        assert_ne!(moved.address(), at(3));
        assert_eq!(farm.count(Counter::TakenOver), 1);
        assert_eq!(only(farm.udp(CLIENT, &invite("c1"))).address(), moved.address());
        let chosen = only(farm.udp(CLIENT, &invite("c2")));
        assert_ne!(chosen.address(), at(3));
        assert_eq!(only(farm.udp(CLIENT, &invite("c2"))).address(), chosen.address());
    }
}

#[test]
fn while_ending_no_new_call_is_begun_by_a_name() {
    let mut farm = Farm::of(Affinity::Tag, Selection::RoundRobin);
    let invite = |call: &str| to(&names(3), &request("INVITE", call, "z9hG4bK1", ""));
    farm.udp(CLIENT, &invite("c1"));
    farm.change(Terms::closing);
    assert_eq!(only(farm.udp(CLIENT, &invite("c1"))).address(), at(3), "it has begun");
    assert!(only(farm.udp(CLIENT, &invite("c2"))).start_line().starts_with("SIP/2.0 503"));
    assert_eq!(farm.count(Counter::Closing), 1);
}

#[test]
fn a_held_set_up_that_moved_is_not_called_back_by_its_request_uri() {
    let given = Settings { hold_setup: HoldSetup::All, ..settings(Affinity::Tag, Selection::RoundRobin) };
    let mut farm = Farm::new(given);
    let invite = to(&names(3), &request("INVITE", "c1", "z9hG4bK1", ""));
    let sent = only(farm.udp(CLIENT, &invite));
    assert_eq!(sent.address(), at(3));
    farm.kill(&at(3));
    let moved = only(farm.timers());
    assert_ne!(moved.address(), at(3));
    let address = at(3)[4..].parse().unwrap();
    farm.table.add(farm.now, &ServerEntry::at(address, sip::Transport::Udp)).unwrap();
    farm.publish();
    for method in ["INVITE", "CANCEL"] {
        for left in farm.udp(CLIENT, &invite.replace("INVITE", method)) {
            assert_ne!(left.address(), at(3), "{method}: {}", left.text);
        }
    }
}

#[test]
fn the_count_of_calls_moves_with_a_call() {
    let mut farm = Farm::of(Affinity::Tag, Selection::Cjsq);
    let ledger = farm.shared.tables.ledger.clone().unwrap();
    let counted = |farm: &Farm, server: u8| {
        let snapshot = farm.shared.snapshot();
        ledger.count(snapshot.by_address(at(server)[4..].parse().unwrap()).unwrap().seat.slot)
    };
    let first = only(farm.udp(CLIENT, &request("INVITE", "c1", "z9hG4bK1", "")));
    let (was, other) = (number(&first), after(number(&first)));
    assert!(counted(&farm, was) > 0 && counted(&farm, other) == 0);
    farm.udp(CLIENT, &to(&names(other), &request("INVITE", "c1", "z9hG4bK2", "")));
    assert!(counted(&farm, was) == 0 && counted(&farm, other) > 0);
    // Also if the answer of the first server ended the count there.
    let first = only(farm.udp(CLIENT, &request("INVITE", "c2", "z9hG4bK1", "")));
    let was = number(&first);
    farm.udp(&at(was)[4..], &response(&first, "302 Moved"));
    let before = counted(&farm, after(was));
    let second = request("INVITE", "c2", "z9hG4bK2", "");
    for _ in 0..2 {
        farm.udp(CLIENT, &to(&names(after(was)), &second));
        assert_eq!(counted(&farm, after(was)), before + 100, "once");
    }
}

#[test]
fn a_register_that_names_a_server_goes_there_with_hash_alone() {
    for (given, expected) in [(RegisterTo::Hash, 1), (RegisterTo::All, 4)] {
        let mut settings = settings(Affinity::Tag, Selection::RoundRobin);
        settings.register.to = given;
        let mut farm = Farm::new(settings);
        for user in 0..6 {
            let text = request("REGISTER", &format!("r{user}"), "z9hG4bKr", "")
                .replace("To: <sip:bob@", &format!("To: <sip:user{user}@"));
            let left =
                farm.udp(CLIENT, &to("sip:10.0.0.3", &text.replace("z9hG4bKr", &format!("z9hG4bKr{user}"))));
            assert_eq!(left.len(), expected);
            assert!(expected > 1 || left[0].address() == at(3), "{}", left[0].address());
        }
    }
}

#[test]
fn our_own_address_names_no_server() {
    let mut farm = Farm::of(Affinity::Tag, Selection::RoundRobin);
    let servers: std::collections::HashSet<_> = (0..8)
        .map(|call| only(farm.udp(CLIENT, &request("INVITE", &format!("c{call}"), "z9hG4bK1", ""))).address())
        .collect();
    assert_eq!(servers.len(), 4);
}
