//! RFC 5626 as an edge proxy: flows that a dialog keeps or loses, and keep-alives.

use sip::{ConnectionId, Target};

use super::farm::{CLIENT, Farm, Left, request, response};
use crate::counters::Counter;
use crate::settings::{Affinity, Selection};

const PHONE: &str = "192.0.2.1:40000";

fn farm() -> Farm {
    Farm::of(Affinity::Tag, Selection::RoundRobin)
}

/// Slot of the connection, and whether another may be opened instead.
fn flow(left: &[Left]) -> Option<(u16, bool)> {
    match left {
        [Left { to: Target::Connection { id: ConnectionId { slot, .. }, or_connect, .. }, .. }] => {
            Some((*slot, *or_connect))
        }
        _ => None,
    }
}

fn place(left: &Left) -> String {
    left.address().trim_start_matches("udp ").to_owned()
}

/// The server's BYE to this contact, in a call that a client on connection 1 began; and the server.
fn bye(farm: &mut Farm, contact: &str) -> (String, Vec<Left>) {
    let [sent] = &farm.tcp(PHONE, 1, &request("INVITE", "call", "z9hG4bK1", ""))[..] else { panic!("one") };
    let (server, answer) = (place(sent), response(sent, "200 OK"));
    let [answer] = &farm.udp(&server, &answer)[..] else { panic!("one") };
    let routes: String =
        answer.fields("Record-Route").iter().map(|route| format!("Route: {route}\r\n")).collect();
    let bye = format!(
        "BYE {contact} SIP/2.0\r\nVia: SIP/2.0/UDP {server};branch=z9hG4bKb;rport\r\n{routes}Max-Forwards: 70\r\n\
         From: <sip:bob@example.com>;tag=bob\r\nTo: <sip:alice@example.com>;tag=alice\r\nCall-ID: call\r\n\
         CSeq: 7 BYE\r\nContent-Length: 0\r\n\r\n"
    );
    let left = farm.udp(&server, &bye);
    (server, left)
}

#[test]
fn a_client_that_asks_for_it_is_reached_by_its_flow_or_not_at_all() {
    for (contact, may_connect) in [
        ("sip:alice@192.0.2.1:40000;transport=tcp", true),
        ("sip:alice@192.0.2.1:40000;transport=tcp;ob", false),
        ("sip:alice@192.0.2.1:40000;OB;transport=tcp", false),
        ("sip:alice@x.invalid;transport=tcp", false),
        ("sip:alice@x.invalid;transport=ws", false),
    ] {
        let (server, left) = bye(&mut farm(), contact);
        assert_eq!(flow(&left), Some((1, may_connect)), "{contact}");
        // If the connection turns out to be gone, the server gets an answer.
        let told = Target::Datagram { listener: 0, to: server.parse().unwrap() };
        assert_eq!(left[0].fallback, Some(told), "{contact}");
    }
}

#[test]
fn an_ack_is_never_answered() {
    let mut farm = farm();
    let (server, left) = bye(&mut farm, "sip:alice@x.invalid;transport=tcp");
    assert!(left[0].fallback.is_some());
    let [invite] = &farm.tcp(PHONE, 1, &request("INVITE", "call", "z9hG4bK2", ""))[..] else { panic!("one") };
    let [answer] = &farm.udp(&place(invite), &response(invite, "200 OK"))[..] else { panic!("one") };
    let routes: String =
        answer.fields("Record-Route").iter().map(|route| format!("Route: {route}\r\n")).collect();
    let ack = format!(
        "ACK sip:alice@x.invalid;transport=tcp SIP/2.0\r\nVia: SIP/2.0/UDP {server};branch=z9hG4bKa\r\n{routes}\
         Max-Forwards: 70\r\nFrom: <sip:bob@example.com>;tag=bob\r\nTo: <sip:alice@example.com>;tag=alice\r\n\
         Call-ID: call\r\nCSeq: 7 ACK\r\nContent-Length: 0\r\n\r\n"
    );
    let left = farm.udp(&server, &ack);
    assert_eq!((flow(&left), left[0].fallback), (Some((1, false)), None));
}

#[test]
fn a_forged_tag_leads_nowhere() {
    let mut farm = farm();
    let [sent] = &farm.tcp(PHONE, 1, &request("INVITE", "call", "z9hG4bK1", ""))[..] else { panic!("one") };
    let route = sent.field("Record-Route").unwrap().replace("farmtag=", "farmtag=A");
    let bye = request("BYE", "call", "z9hG4bKb", &format!("Route: {route}\r\n"))
        .replace("sip:bob@198.51.100.1 ", "sip:alice@x.invalid;transport=tcp ");
    let left = farm.udp(&place(sent), &bye);
    assert_eq!(left[0].start_line(), "SIP/2.0 403 Bad Flow Token");
    assert_eq!(farm.count(Counter::ForgedTag), 1);
}

#[test]
fn stun_is_answered_and_rubbish_is_not() {
    let mut farm = farm();
    let binding = "\0\u{1}\0\0!\u{12}";
    assert!(farm.udp(CLIENT, &format!("{binding}twelve bytes")).is_empty());
    assert_eq!(farm.count(Counter::Malformed), 1);
    let left = farm.datagram(CLIENT, &[&[0, 1, 0, 0, 0x21, 0x12, 0xA4, 0x42], &b"twelve bytes"[..]].concat());
    assert_eq!((left.len(), left[0].address()), (1, format!("udp {CLIENT}")));
    assert_eq!((farm.count(Counter::StunAnswer), farm.count(Counter::Malformed)), (1, 1));
    // The beginning of a STUN request that is cut short.
    assert!(
        farm.datagram(CLIENT, &[0, 1, 0, 8, 0x21, 0x12, 0xA4, 0x42, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0])
            .is_empty()
    );
    assert_eq!(farm.count(Counter::Malformed), 2);
}

/// The Flow-Timer in the answer to a REGISTER, on connection 1 if `stream`, else by UDP.
fn flow_timer(farm: &mut Farm, stream: bool, more: &str, said: &str) -> Option<String> {
    let register =
        request("REGISTER", "registration", "z9hG4bKr", &format!("Supported: path, outbound\r\n{more}"))
            .replace("sip:bob@198.51.100.1 ", "sip:198.51.100.1 ");
    let sent = if stream { farm.tcp(PHONE, 1, &register) } else { farm.udp(CLIENT, &register) }.remove(0);
    let answer = response(&sent, "200 OK").replace("Content-Length", &format!("{said}Content-Length"));
    let mut left = farm.udp(&place(&sent), &answer);
    left.extend(farm.timers());
    assert!(left[0].start_line().starts_with("SIP/2.0 200"), "{left:#?}");
    left[0].field("Flow-Timer").map(str::to_owned)
}

#[test]
fn a_registration_with_outbound_is_told_how_often_to_keep_its_flow_alive() {
    let outbound = "Require: gruu, outbound\r\n";
    let behind = "Via: SIP/2.0/TCP 192.0.2.200;branch=z9hG4bK1\r\n";
    let (here, theirs) = (Some("120".to_owned()), Some("60".to_owned()));
    for (stream, more, said, expected) in [
        (true, "", outbound, here),
        (true, "", "", None),
        (true, "", "Supported: outbound\r\n", None),
        (true, "", &format!("{outbound}Flow-Timer: 60\r\n"), theirs),
        (true, behind, outbound, None),
        (false, "", outbound, None),
    ] {
        assert_eq!(flow_timer(&mut farm(), stream, more, said), expected, "{stream} {more:?} {said:?}");
    }
}
