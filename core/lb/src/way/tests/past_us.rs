//! What shows that calls go past the load manager is said once for each cause; what shows nothing is not said.

use super::farm::*;
use crate::outbox::Event;
use crate::past_us::Cause;
use crate::register::settings::{InsertPath, RegisterTo};
use crate::settings::*;

/// A telephone behind a NAT: it sends from here.
const OUTSIDE: &str = "203.0.113.9:40000";

fn said(farm: &Farm) -> Vec<(Cause, String, String)> {
    let text = |event: &Event| match event {
        Event::PastUs { cause, client, server } => {
            Some((*cause, client.to_string(), server.expect("a server of the farm").to_string()))
        }
        Event::TakenOver { .. } | Event::Refused { .. } => None,
    };
    farm.events.iter().filter_map(text).collect()
}

fn causes(farm: &Farm) -> Vec<Cause> {
    said(farm).into_iter().map(|(cause, ..)| cause).collect()
}

/// An INVITE and its 200, from which the server has taken the lines that begin so.
fn answered_without(farm: &mut Farm, call: &str, name: &str) -> Left {
    let invite = only(farm.udp(CLIENT, &request("INVITE", call, &format!("z9hG4bK-{call}"), "")));
    let server = invite.address().trim_start_matches("udp ").to_owned();
    let answer = response(&invite, "200 OK");
    let kept = answer.split_inclusive("\r\n").filter(|line| name.is_empty() || !line.starts_with(name));
    only(farm.udp(&server, &kept.collect::<String>()));
    invite
}

#[test]
fn a_server_that_loses_record_route_is_named_once() {
    let mut farm = Farm::of(Affinity::Tag, Selection::RoundRobin);
    answered_without(&mut farm, "c1", "");
    assert_eq!(said(&farm), []);
    let server = answered_without(&mut farm, "c2", "Record-Route").address();
    let server = server.trim_start_matches("udp ").to_owned();
    assert_eq!(said(&farm), [(Cause::NoRecordRoute, CLIENT.to_owned(), server)]);
    answered_without(&mut farm, "c3", "Record-Route");
    assert_eq!(said(&farm).len(), 1);
}

#[test]
fn over_a_stream_and_held_it_is_named_too() {
    let mut farm = Farm::of(Affinity::Tag, Selection::RoundRobin);
    let invite = request("INVITE", "c1", "z9hG4bK1", "").replace("/UDP", "/TCP");
    let invite = only(farm.tcp(CLIENT, 7, &invite));
    let server = invite.address().trim_start_matches("udp ").to_owned();
    let answer = response(&invite, "200 OK");
    let kept = answer.split_inclusive("\r\n").filter(|line| !line.starts_with("Record-Route"));
    farm.udp(&server, &kept.collect::<String>());
    assert_eq!(causes(&farm), [Cause::NoRecordRoute]);
}

#[test]
fn affinity_session_is_for_servers_that_lose_it() {
    let mut farm = Farm::of(Affinity::Session, Selection::RoundRobin);
    answered_without(&mut farm, "c1", "Record-Route");
    assert_eq!(said(&farm), []);
}

/// A REGISTER of a telephone whose Contact is 192.0.2.1, from this address. Returns what its servers got.
fn register(farm: &mut Farm, from: &str, call: &str, more: &str) -> Vec<Left> {
    farm.udp(from, &crate::register::tests::register("sip:bob@example.com", call, more))
}

fn answer(farm: &mut Farm, asked: &[Left], status: &str) {
    for asked in asked {
        farm.udp(asked.address().trim_start_matches("udp "), &response(asked, status));
    }
}

#[test]
fn a_hidden_telephone_that_is_registered_without_path_is_named_when_it_is_accepted() {
    let mut farm = Farm::of(Affinity::Tag, Selection::RoundRobin);
    let asked = register(&mut farm, OUTSIDE, "r1", "");
    answer(&mut farm, &asked, "401 Unauthorized");
    assert_eq!(said(&farm), []);
    let asked = register(&mut farm, OUTSIDE, "r2", "");
    answer(&mut farm, &asked, "200 OK");
    let server = asked[0].address().trim_start_matches("udp ").to_owned();
    let [(cause, client, named)] = &said(&farm)[..] else { panic!("{:?}", farm.events) };
    // The Via has no `rport`, so the answer goes to the port that it names.
    assert_eq!((*cause, client.as_str(), named), (Cause::NoPath, "203.0.113.9:5060", &server));
    let asked = register(&mut farm, OUTSIDE, "r3", "");
    answer(&mut farm, &asked, "200 OK");
    assert_eq!(said(&farm).len(), 1);
}

#[test]
fn registered_at_all_servers_it_is_named_as_well() {
    let mut settings = settings(Affinity::Tag, Selection::RoundRobin);
    settings.register.to = RegisterTo::All;
    let mut farm = Farm::new(settings);
    let asked = register(&mut farm, OUTSIDE, "r1", "");
    assert_eq!(asked.len(), 4);
    answer(&mut farm, &asked, "200 OK");
    assert_eq!(causes(&farm), [Cause::NoPath]);
}

#[test]
fn telephones_that_calls_can_reach_are_not_named() {
    for (path, from, more) in [
        (InsertPath::Supported, CLIENT, ""),
        (InsertPath::Supported, OUTSIDE, "Supported: path\r\n"),
        (InsertPath::Always, OUTSIDE, ""),
        (InsertPath::Never, OUTSIDE, ""),
        // A proxy between has sent it: its own Via is in front.
        (InsertPath::Supported, OUTSIDE, "Via: SIP/2.0/UDP 192.0.2.77;branch=z9hG4bK0\r\n"),
    ] {
        let mut settings = settings(Affinity::Tag, Selection::RoundRobin);
        settings.register.path = path;
        let mut farm = Farm::new(settings);
        let asked = register(&mut farm, from, "r1", more);
        answer(&mut farm, &asked, "200 OK");
        assert_eq!(said(&farm), [], "{path:?} {from} {more}");
    }
}

/// A BYE that names the first server.
fn bye(call: &str, more: &str) -> String {
    let text = from_client("BYE", call, &format!("z9hG4bK-bye-{call}"), "bob", more);
    text.replace("BYE sip:bob@198.51.100.1 ", "BYE sip:bob@10.0.0.1 ")
}

#[test]
fn a_request_of_a_call_that_began_elsewhere_is_named_once() {
    let mut farm = Farm::of(Affinity::Tag, Selection::RoundRobin);
    assert_eq!(only(farm.udp(CLIENT, &bye("c1", ""))).address(), "udp 10.0.0.1:5060");
    assert_eq!(said(&farm), [(Cause::NoRoute, CLIENT.to_owned(), "10.0.0.1:5060".to_owned())]);
    only(farm.udp(CLIENT, &bye("c2", "")));
    assert_eq!(said(&farm).len(), 1);
}

#[test]
fn a_request_of_a_call_that_began_here_is_not_named() {
    let mut farm = Farm::of(Affinity::Tag, Selection::RoundRobin);
    let (_, answered) = establish(&mut farm, "c1");
    // With the Route, and without it while the call is remembered; and a request that another server sends.
    only(farm.udp(CLIENT, &bye("c1", &routes(&answered))));
    only(farm.udp(CLIENT, &bye("c1", "")));
    farm.udp("10.0.0.2:5060", &bye("c2", ""));
    // With the entry of another farm.
    let foreign = routes(&answered).replace("farmtag=", "farmtag=A");
    farm.udp(CLIENT, &bye("c3", &foreign));
    assert_eq!(said(&farm), []);
}
