//! Requests whose Via does not say where an answer should go: the source and the connection say it (RFC 3261 §18.2.2,
//! RFC 3581 §4).

use super::farm::*;
use crate::settings::*;

const SOURCE: &str = "192.0.2.1:40000";

/// Where the answers to an OPTIONS with this Via go: the answer of a server, and our own.
fn answered(transport: &str, sent_by: &str) -> [String; 2] {
    let mut farm = Farm::of(Affinity::Tag, Selection::RoundRobin);
    let via = format!("SIP/2.0/{transport} {sent_by};branch=z9hG4bK1");
    let text =
        request("OPTIONS", "c1", "z9hG4bK1", "").replace("SIP/2.0/UDP 192.0.2.1;branch=z9hG4bK1", &via);
    let mut send = |text: &str| match transport {
        "UDP" => only(farm.udp(SOURCE, text)),
        _ => only(farm.tcp(SOURCE, 3, text)),
    };
    let sent = send(&text);
    let refused = send(&text.replace("Max-Forwards: 70", "Max-Forwards: 0"));
    assert_eq!(refused.start_line(), "SIP/2.0 483 Too Many Hops");
    let answer = only(farm.udp(sent.address().trim_start_matches("udp "), &response(&sent, "200 OK")));
    assert_eq!(answer.fields("Via"), refused.fields("Via"), "the marks are the same");
    let below = answer.field("Via").unwrap().split_once(' ').unwrap().1;
    assert!(!below.contains("received") || below.contains("received=192.0.2.1"), "{below}");
    [answer.address(), refused.address()]
}

#[test]
fn on_a_connection_the_answer_goes_back_whatever_the_via_says() {
    for sent_by in [
        "0.0.0.0",
        "0.0.0.0:5060",
        "[::]:5060;rport",
        "127.0.0.1:0",
        "255.255.255.255",
        "224.0.1.75",
        "a.invalid",
        "192.0.2.7;received=nowhere",
        "192.0.2.7;received",
        "192.0.2.7;rport=none;received=0.0.0.0",
    ] {
        for to in answered("TCP", sent_by) {
            assert_eq!(to, "connection 3", "{sent_by}");
        }
    }
}

#[test]
fn over_udp_the_answer_goes_to_the_source() {
    for (sent_by, port) in [
        ("0.0.0.0", 5060),
        ("0.0.0.0:5070", 5070),
        ("[::]:5070", 5070),
        ("[::]:5070;rport", 40000),
        ("0.0.0.0;rport", 40000),
        ("0.0.0.0;rport=9;received=203.0.113.9", 40000),
        ("0.0.0.0;rport=none;received=nowhere", 40000),
        ("0.0.0.0:0", 40000),
        ("192.0.2.7:0;rport", 40000),
        ("255.255.255.255", 5060),
        ("224.0.1.75:5070", 5070),
        ("a.invalid:5070", 5070),
    ] {
        for to in answered("UDP", sent_by) {
            assert_eq!(to, format!("udp 192.0.2.1:{port}"), "{sent_by}");
        }
    }
}
