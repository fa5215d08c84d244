//! What passes although it would be refused or dropped without a setting.

use sip::Passing;

use super::farm::*;
use crate::counters::Counter;
use crate::settings::*;

fn tolerant() -> Farm {
    let settings = settings(Affinity::Tag, Selection::RoundRobin);
    Farm::new(Settings { proxy_require: Passing::new(["privacy"]), stray_bytes: true, ..settings })
}

#[test]
fn extensions_that_pass_are_left_to_the_servers_and_others_refused() {
    let mut farm = tolerant();
    let sent = only(farm.udp(CLIENT, &request("INVITE", "c", "z9hG4bKc", "Proxy-Require: Privacy\r\n")));
    assert_eq!(
        (sent.start_line().split(' ').next(), sent.field("Proxy-Require")),
        (Some("INVITE"), Some("Privacy"))
    );
    let refused =
        only(farm.udp(CLIENT, &request("INVITE", "d", "z9hG4bKd", "Proxy-Require: privacy,foo\r\n")));
    assert_eq!(
        (refused.start_line(), refused.field("Unsupported")),
        ("SIP/2.0 420 Bad Extension", Some("foo"))
    );
    let mut strict = Farm::of(Affinity::Tag, Selection::RoundRobin);
    let refused = only(strict.udp(CLIENT, &request("INVITE", "c", "z9hG4bKc", "Proxy-Require: privacy\r\n")));
    assert_eq!(
        (refused.start_line(), refused.field("Unsupported")),
        ("SIP/2.0 420 Bad Extension", Some("privacy"))
    );
}

#[test]
fn our_own_answer_to_such_an_invite_is_acknowledged_here() {
    let mut farm = tolerant();
    for last in 1..=4 {
        farm.stopped(&format!("10.0.0.{last}:5060"));
    }
    let more = "Proxy-Require: privacy\r\n";
    let refused = only(farm.udp(CLIENT, &request("INVITE", "c", "z9hG4bKc", more)));
    assert!(refused.start_line().starts_with("SIP/2.0 503"), "{}", refused.text);
    let tag = refused.field("To").and_then(|to| to.split(";tag=").nth(1)).unwrap().to_owned();
    assert!(farm.udp(CLIENT, &from_client("ACK", "c", "z9hG4bKc", &tag, more)).is_empty());
    assert_eq!(farm.count(Counter::OwnAck), 1);
}

#[test]
fn stray_bytes_in_front_of_a_message_are_skipped_and_datagrams_of_nothing_else_dropped() {
    let mut farm = tolerant();
    for (at, stray) in ["\0", "\r\n", "\r\n\r\n", "\0\0\0\0", "\n\0\r"].iter().enumerate() {
        let text = request("INVITE", &format!("c{at}"), &format!("z9hG4bK{at}"), "");
        let sent = only(farm.udp(CLIENT, &format!("{stray}{text}")));
        assert!(sent.text.starts_with("INVITE "), "{stray:?}: {}", sent.text);
        let server = sent.address()[4..].to_owned();
        let back = only(farm.udp(&server, &format!("{stray}{}", response(&sent, "200 OK"))));
        assert!(back.text.starts_with("SIP/2.0 200"), "{stray:?}: {}", back.text);
        assert!(farm.udp(CLIENT, stray).is_empty());
    }
    assert_eq!((farm.count(Counter::BlankDatagram), farm.count(Counter::Malformed)), (5, 0));
    // STUN begins with a NUL byte, and is answered.
    let stun = b"\0\x01\0\0\x21\x12\xA4\x42abcdefghijkl";
    assert_eq!(farm.datagram(CLIENT, stun).len(), 1);
    let mut strict = Farm::of(Affinity::Tag, Selection::RoundRobin);
    assert!(strict.udp(CLIENT, &format!("\0{}", request("INVITE", "c", "z9hG4bKc", ""))).is_empty());
    assert_eq!(strict.count(Counter::Malformed), 1);
}
