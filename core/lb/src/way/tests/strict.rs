//! Strict routers of RFC 2543 before us and behind us (RFC 3261 §16.4, §16.6 step 6), on either side of the farm.

use super::farm::*;
use crate::register::settings::InsertPath;
use crate::settings::*;
use base::Duration;

const BOB: &str = "sip:bob@198.51.100.9";

/// Request-URI and Routes, as they left.
fn written(left: &Left) -> (&str, Vec<&str>) {
    let uri = left.start_line().split(' ').nth(1).unwrap();
    (uri, left.fields("Route"))
}

/// Our entries of a call, as fields or in one field; and its server.
fn called(farm: &mut Farm) -> (String, String) {
    let (invite, answer) = establish(farm, "c1");
    let entries = answer.fields("Record-Route").join(", ");
    (entries, invite.address().trim_start_matches("udp ").to_owned())
}

fn bye(uri: &str, routes: &str) -> String {
    from_client("BYE", "c1", "z9hG4bK2", "bob", routes).replace("sip:bob@198.51.100.1 ", &format!("{uri} "))
}

#[test]
fn a_strict_router_behind_us_is_served_on_both_sides() {
    let mut farm = Farm::of(Affinity::Tag, Selection::RoundRobin);
    let (ours, server) = called(&mut farm);
    let strict = "<sip:10.0.0.9:5080;x=1>";
    let expected = ("sip:10.0.0.9:5080;x=1", vec!["<sip:bob@198.51.100.9>"]);
    let beyond = ("sip:10.0.0.9:5080;x=1", vec!["<sip:far;lr>", "<sip:bob@198.51.100.9>"]);
    for (routes, expected) in [
        (format!("Route: {ours}\r\nRoute: {strict}\r\n"), &expected),
        (format!("Route: {ours}, {strict}\r\n"), &expected),
        (format!("Route: {ours}\r\nX-Between: 1\r\nRoute: {strict} , <sip:far;lr>\r\n"), &beyond),
        (format!("Route: {ours} ,{strict}\r\nRoute: <sip:far;lr>\r\n"), &beyond),
    ] {
        let text = bye(BOB, &routes);
        let left = only(farm.udp(CLIENT, &text));
        assert_eq!(left.address(), format!("udp {server}"));
        assert_eq!(written(&left), *expected, "{}", left.text);
        assert_eq!(left.text.contains("X-Between"), text.contains("X-Between"));
        // The same from the server, whose next hop is the strict router.
        let from = text.replace("192.0.2.1;", &format!("{server};"));
        let left = only(farm.udp(&server, &from.replace("tag=alice", "tag=bob")));
        assert_eq!(left.address(), "udp 10.0.0.9:5080");
        assert_eq!(written(&left), *expected, "{}", left.text);
    }
}

#[test]
fn what_is_written_again_is_written_for_the_strict_router_too() {
    let mut farm = Farm::of(Affinity::Tag, Selection::RoundRobin);
    let (ours, _) = called(&mut farm);
    let routes = format!("Route: {ours}\r\nRoute: <sip:10.0.0.9;x=1>\r\nX-Filler: {}\r\n", "x".repeat(1300));
    let left = only(farm.udp(CLIENT, &bye(BOB, &routes)));
    assert!(left.address().starts_with("tcp ") && left.fallback.is_some());
    assert_eq!(written(&left), ("sip:10.0.0.9;x=1", vec!["<sip:bob@198.51.100.9>"]));
    let routes = format!("Route: {ours}\r\nRoute: <sip:10.0.0.9;x=1>\r\n");
    let first = only(farm.tcp("192.0.2.1:40000", 3, &bye(BOB, &routes).replace("K2", "K3")));
    farm.now = farm.now + Duration::from_millis(500);
    assert_eq!(only(farm.timers()).text, first.text);
}

#[test]
fn a_strict_router_before_us_is_undone_with_all_that_it_left() {
    let mut farm = Farm::of(Affinity::Tag, Selection::RoundRobin);
    let (ours, server) = called(&mut farm);
    let uri = ours.trim_matches(['<', '>']).to_owned();
    for (routes, expected) in [
        (format!("Route: <{BOB}>\r\n"), vec![]),
        (format!("Route: {ours}, <{BOB}>\r\n"), vec![]),
        (format!("Route: {ours}\r\nRoute: <{BOB}>\r\n"), vec![]),
        (format!("Route: <sip:far;lr>, <{BOB}>\r\n"), vec!["<sip:far;lr>"]),
        (format!("Route: {ours}, <sip:far;lr>\r\nRoute: <{BOB}>\r\n"), vec!["<sip:far;lr>"]),
    ] {
        let left = only(farm.udp(CLIENT, &bye(&uri, &routes)));
        assert_eq!(left.address(), format!("udp {server}"));
        assert_eq!(written(&left), (BOB, expected), "{routes}");
    }
}

#[test]
fn after_a_strict_router_the_next_hop_is_the_first_route_that_is_left() {
    let mut farm = Farm::of(Affinity::Tag, Selection::RoundRobin);
    let (ours, server) = called(&mut farm);
    let uri = ours.trim_matches(['<', '>']).to_owned();
    let alice = "sip:alice@192.0.2.1:5070";
    for (routes, next, expected) in [
        (format!("Route: <{alice}>\r\n"), "udp 192.0.2.1:5070", (alice, vec![])),
        (
            format!("Route: <sip:192.0.2.80;lr>, <{alice}>\r\n"),
            "udp 192.0.2.80:5060",
            (alice, vec!["<sip:192.0.2.80;lr>"]),
        ),
        // Strict on both sides.
        (
            format!("Route: <sip:192.0.2.80>, <{alice}>\r\n"),
            "udp 192.0.2.80:5060",
            ("sip:192.0.2.80", vec!["<sip:alice@192.0.2.1:5070>"]),
        ),
    ] {
        let text = bye(&uri, &routes).replace("192.0.2.1;", &format!("{server};"));
        let left = only(farm.udp(&server, &text.replace("tag=alice", "tag=bob")));
        assert_eq!((left.address(), written(&left)), (next.to_owned(), expected), "{routes}");
    }
}

#[test]
fn a_path_entry_in_the_request_uri_is_one_of_ours_too() {
    let mut settings = settings(Affinity::Tag, Selection::RoundRobin);
    settings.register.path = InsertPath::Always;
    let mut farm = Farm::new(settings);
    let registered = only(farm.tcp("192.0.2.1:40000", 7, &request("REGISTER", "r1", "z9hG4bKr", "")));
    let uri = registered.field("Path").unwrap().trim_matches(['<', '>']).to_owned();
    let phone = "sip:alice@phone.invalid";
    let text = request("INVITE", "c1", "z9hG4bKs", &format!("Route: <{phone}>\r\n"))
        .replace("sip:bob@198.51.100.1 ", &format!("{uri} "));
    let left = only(farm.udp("10.0.0.1:5060", &text));
    assert_eq!((left.address(), written(&left)), ("connection 7".to_owned(), (phone, vec![])));
}
