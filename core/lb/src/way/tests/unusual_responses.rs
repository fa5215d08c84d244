//! Responses as servers may write them: a response is dropped only for its topmost Via or its CSeq, and nothing else
//! (RFC 3261 §17.1.3).

use base::Duration;

use super::farm::*;
use crate::counters::Counter;
use crate::settings::*;

const LOWER: &str = "Via: SIP/2.0/TCP 192.0.2.1;branch=z9hG4bK1";

/// An INVITE over a stream, held; returns what its server got.
fn held(farm: &mut Farm) -> Left {
    let text = request("INVITE", "c1", "z9hG4bK1", "").replace("SIP/2.0/UDP", "SIP/2.0/TCP");
    only(farm.tcp("192.0.2.1:40000", 3, &text))
}

/// All messages that leave in the next `seconds`.
fn waiting(farm: &mut Farm, seconds: u64) -> Vec<Left> {
    let mut left = Vec::new();
    for _ in 0..seconds * 10 {
        farm.now = farm.now + Duration::from_millis(100);
        left.append(&mut farm.timers());
    }
    left
}

/// The response of the server, changed by `change`, ends the repetition of a held INVITE and keeps the INVITE at its server.
/// Returns what the client got.
fn accepted(status: &str, change: impl Fn(String) -> String) -> Vec<Left> {
    let mut farm = Farm::of(Affinity::Tag, Selection::RoundRobin);
    let invite = held(&mut farm);
    let server = invite.address().trim_start_matches("udp ").to_owned();
    let given = change(response(&invite, status));
    let passed = farm.udp(&server, &given);
    let (bad, foreign) = (farm.count(Counter::BadResponse), farm.count(Counter::ForeignResponse));
    assert_eq!((bad, foreign), (0, 0), "{given}");
    assert!(waiting(&mut farm, 100).is_empty(), "it is repeated, or given to another server:\n{given}");
    let answer = only(farm.udp(&server, &response(&invite, "200 OK")));
    assert_eq!(answer.address(), "connection 3", "{given}");
    passed
}

fn alone(text: String) -> String {
    text.replace(&format!("{LOWER}\r\n"), "")
}

#[test]
fn a_100_with_our_via_alone_is_for_us_and_ends_repetition() {
    assert!(accepted("100 Trying", alone).is_empty());
    assert!(
        accepted("100 Trying", |text| alone(text).replace("Via: ", "v: ").replace("\r\nFrom", ",\r\nFrom"))
            .is_empty()
    );
    assert!(accepted("100 Trying", |text| alone(text).replace(";tag=bob", "")).is_empty());
}

#[test]
fn a_100_with_our_via_alone_of_what_is_not_held_is_consumed() {
    let mut farm = Farm::of(Affinity::Tag, Selection::RoundRobin);
    let invite = only(farm.udp(CLIENT, &request("INVITE", "c1", "z9hG4bK1", "")));
    let server = invite.address().trim_start_matches("udp ").to_owned();
    let trying = response(&invite, "100 Trying");
    let lower = trying.lines().filter(|line| line.starts_with("Via: ")).nth(1).unwrap().to_owned();
    assert!(farm.udp(&server, &trying.replace(&format!("{lower}\r\n"), "")).is_empty());
    assert_eq!((farm.count(Counter::BadResponse), farm.count(Counter::ForeignResponse)), (0, 0));
    // Any other response without a Via for the client has lost its way, and is counted.
    let ringing = response(&invite, "180 Ringing").replace(&format!("{lower}\r\n"), "");
    assert!(farm.udp(&server, &ringing).is_empty());
    assert_eq!((farm.count(Counter::BadResponse), farm.count(Counter::ForeignResponse)), (1, 0));
}

