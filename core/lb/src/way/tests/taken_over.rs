//! Changes to messages for a server that takes over for a proxy, so that the far end hears of the end of its call
//! (SPEC A9).

use super::farm::*;
use crate::counters::Counter;
use crate::outbox::Event;
use crate::settings::*;

const FAR: &str = "Route: <sip:203.0.113.9;lr>\r\n";

fn bye(farm: &mut Farm, answer: &Left, more: &str) -> Left {
    let text = from_client("BYE", "c1", "z9hG4bKbye", "bob", &(routes(answer) + more));
    only(farm.udp(CLIENT, &text))
}

#[test]
fn the_route_entries_of_a_proxy_that_is_gone_name_the_one_that_takes_over() {
    for form in [
        "Route: <sip:OLD;lr;ftag=alice>\r\nRoute: <sip:OLD;transport=tcp;r2=on;lr>\r\nRoute: <sip:203.0.113.9;lr>\r\n",
        "Route: <sip:OLD;lr;ftag=alice>, <sip:OLD;transport=tcp;r2=on;lr>,<sip:203.0.113.9;lr>\r\n",
    ] {
        let mut farm = Farm::of(Affinity::Tag, Selection::RoundRobin);
        let (invite, answer) = establish(&mut farm, "c1");
        let old = invite.address()[4..].to_owned();
        let more = form.replace("OLD", &old);
        let before = bye(&mut farm, &answer, &more);
        assert_eq!(before.address(), invite.address());
        assert!(before.text.contains(more.lines().next().unwrap()), "{}", before.text);
        farm.kill(&invite.address());
        let after = bye(&mut farm, &answer, &more);
        let new = after.address()[4..].to_owned();
        assert_ne!(new, old);
        assert!(after.text.contains(&form.replace("OLD", &new)), "{}", after.text);
        // The same if the request leaves by a stream because it is large.
        let text = from_client(
            "BYE",
            "c1",
            "z9hG4bKbye",
            "bob",
            &(routes(&answer) + &more + &"X: y\r\n".repeat(300)),
        );
        let large = only(farm.udp(CLIENT, &text));
        assert_eq!(large.address(), format!("tcp {new}"));
        assert!(large.text.contains(&form.replace("OLD", &new)), "{}", large.text);
    }
}

#[test]
fn other_route_entries_stay_as_they_are() {
    let mut farm = Farm::of(Affinity::Tag, Selection::RoundRobin);
    let (invite, answer) = establish(&mut farm, "c1");
    farm.kill(&invite.address());
    let old = invite.address()[4..].to_owned();
    for more in [
        FAR.to_owned(),
        format!("{FAR}Route: <sip:{old};lr>\r\n"),
        "Route: <sip:10.0.0.1.example;lr>\r\n".into(),
    ] {
        let sent = bye(&mut farm, &answer, &more);
        assert!(sent.text.contains(&more), "{}", sent.text);
    }
}

#[test]
fn the_answers_of_a_client_go_to_the_server_that_takes_over() {
    let mut farm = Farm::of(Affinity::Tag, Selection::RoundRobin);
    let (server, client) = ("10.0.0.3:5060", "192.0.2.1:5070");
    let invite = format!(
        "INVITE sip:alice@{client} SIP/2.0\r\nVia: SIP/2.0/UDP {server};branch=z9hG4bKs\r\nMax-Forwards: 70\r\n\
         From: <sip:bob@example.com>;tag=bob\r\nTo: <sip:alice@example.com>\r\nCall-ID: c9\r\n\
         CSeq: 1 INVITE\r\nContent-Length: 0\r\n\r\n"
    );
    let sent = only(farm.udp(server, &invite));
    assert_eq!(sent.address(), format!("udp {client}"));
    let there = only(farm.udp(client, &response(&sent, "180 Ringing")));
    assert_eq!((there.address(), farm.events.len()), (format!("udp {server}"), 0));
    farm.stopped(server);
    let mut takers = Vec::new();
    for status in ["180 Ringing", "200 OK"] {
        let taken = only(farm.udp(client, &response(&sent, status)));
        assert_ne!(taken.address(), format!("udp {server}"));
        assert_eq!(taken.fields("Via"), [format!("SIP/2.0/UDP {server};branch=z9hG4bKs")]);
        takers.push(taken.address());
    }
    assert_eq!(takers[0], takers[1]);
    assert_eq!(farm.count(Counter::TakenOver), 2);
    let Event::TakenOver { call_id, method, client: from, .. } = &farm.events[1] else {
        panic!("another event")
    };
    assert_eq!((&call_id[..], &method[..], from.to_string().as_str()), (&b"c9"[..], &b"INVITE"[..], client));
}

#[test]
fn a_server_that_asks_after_it_was_said_to_have_failed_hears_the_answer() {
    let mut farm = Farm::of(Affinity::Tag, Selection::RoundRobin);
    let (server, client) = ("10.0.0.3:5060", "192.0.2.1:5070");
    farm.stopped(server);
    farm.wait(1);
    // No way from us to the server is known to work, and one from the server to us works.
    let bye = format!(
        "BYE sip:alice@{client} SIP/2.0\r\nVia: SIP/2.0/UDP {server};branch=z9hG4bKs\r\nMax-Forwards: 70\r\n\
         From: <sip:bob@example.com>;tag=bob\r\nTo: <sip:alice@example.com>;tag=alice\r\nCall-ID: c9\r\n\
         CSeq: 1 BYE\r\nContent-Length: 0\r\n\r\n"
    );
    let sent = only(farm.udp(server, &bye));
    let answer = only(farm.udp(client, &response(&sent, "200 OK")));
    assert_eq!(answer.address(), format!("udp {server}"));
    assert_eq!(farm.count(Counter::TakenOver), 0);
}
