//! Events about messages that are refused or dropped.

use super::farm::*;
use crate::outbox::Event;
use crate::settings::*;

#[test]
fn a_refused_request_is_said_with_source_method_call_id_and_reason() {
    let mut farm = Farm::of(Affinity::Tag, Selection::RoundRobin);
    let secret = "Authorization: Digest username=\"alice\", response=\"0123456789abcdef\"\r\n";
    let bad = request("INVITE", "c1", "z9hG4bK1", secret).replace("CSeq: 1 ", "CSeq: 1x ");
    only(farm.udp(CLIENT, &bad));
    let [event] = &farm.refused[..] else { panic!("{:?}", farm.refused) };
    let Event::Refused { source, method, call_id, status, reason, unsaid, .. } = event else { panic!() };
    assert_eq!((source.to_string().as_str(), &**method, &**call_id), (CLIENT, &b"INVITE"[..], &b"c1"[..]));
    assert_eq!((*status, *reason, *unsaid), (Some(400), "Bad CSeq", 0));
    let said = format!("{event:?}");
    assert!(!said.contains("alice") && !said.contains("0123456789abcdef"), "{said}");
}

#[test]
fn what_gets_no_answer_is_said_too() {
    let mut farm = Farm::of(Affinity::Tag, Selection::RoundRobin);
    assert!(farm.udp(CLIENT, "\0\0garbage").is_empty());
    assert!(
        farm.udp(CLIENT, &request("ACK", "c2", "z9hG4bK2", "").replace("CSeq: 1 ", "CSeq: x ")).is_empty()
    );
    assert!(farm.udp(CLIENT, "SIP/2.0 200 OK\r\nCall-ID: c3\r\n\r\n").is_empty());
    let said: Vec<_> = farm
        .refused
        .iter()
        .map(|event| match event {
            Event::Refused { method, call_id, status: None, .. } => {
                format!("{} {}", String::from_utf8_lossy(method), String::from_utf8_lossy(call_id))
            }
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(said, [" ", "ACK c2", "200 c3"]);
}

#[test]
fn a_flood_of_refused_requests_is_said_ten_times_and_counted() {
    let mut farm = Farm::of(Affinity::Tag, Selection::RoundRobin);
    let bad =
        |call: &str| request("INVITE", call, &format!("z9hG4bK{call}"), "").replace("CSeq: 1 ", "CSeq: 1x ");
    for number in 0..50 {
        only(farm.udp(CLIENT, &bad(&format!("c{number}"))));
    }
    assert_eq!(farm.refused.len(), 10);
    farm.wait(1);
    only(farm.udp(CLIENT, &bad("last")));
    let Some(Event::Refused { status, unsaid, .. }) = farm.refused.last() else { panic!() };
    assert_eq!((*status, *unsaid), (Some(400), 40));
}

#[test]
fn a_call_without_a_server_is_left_to_the_summary_of_such_calls() {
    let mut farm = Farm::of(Affinity::Tag, Selection::RoundRobin);
    for server in 1..=4 {
        farm.kill(&format!("10.0.0.{server}:5060"));
    }
    let answer = only(farm.udp(CLIENT, &request("INVITE", "c1", "z9hG4bK1", "")));
    assert!(answer.start_line().starts_with("SIP/2.0 503"), "{}", answer.start_line());
    assert!(farm.refused.is_empty(), "{:?}", farm.refused);
    // The next message that is refused for another reason has an event again.
    only(farm.udp(CLIENT, &request("INVITE", "c2", "z9hG4bK2", "").replace("CSeq: 1 ", "CSeq: 1x ")));
    assert_eq!(farm.refused.len(), 1);
}