#[test]
fn what_the_server_makes_of_the_vias_below_is_for_the_client_to_judge() {
    let changes: [(&str, &str); 8] = [
        (LOWER, "v: SIP/2.0/TCP 192.0.2.1;branch=z9hG4bK1"),
        (LOWER, "Via: SIP / 2.0 / tcp 192.0.2.1 ; branch=z9hG4bK1;received=192.0.2.9"),
        (LOWER, "Via: SIP/2.0/TCP 0.0.0.0;branch=z9hG4bK1"),
        (LOWER, "Via: SIP/2.0/TCP [::]:5060;branch=z9hG4bK1"),
        (LOWER, "Via: SIP/2.0/TCP 255.255.255.255;branch=z9hG4bK1"),
        (LOWER, "Via: SIP/2.0/TCP 192.0.2.1;received=224.0.0.1;branch=z9hG4bK1"),
        (LOWER, "Via: SIP/2.0/TCP 192.0.2.1;;branch=z9hG4bK1"),
        (LOWER, "Via: what is this"),
    ];
    for (from, to) in changes {
        let passed = only(accepted("180 Ringing", |text| {
            assert!(text.contains(from), "{text}");
            text.replace(from, to)
        }));
        assert_eq!(passed.address(), "connection 3", "{to}");
        assert!(passed.text.contains(to) && !passed.text.contains("hop="), "{}", passed.text);
    }
    // The client's Via in one line with ours.
    let passed = only(accepted("180 Ringing", |text| {
        alone(text).replacen("\r\nRecord-Route", ",SIP/2.0/TCP 192.0.2.1;branch=z9hG4bK1\r\nRecord-Route", 1)
    }));
    assert_eq!(passed.fields("Via"), ["SIP/2.0/TCP 192.0.2.1;branch=z9hG4bK1"]);
}

#[test]
fn our_own_via_may_come_back_in_another_form() {
    let rewritten = |form: &str| {
        only(accepted("180 Ringing", |text| {
            let ours = text.lines().find(|line| line.starts_with("Via: ")).unwrap().to_owned();
            let (_, rest) = ours.split_once(";branch=").unwrap();
            let (branch, hop) = rest.split_once(";hop=").unwrap();
            text.replace(&ours, &form.replace("BRANCH", branch).replace("HOP", hop))
        }))
    };
    let plain = rewritten("Via: SIP/2.0/UDP 198.51.100.1:5060;branch=BRANCH;hop=HOP");
    for form in [
        "Via: SIP/2.0/UDP 198.51.100.1:5060;hop=HOP;branch=BRANCH",
        "Via: SIP/2.0/UDP 198.51.100.1:5060;branch=BRANCH;hop=HOP;received=198.51.100.1;rport=5060",
        "v: SIP/2.0/UDP 198.51.100.1:5060;rport=5060;received=198.51.100.1;branch=BRANCH;hop=HOP",
        "Via: SIP/2.0/UDP 198.51.100.1:5060;branch=BRANCH;hop=HOP;received=lb.example;rport=none",
        "VIA: sip/2.0/udp 198.51.100.1:5060;Branch=BRANCH;Hop=HOP",
        "Via : SIP / 2.0 / UDP  198.51.100.1 : 5060 ; branch = BRANCH ;\r\n hop = HOP",
        "Via: SIP/2.0/UDP 198.51.100.1;branch=BRANCH;hop=HOP",
        "Via: SIP/2.0/UDP LB.example:5060;branch=BRANCH;hop=HOP",
        "Via: SIP/2.0/UDP 198.51.100.1:5060;branch=BRANCH;hop=\"HOP\"",
    ] {
        let passed = rewritten(form);
        assert_eq!((passed.address(), &passed.text), (plain.address(), &plain.text), "{form}");
    }
}

