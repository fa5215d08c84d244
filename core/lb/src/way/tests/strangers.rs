//! Strangers who know the Call-ID of a call: their requests end neither what is remembered of the call nor its count.

use super::farm::*;
use crate::settings::*;

fn counting(affinity: Affinity) -> Farm {
    Farm::new(Settings { count_calls: true, ..settings(affinity, Selection::RoundRobin) })
}

/// Sessions that are remembered, and calls that are counted, in hundredths.
fn kept(farm: &Farm) -> (u32, u32) {
    let remembered = farm.shared.calls.remembered(farm.now).values().sum();
    (remembered, farm.table.rows(farm.now).iter().filter_map(|row| row.in_progress).sum())
}

fn server(left: &Left) -> String {
    left.address()[4..].to_owned()
}

#[test]
fn a_bye_with_wrong_tags_ends_nothing_whatever_is_answered() {
    for affinity in [Affinity::Session, Affinity::Tag, Affinity::Hash] {
        let mut farm = counting(affinity);
        let (_, answer) = establish(&mut farm, "c1");
        let before = kept(&farm);
        assert_eq!(before, (1, 100));
        for (number, status) in
            ["481 Call Does Not Exist", "200 OK", "408 Request Timeout"].iter().enumerate()
        {
            for route in ["".to_owned(), routes(&answer)] {
                let bye =
                    from_client("BYE", "c1", &format!("z9hG4bKb{number}{}", route.len()), "nobody", &route)
                        .replace("tag=alice", "tag=mallory");
                let sent = only(farm.udp("203.0.113.66:5060", &bye));
                farm.udp(&server(&sent), &response(&sent, status));
                assert_eq!(kept(&farm), before, "{affinity:?} {status} {route}");
            }
        }
        // Over TCP the BYE is held, and sent again.
        let bye = from_client("BYE", "c1", "z9hG4bKt", "nobody", "").replace("tag=alice", "tag=mallory");
        let sent = only(farm.tcp("203.0.113.66:40000", 3, &bye.replace("UDP", "TCP")));
        farm.now = farm.now + base::Duration::from_millis(600);
        let again =
            farm.timers().into_iter().find(|left| left.start_line().starts_with("BYE")).expect("a copy");
        farm.udp(&server(&sent), &response(&again, "481 Call Does Not Exist"));
        assert_eq!(kept(&farm), before, "{affinity:?}");
        let bye = from_client("BYE", "c1", "z9hG4bKgood", "bob", &routes(&answer));
        let sent = only(farm.udp(CLIENT, &bye));
        farm.udp(&server(&sent), &response(&sent, "481 Call Does Not Exist"));
        assert_eq!(kept(&farm), (0, 0), "{affinity:?}: either end may be told that it is over");
    }
}

#[test]
fn the_call_of_a_stranger_that_fails_ends_no_call_that_rings() {
    let mut farm = counting(Affinity::Session);
    let invite = only(farm.udp(CLIENT, &request("INVITE", "c1", "z9hG4bK1", "")));
    farm.udp(&server(&invite), &response(&invite, "180 Ringing"));
    let other = request("INVITE", "c1", "z9hG4bK2", "").replace("tag=alice", "tag=mallory");
    let sent = only(farm.udp("203.0.113.66:5060", &other));
    farm.udp(&server(&sent), &response(&sent, "486 Busy Here"));
    assert_eq!(kept(&farm), (1, 100));
    farm.udp(&server(&invite), &response(&invite, "486 Busy Here"));
    assert_eq!(kept(&farm).1, 0);
}

#[test]
fn a_stranger_with_a_tag_of_its_own_for_the_call_ends_nothing() {
    let mut farm = counting(Affinity::Session);
    establish(&mut farm, "c1");
    let other = request("INVITE", "c1", "z9hG4bK2", "").replace("tag=alice", "tag=mallory");
    let sent = only(farm.udp("203.0.113.66:5060", &other));
    let answer = only(farm.udp(&server(&sent), &response(&sent, "200 OK").replace("tag=bob", "tag=eve")));
    let bye =
        from_client("BYE", "c1", "z9hG4bK3", "eve", &routes(&answer)).replace("tag=alice", "tag=mallory");
    let sent = only(farm.udp("203.0.113.66:5060", &bye));
    farm.udp(&server(&sent), &response(&sent, "200 OK"));
    assert_eq!(kept(&farm), (1, 100));
}

#[test]
fn the_callee_ends_the_call_as_the_caller_does() {
    let mut farm = counting(Affinity::Session);
    let (invite, _) = establish(&mut farm, "c1");
    let at = server(&invite);
    let routes: String =
        invite.fields("Record-Route").iter().map(|route| format!("Route: {route}\r\n")).collect();
    let bye = format!(
        "BYE sip:alice@192.0.2.1 SIP/2.0\r\nVia: SIP/2.0/UDP {at};branch=z9hG4bKs\r\n{routes}Max-Forwards: 70\r\n\
         From: <sip:bob@example.com>;tag=bob\r\nTo: <sip:alice@example.com>;tag=alice\r\nCall-ID: c1\r\n\
         CSeq: 1 BYE\r\nContent-Length: 0\r\n\r\n"
    );
    let sent = only(farm.udp(&at, &bye));
    farm.udp(CLIENT, &response(&sent, "200 OK"));
    assert_eq!(kept(&farm), (0, 0));
}

#[test]
fn a_server_on_a_connection_of_its_own_is_known_by_its_via_or_its_contact_and_by_nobody_elses() {
    let to_client = "tcp 192.0.2.9:5070";
    for (from, sent_by, contact, expected) in [
        ("10.0.0.1:40000", "10.0.0.1:5060", "alice@192.0.2.1", to_client),
        // The addresses as pjsip writes them.
        ("10.0.0.1:40000", "10.0.0.1:40000", "alice@10.0.0.1:5060", to_client),
        ("10.0.0.1:40000", "10.0.0.1:40000", "alice@10.0.0.1", to_client),
        ("10.0.0.1:40000", "10.0.0.1:40000", "alice@10.0.0.1:40000", "udp 10.0.0."),
        ("10.0.0.1:40000", "10.0.0.1:40000", "alice@10.0.0.2:5060", "udp 10.0.0."),
        ("192.0.2.1:40000", "10.0.0.1:5060", "alice@10.0.0.1:5060", "udp 10.0.0."),
    ] {
        let text = request("INVITE", "call", "z9hG4bK1", "Route: <sip:198.51.100.1;lr>\r\n")
            .replace("sip:bob@198.51.100.1 ", "sip:bob@192.0.2.9:5070;transport=tcp ")
            .replace("UDP 192.0.2.1;", &format!("TCP {sent_by};"))
            .replace("alice@192.0.2.1>", &format!("{contact}>"));
        let left = only(Farm::of(Affinity::Tag, Selection::RoundRobin).tcp(from, 1, &text));
        assert!(left.address().starts_with(expected), "{from} {sent_by} {contact}: {}", left.address());
    }
}
