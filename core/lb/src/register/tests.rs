//! Whole REGISTERs through the router.

mod all;
mod path;

use std::collections::HashSet;

use crate::settings::*;
use crate::way::tests::farm::*;

/// A REGISTER for this user, with its own Call-ID.
pub(crate) fn register(user: &str, call: &str, more: &str) -> String {
    format!(
        "REGISTER sip:example.com SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.1;branch=z9hG4bK-{call}\r\n{more}\
         Max-Forwards: 70\r\nFrom: <{user}>;tag=a\r\nTo: <{user}>\r\nCall-ID: {call}\r\nCSeq: 1 REGISTER\r\n\
         Contact: <sip:bob@192.0.2.1>\r\nContent-Length: 0\r\n\r\n"
    )
}

fn everywhere() -> Vec<Farm> {
    let mut farms = vec![
        Farm::of(Affinity::Tag, Selection::RoundRobin),
        Farm::of(Affinity::Session, Selection::Tlwl),
        Farm::of(Affinity::Hash, Selection::Hash),
    ];
    let hash = HashKind::Modulo;
    farms.push(Farm::new(Settings { hash, ..settings(Affinity::Hash, Selection::Hash) }));
    farms
}

/// Where the one REGISTER that leaves goes.
fn place(farm: &mut Farm, text: &str) -> String {
    let mut left = farm.udp(CLIENT, text);
    assert_eq!(left.len(), 1, "{left:#?}");
    left.remove(0).address()
}

#[test]
fn every_telephone_and_every_refresh_of_a_user_reaches_one_server_in_every_affinity() {
    for mut farm in everywhere() {
        let mut places = HashSet::new();
        for user in 0..40 {
            let first =
                place(&mut farm, &register(&format!("sip:u{user}@example.com"), &format!("a{user}"), ""));
            farm.wait(4000);
            for (telephone, uri) in [
                format!("sip:u{user}@EXAMPLE.com:5060"),
                format!("sips:u{user}@example.com;transport=tls"),
                format!("sip:%75{user}@example.com"),
            ]
            .iter()
            .enumerate()
            {
                assert_eq!(place(&mut farm, &register(uri, &format!("b{user}-{telephone}"), "")), first);
            }
            places.insert(first);
        }
        assert_eq!(places.len(), 4, "{places:?}");
    }
}

#[test]
fn the_death_of_a_server_moves_its_users_alone() {
    let mut farm = Farm::of(Affinity::Tag, Selection::RoundRobin);
    let user = |user: u32| format!("sip:u{user}@example.com");
    let before: Vec<_> =
        (0..60).map(|u| place(&mut farm, &register(&user(u), &format!("a{u}"), ""))).collect();
    farm.kill("10.0.0.2:5060");
    for (u, before) in (0..60).zip(&before) {
        let now = place(&mut farm, &register(&user(u), &format!("b{u}"), ""));
        assert_ne!(now, "udp 10.0.0.2:5060");
        assert!(now == *before || before == "udp 10.0.0.2:5060", "{before} -> {now}");
    }
}

#[test]
fn a_registration_takes_no_place_among_the_calls() {
    let mut farm = Farm::of(Affinity::Session, Selection::Cjsq);
    for user in 0..50 {
        place(&mut farm, &register(&format!("sip:u{user}@example.com"), &format!("a{user}"), ""));
    }
    assert_eq!(farm.shared.calls.known_calls().len(), 0);
}

#[test]
fn a_route_to_a_server_that_is_gone_names_the_one_that_gets_the_registration() {
    let mut farm = Farm::of(Affinity::Tag, Selection::RoundRobin);
    let route = "Route: <sip:10.0.0.2:5060;lr>\r\n";
    let before = only(farm.udp(CLIENT, &register("sip:u@example.com", "a", route)));
    assert_eq!((before.address().as_str(), before.text.contains(route)), ("udp 10.0.0.2:5060", true));
    farm.stopped("10.0.0.2:5060");
    let after = only(farm.udp(CLIENT, &register("sip:u@example.com", "b", route)));
    let taker = after.address()[4..].to_owned();
    assert_ne!(taker, "10.0.0.2:5060");
    assert!(after.text.contains(&format!("Route: <sip:{taker};lr>\r\n")), "{}", after.text);
}