#[test]
fn other_fields_may_be_missing_doubled_or_new() {
    let changes: [(&str, &str); 12] = [
        ("From: <sip:alice@example.com>;tag=alice\r\n", ""),
        ("From: ", "From: <sip:x@example.com>\r\nf: "),
        ("From: <sip:alice@example.com>", "From: <sip:alice@example.com"),
        ("To: <sip:bob@example.com>;tag=bob\r\n", ""),
        ("To: <sip:bob@example.com>;tag=bob", "To: <sip:bob@example.com>"),
        ("Call-ID: c1\r\n", ""),
        ("Call-ID: c1", "Call-ID: c 1"),
        ("CSeq: 1 INVITE", "CSeq:\t1 \r\n  INVITE"),
        ("Content-Length: 0\r\n", ""),
        ("Content-Length: 0\r\n\r\n", "Content-Length: 0\r\n\r\nmore than it says"),
        ("180 Ringing", "199 "),
        ("Content-Length", "Max-Forwards: 1\r\nMax-Forwards: x\r\nContact: <\r\nContent-Length"),
    ];
    for (from, to) in changes {
        let passed = only(accepted("180 Ringing", |text| {
            assert!(text.contains(from), "{text}");
            text.replace(from, to)
        }));
        assert_eq!(passed.address(), "connection 3", "{to}");
    }
}

/// RFC 3261 §18.3, §17.1.3: a response that is cut short is discarded; without a CSeq nobody knows which request was
/// answered.
#[test]
fn what_the_rfc_wants_dropped_is_dropped() {
    for (from, to) in [
        ("Content-Length: 0", "Content-Length: 9"),
        ("Content-Length: 0", "Content-Length: none"),
        ("CSeq: 1 INVITE\r\n", ""),
        ("CSeq: 1 INVITE", "CSeq: 2147483648 INVITE"),
        ("SIP/2.0 180", "SIP/3.0 180"),
        ("SIP/2.0 180", "SIP/2.0 700"),
    ] {
        let mut farm = Farm::of(Affinity::Tag, Selection::RoundRobin);
        let invite = held(&mut farm);
        let given = response(&invite, "180 Ringing");
        assert!(given.contains(from));
        assert!(farm.udp("10.0.0.1:5060", &given.replace(from, to)).is_empty(), "{to}");
        assert_eq!(farm.count(Counter::BadResponse), 1, "{to}");
    }
}

/// The same for a request other than INVITE, and for a REGISTER at several servers.
#[test]
fn a_100_with_our_via_alone_is_heard_of_other_requests_too() {
    let mut farm = Farm::of(Affinity::Tag, Selection::RoundRobin);
    let text = request("OPTIONS", "c1", "z9hG4bK1", "").replace("SIP/2.0/UDP", "SIP/2.0/TCP");
    let options = only(farm.tcp("192.0.2.1:40000", 3, &text));
    let server = options.address().trim_start_matches("udp ").to_owned();
    assert!(farm.udp(&server, &alone(response(&options, "100 Trying"))).is_empty());
    // In Proceeding the request is repeated every T2 (RFC 3261 §17.1.2.2).
    assert_eq!(waiting(&mut farm, 9).len(), 3, "at T1, and each T2 from then on");
    let answer = only(farm.udp(&server, &response(&options, "200 OK")));
    assert_eq!(answer.address(), "connection 3");
}

#[test]
fn a_response_on_a_stream_says_its_length_whether_or_not_it_came_with_one() {
    let mut farm = Farm::of(Affinity::Tag, Selection::RoundRobin);
    let invite = held(&mut farm);
    let server = invite.address().trim_start_matches("udp ").to_owned();
    let without = response(&invite, "200 OK").replace("Content-Length: 0\r\n", "");
    for (given, length) in [(without.clone(), "0"), (format!("{without}v=0\r\n"), "5")] {
        let answer = only(farm.udp(&server, &given));
        assert_eq!(
            (answer.address(), answer.fields("Content-Length")),
            ("connection 3".into(), vec![length])
        );
    }
    let udp = only(farm.udp(CLIENT, &request("OPTIONS", "c2", "z9hG4bK2", "")));
    let server = udp.address().trim_start_matches("udp ").to_owned();
    let answer = only(farm.udp(&server, &response(&udp, "200 OK").replace("Content-Length: 0\r\n", "")));
    assert!(answer.fields("Content-Length").is_empty());
}
