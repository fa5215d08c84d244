//! `maddr` in Request-URI, Route and Via (RFC 3261 §16.4, §16.6 step 7, §18.2.2), and who may use it.

use super::farm::*;
use crate::counters::Counter;
use crate::settings::*;

const SERVER: &str = "10.0.0.1:5060";

fn farm() -> Farm {
    Farm::of(Affinity::Tag, Selection::RoundRobin)
}

fn options(uri: &str, more: &str) -> String {
    request("OPTIONS", "c1", "z9hG4bK1", more).replace("sip:bob@198.51.100.1 ", &format!("{uri} "))
}

fn of_server(uri: &str, more: &str) -> String {
    options(uri, more).replace("UDP 192.0.2.1;", "UDP 10.0.0.1;")
}

#[test]
fn a_server_reaches_the_maddr_of_request_uri_and_route() {
    for (uri, route, expected) in [
        ("sip:c@192.0.2.77;maddr=192.0.2.33", "", "udp 192.0.2.33:5060"),
        ("sip:c@example.com:5070;maddr=192.0.2.33", "", "udp 192.0.2.33:5070"),
        ("sip:c@example.com;MADDR=192.0.2.33;transport=tcp", "", "tcp 192.0.2.33:5060"),
        ("sip:c@192.0.2.77", "<sip:192.0.2.78;maddr=192.0.2.33;lr>", "udp 192.0.2.33:5060"),
        (
            "sip:c@192.0.2.77;maddr=192.0.2.9",
            "<sip:far.example.com:5080;lr;maddr=192.0.2.33>",
            "udp 192.0.2.33:5080",
        ),
        ("sip:c@192.0.2.77", "<sip:192.0.2.78;maddr=192.0.2.33>", "udp 192.0.2.33:5060"),
    ] {
        let route = if route.is_empty() { String::new() } else { format!("Route: {route}\r\n") };
        let left = only(farm().udp(SERVER, &of_server(uri, &route)));
        assert_eq!(left.address(), expected, "{uri} {route}");
    }
}

#[test]
fn nothing_is_sent_to_many_or_to_none() {
    for (maddr, status) in [
        ("224.0.1.75;ttl=15", "403 Not an Address of One Host"),
        ("[ff02::1]", "403 Not an Address of One Host"),
        ("255.255.255.255", "403 Not an Address of One Host"),
        ("0.0.0.0", "403 Not an Address of One Host"),
        ("[::]", "403 Not an Address of One Host"),
        ("", "400 Bad maddr"),
        ("1.2.3.4:5", "400 Bad maddr"),
    ] {
        let mut farm = farm();
        let left = only(farm.udp(SERVER, &of_server(&format!("sip:c@192.0.2.77;maddr={maddr}"), "")));
        assert_eq!(left.start_line(), format!("SIP/2.0 {status}"), "{maddr}");
        assert_eq!((left.address(), farm.count(Counter::Unresolved)), (format!("udp {SERVER}"), 1));
    }
    // The host itself may be no address of one host, too.
    let left = only(farm().udp(SERVER, &of_server("sip:c@224.0.1.75", "")));
    assert_eq!(left.start_line(), "SIP/2.0 403 Not an Address of One Host");
}

#[test]
fn a_stranger_has_us_send_to_servers_alone() {
    for uri in ["sip:c@192.0.2.77;maddr=192.0.2.33", "sip:c@198.51.100.1;maddr=192.0.2.33"] {
        for more in ["", "Route: <sip:198.51.100.1;maddr=192.0.2.33;lr>\r\n"] {
            let left = only(farm().udp(CLIENT, &options(uri, more)));
            assert!(left.address().starts_with("udp 10.0.0."), "{uri} {more} {}", left.address());
            assert_eq!(left.start_line(), format!("OPTIONS {uri} SIP/2.0"), "as it came");
        }
    }
}

