//! Path entries, and requests of servers that find a telephone by them.

use sip::Target;

use super::register;
use crate::counters::Counter;
use crate::register::settings::*;
use crate::settings::*;
use crate::way::tests::farm::*;

const PHONE: &str = "192.0.2.1:40000";
const SERVER: &str = "10.0.0.1:5060";

fn farm_of(path: InsertPath) -> Farm {
    let mut settings = settings(Affinity::Tag, Selection::RoundRobin);
    settings.register.path = path;
    Farm::new(settings)
}

/// The Path that the registrar of a telephone on connection 7 gets.
fn path_of(farm: &mut Farm, more: &str) -> Option<String> {
    let left = farm.tcp(PHONE, 7, &register("sip:bob@example.com", "r1", more));
    assert_eq!(left.len(), 1, "{left:#?}");
    left[0].field("Path").map(str::to_owned)
}

/// An INVITE of a server for a telephone behind a NAT, along this Path.
fn invite(path: &str) -> String {
    request("INVITE", "c1", "z9hG4bK-s", &format!("Route: {path}\r\n"))
        .replace("INVITE sip:bob@198.51.100.1 SIP", "INVITE sip:bob@phone.invalid;transport=tcp SIP")
}

#[test]
fn a_telephone_that_knows_of_path_gets_one_and_is_found_on_its_connection() {
    let mut farm = farm_of(InsertPath::Supported);
    let path = path_of(&mut farm, "Supported: gruu, path\r\n").unwrap();
    assert!(path.starts_with("<sip:198.51.100.1:5060;lr;farmflow="), "as the server reaches us: {path}");
    let left = farm.udp(SERVER, &invite(&path));
    assert_eq!(left.len(), 1, "{left:#?}");
    assert_eq!(left[0].address(), "connection 7");
    assert!(left[0].field("Route").is_none(), "{}", left[0].text);
    let server = SERVER.parse().unwrap();
    assert_eq!(left[0].fallback, Some(Target::Datagram { listener: 0, to: server }), "430 if it is gone");
    // The answer, and a request of the server within the dialog.
    let answer = farm.tcp(PHONE, 7, &response(&left[0], "200 OK"));
    assert_eq!(answer[0].address(), format!("udp {SERVER}"));
    let bye = from_client("BYE", "c1", "z9hG4bK-b", "bob", &routes(&answer[0]))
        .replace("BYE sip:bob@198.51.100.1 SIP", "BYE sip:bob@phone.invalid;transport=tcp SIP");
    let left = farm.udp(SERVER, &bye);
    assert_eq!(left[0].address(), "connection 7", "{}", left[0].text);
    assert_eq!(farm.count(Counter::NewCall), 0);
}

#[test]
fn who_gets_a_path_is_a_matter_of_configuration() {
    for (path, more, expected) in [
        (InsertPath::Supported, "", false),
        (InsertPath::Supported, "Supported: pathfinder\r\n", false),
        (InsertPath::Supported, "k: PATH\r\n", true),
        (InsertPath::Always, "", true),
        (InsertPath::Never, "Supported: path\r\n", false),
    ] {
        assert_eq!(path_of(&mut farm_of(path), more).is_some(), expected, "{path:?} {more}");
    }
}

#[test]
fn the_first_hop_of_an_outbound_telephone_says_that_it_keeps_the_flow() {
    let mut farm = farm_of(InsertPath::Supported);
    let supported = "Supported: path, outbound\r\n";
    assert!(path_of(&mut farm, supported).unwrap().ends_with(";ob>"));
    let behind = format!("Via: SIP/2.0/TCP 192.0.2.200;branch=z9hG4bK1\r\n{supported}");
    let mut farm = farm_of(InsertPath::Supported);
    assert!(!path_of(&mut farm, &behind).unwrap().ends_with(";ob>"));
}

#[test]
fn over_udp_a_telephone_is_found_at_the_address_it_sent_from() {
    let mut farm = farm_of(InsertPath::Always);
    let left = farm.udp(PHONE, &register("sip:bob@example.com", "r1", ""));
    let path = left[0].field("Path").unwrap().to_owned();
    let left = farm.udp(SERVER, &invite(&path));
    assert_eq!(left[0].address(), format!("udp {PHONE}"));
}

#[test]
fn forged_tokens_and_strangers_are_refused_and_counted() {
    let mut farm = farm_of(InsertPath::Always);
    let path = path_of(&mut farm, "").unwrap();
    let at = path.find("farmflow=").unwrap() + "farmflow=".len();
    for change in at..path.len() - 1 {
        let mut forged = path.clone().into_bytes();
        forged[change] = if forged[change] == b'A' { b'B' } else { b'A' };
        let left = farm.udp(SERVER, &invite(std::str::from_utf8(&forged).unwrap()));
        assert_eq!(left[0].start_line(), "SIP/2.0 403 Bad Flow Token", "character {change}");
        assert_eq!(left[0].address(), format!("udp {SERVER}"));
    }
    assert_eq!(farm.count(Counter::ForgedFlow), (path.len() - 1 - at) as u64);
    let left = farm.udp("203.0.113.9:5060", &invite(&path));
    assert_eq!(left[0].start_line(), "SIP/2.0 403 Not A Server Of This Farm");
    assert_eq!(farm.count(Counter::NotAServer), 1);
}

#[test]
fn a_connection_of_the_process_before_is_gone() {
    let mut settings = settings(Affinity::Tag, Selection::RoundRobin);
    settings.register.path = InsertPath::Always;
    let path = path_of(&mut Farm::started_as(settings.clone(), 1), "").unwrap();
    let mut farm = Farm::started_as(settings, 2);
    let left = farm.udp(SERVER, &invite(&path));
    assert_eq!(left.len(), 1);
    assert_eq!(left[0].start_line(), "SIP/2.0 430 Flow Failed");
    assert_eq!(farm.count(Counter::FlowFailed), 1);
}

#[test]
fn a_telephone_that_takes_the_path_for_its_outbound_proxy_calls_the_farm() {
    let mut farm = farm_of(InsertPath::Always);
    let path = path_of(&mut farm, "").unwrap();
    let left = farm.tcp(PHONE, 7, &request("INVITE", "c1", "z9hG4bK-p", &format!("Route: {path}\r\n")));
    assert!(left[0].address().starts_with("udp 10.0.0."), "{left:#?}");
    assert_eq!(farm.count(Counter::NewCall), 1);
}

#[test]
fn with_all_servers_each_gets_the_same_path() {
    let mut settings = settings(Affinity::Tag, Selection::RoundRobin);
    settings.register.to = RegisterTo::All;
    settings.register.path = InsertPath::Always;
    let left = Farm::new(settings).tcp(PHONE, 7, &register("sip:bob@example.com", "r1", ""));
    let paths: std::collections::HashSet<_> = left.iter().map(|left| left.field("Path").unwrap()).collect();
    assert_eq!((left.len(), paths.len()), (4, 1));
}

#[test]
fn a_second_registrar_is_asked_when_the_first_is_silent_or_has_no_room() {
    let registrar = |text: &str| Registrar { address: text.parse().unwrap(), transport: sip::Transport::Udp };
    let mut settings = settings(Affinity::Tag, Selection::RoundRobin);
    settings.register.to =
        RegisterTo::Registrar(vec![registrar("10.1.0.1:5060"), registrar("10.1.0.2:5060")]);
    for silent in [true, false] {
        let mut farm = Farm::new(settings.clone());
        let asked = farm.udp(CLIENT, &register("sip:bob@example.com", "r1", ""));
        assert_eq!(asked[0].address(), "udp 10.1.0.1:5060");
        let asked = if silent {
            farm.wait(2);
            farm.timers()
        } else {
            farm.udp("10.1.0.1:5060", &response(&asked[0], "503 Full"));
            farm.timers()
        };
        let second =
            asked.iter().find(|left| left.address() == "udp 10.1.0.2:5060").expect("the second is asked");
        farm.udp("10.1.0.2:5060", &response(second, "200 OK"));
        let answer = farm.timers();
        assert_eq!(answer[0].start_line(), "SIP/2.0 200 OK");
        assert_eq!(answer[0].address(), format!("udp {CLIENT}"));
    }
}

#[test]
fn over_a_stream_to_a_datagram_server_it_is_repeated_with_its_path() {
    let mut farm = farm_of(InsertPath::Always);
    let first = farm.tcp(PHONE, 7, &register("sip:bob@example.com", "r1", "")).remove(0);
    farm.now = farm.now + base::Duration::from_millis(500);
    let again = farm.timers();
    assert_eq!(again.len(), 1);
    assert_eq!(again[0].text, first.text);
    assert!(farm.udp(first.address().trim_start_matches("udp "), &response(&first, "200 OK")).is_empty());
    let answer = farm.timers();
    assert_eq!(answer[0].address(), "connection 7");
    farm.timers();
    assert!(farm.shared.registrations.is_empty());
}