/// RFC 3261 §16.4.
#[test]
fn a_maddr_that_is_ours_is_taken_out_with_what_led_here() {
    for (uri, expected) in [
        ("sip:bob@example.com;maddr=198.51.100.1", "sip:bob@example.com"),
        (
            "sip:bob@example.com:5060;user=phone;maddr=198.51.100.1;transport=tcp;x=1",
            "sip:bob@example.com;user=phone;x=1",
        ),
        ("sip:bob@[2001:db8::1]:5060;maddr=198.51.100.1", "sip:bob@[2001:db8::1]"),
        ("sip:198.51.100.1;maddr=198.51.100.1", "sip:198.51.100.1"),
        ("sip:bob@example.com:5099;maddr=198.51.100.1", "sip:bob@example.com:5099;maddr=198.51.100.1"),
    ] {
        let left = only(farm().udp(CLIENT, &options(uri, "")));
        assert_eq!(left.start_line(), format!("OPTIONS {expected} SIP/2.0"));
        assert!(left.address().starts_with("udp 10.0.0."));
    }
    // The rest of the URI says where a server's request goes.
    let left = only(farm().udp(SERVER, &of_server("sip:c@192.0.2.77:5060;maddr=198.51.100.1", "")));
    assert_eq!(
        (left.address(), left.start_line()),
        ("udp 192.0.2.77:5060".into(), "OPTIONS sip:c@192.0.2.77 SIP/2.0")
    );
    // A strict router behind us gets the URI without it, too.
    let text = options("sip:bob@example.com;maddr=198.51.100.1", "Route: <sip:strict.example.com>\r\n");
    let left = only(farm().udp(CLIENT, &text));
    assert_eq!(left.start_line(), "OPTIONS sip:strict.example.com SIP/2.0");
    assert_eq!(left.fields("Route"), ["<sip:bob@example.com>"]);
    // A Route that leads to us is ours, whatever its host.
    let left = only(farm().udp(
        CLIENT,
        &options("sip:bob@example.com", "Route: <sip:x.example.com;maddr=198.51.100.1;lr>\r\n"),
    ));
    assert_eq!(left.fields("Route").len(), 0);
}

#[test]
fn an_answer_follows_the_maddr_of_a_server_and_of_nobody_else() {
    let answered = |from: &str, via: &str| {
        let mut farm = farm();
        let text =
            if from == SERVER { of_server("sip:c@192.0.2.77", "") } else { options("sip:c@192.0.2.77", "") };
        let host = from.split(':').next().unwrap();
        let sent = only(farm.udp(from, &text.replace(&format!("UDP {host};"), &format!("UDP {via};"))));
        let peer = sent.address().trim_start_matches("udp ").to_owned();
        only(farm.udp(&peer, &response(&sent, "200 OK"))).address()
    };
    assert_eq!(answered(SERVER, "10.0.0.1;maddr=10.0.0.99"), "udp 10.0.0.99:5060");
    assert_eq!(answered(SERVER, "10.0.0.1:5070;rport;maddr=10.0.0.99"), "udp 10.0.0.99:5070");
    for ignored in ["224.0.1.75;ttl=1", "[2001:db8::1]", "0.0.0.0", "name.example.com"] {
        assert_eq!(
            answered(SERVER, &format!("10.0.0.1;maddr={ignored}")),
            format!("udp {SERVER}"),
            "{ignored}"
        );
    }
    assert_eq!(answered(CLIENT, "192.0.2.1;maddr=203.0.113.66"), format!("udp {CLIENT}"));
    // Nor do our own answers.
    let mut farm = farm();
    let bad = options("sip:c@192.0.2.77", "").replace("UDP 192.0.2.1;", "UDP 192.0.2.1;maddr=203.0.113.66;");
    let refused = only(farm.udp(CLIENT, &bad.replace("Max-Forwards: 70", "Max-Forwards: 0")));
    assert_eq!(refused.address(), format!("udp {CLIENT}"));
}
