//! Requests of servers to host names: they wait for the answers, bounded, and go where these lead.

use std::time::Duration;

use dns::record::{Answer, Failure, Kind, Question, Records, Srv};

use super::farm::*;
use crate::counters::Counter;
use crate::settings::*;

const SERVER: &str = "10.0.0.1:5060";

fn farm() -> Farm {
    Farm::of(Affinity::Tag, Selection::RoundRobin)
}

fn of_server(method: &str, uri: &str, branch: &str) -> String {
    let text = request(method, "c1", branch, "").replace("sip:bob@198.51.100.1 ", &format!("{uri} "));
    text.replace("UDP 192.0.2.1;", "UDP 10.0.0.1;")
}

fn addresses(ips: &[&str]) -> Answer {
    let records = Records::Addresses(ips.iter().map(|ip| ip.parse().unwrap()).collect());
    Answer::Found { records, ttl: Duration::from_secs(60) }
}

fn srv(records: &[(u16, u16, u16, &str)]) -> Answer {
    let record = |(priority, weight, port, target): &(u16, u16, u16, &str)| Srv {
        priority: *priority,
        weight: *weight,
        port: *port,
        target: dns::name::Name::new(target),
    };
    Answer::Found {
        records: Records::Srv(records.iter().map(record).collect()),
        ttl: Duration::from_secs(60),
    }
}

const NOTHING: Answer = Answer::Nothing { ttl: None };

/// The name servers answer all questions, and those that follow from the answers; what has left then.
fn answered(farm: &mut Farm, answer: impl Fn(&Question) -> Answer) -> Vec<Left> {
    let mut left = Vec::new();
    while !farm.questions.is_empty() {
        for question in std::mem::take(&mut farm.questions) {
            farm.shared.names.answered(farm.now, &question, answer(&question));
        }
        farm.now = farm.now + Duration::from_millis(10);
        left.extend(farm.timers());
    }
    left
}

#[test]
fn a_request_waits_for_the_answer_and_its_copies_do_not_wait_twice() {
    let mut farm = farm();
    let invite = of_server("INVITE", "sip:c@host.example.com:5070", "z9hG4bK1");
    assert!(farm.udp(SERVER, &invite).is_empty());
    assert!(farm.udp(SERVER, &invite).is_empty(), "a copy");
    let kinds: Vec<(String, Kind)> =
        farm.questions.iter().map(|question| (question.name.to_string(), question.kind)).collect();
    assert_eq!(
        kinds,
        [("host.example.com".into(), Kind::A)],
        "with a port only addresses, of the listeners' versions"
    );
    assert!(farm.timers().is_empty());
    let left = answered(&mut farm, |_| addresses(&["192.0.2.33"]));
    let sent = only(left);
    assert_eq!((sent.address(), farm.count(Counter::NamesWaited)), ("udp 192.0.2.33:5070".into(), 1));
    assert_eq!(sent.start_line(), "INVITE sip:c@host.example.com:5070 SIP/2.0");
    // Now it is known.
    let again = only(farm.udp(SERVER, &invite));
    assert_eq!((again.address(), again.text), (sent.address(), sent.text));
    assert!(farm.questions.is_empty());
}

#[test]
fn srv_records_choose_by_the_branch_so_cancel_and_ack_follow_their_invite() {
    let mut farm = farm();
    let answer = |question: &Question| match question.kind {
        Kind::Srv if question.name.as_str() == "_sip._udp.example.com" => {
            srv(&[(1, 1, 5081, "a.example"), (1, 1, 5082, "a.example"), (2, 9, 5083, "a.example")])
        }
        Kind::A => addresses(&["192.0.2.33"]),
        _ => NOTHING,
    };
    assert!(farm.udp(SERVER, &of_server("INVITE", "sip:c@example.com", "z9hG4bK0")).is_empty());
    only(answered(&mut farm, answer));
    let mut ports = std::collections::BTreeSet::new();
    for number in 0..40 {
        let branch = format!("z9hG4bK{number}");
        let mut to =
            |method| only(farm.udp(SERVER, &of_server(method, "sip:c@example.com", &branch))).address();
        let invite = to("INVITE");
        assert_eq!((to("CANCEL"), to("ACK")), (invite.clone(), invite.clone()));
        ports.insert(invite);
    }
    assert_eq!(ports.into_iter().collect::<Vec<_>>(), ["udp 192.0.2.33:5081", "udp 192.0.2.33:5082"]);
}

#[test]
fn a_place_that_refuses_is_passed_over_when_the_request_is_repeated() {
    let answer = |question: &Question| match question.kind {
        Kind::Srv if question.name.as_str().starts_with("_sip.") => {
            srv(&[(1, 1, 5081, "a.example"), (2, 1, 5082, "a.example")])
        }
        Kind::A => addresses(&["192.0.2.33"]),
        _ => NOTHING,
    };
    for (uri, transport) in [("sip:c@example.com", "udp"), ("sip:c@example.com;transport=tcp", "tcp")] {
        let mut farm = farm();
        let options = of_server("OPTIONS", uri, "z9hG4bK1");
        assert!(farm.udp(SERVER, &options).is_empty());
        let first = only(answered(&mut farm, answer));
        assert_eq!(first.address(), format!("{transport} 192.0.2.33:5081"));
        // Somebody who has not seen the request says that it came back.
        farm.returned(
            first.to,
            b"OPTIONS sip:c@example.com SIP/2.0\r\nVia: SIP/2.0/UDP 198.51.100.1:5060;branch=z9hG4bK",
        );
        assert_eq!(only(farm.udp(SERVER, &options)).address(), first.address());
        match transport {
            "udp" => farm.returned(first.to, first.text.as_bytes()),
            _ => farm.send_failed(first.to),
        };
        assert_eq!(only(farm.udp(SERVER, &options)).address(), format!("{transport} 192.0.2.33:5082"));
        farm.wait(61);
        assert_eq!(only(farm.udp(SERVER, &options)).address(), first.address(), "tried again after a minute");
    }
}

#[test]
fn what_leads_nowhere_is_answered() {
    for (answer, status) in [
        (NOTHING, "404 Not Found"),
        (Answer::Failed(Failure::Silent), "480 Temporarily Unavailable"),
        (Answer::Failed(Failure::ServerFailure), "480 Temporarily Unavailable"),
        (addresses(&["224.0.0.1"]), "404 Not Found"),
    ] {
        let mut farm = farm();
        assert!(
            farm.udp(SERVER, &of_server("OPTIONS", "sip:c@host.example.com:5060", "z9hG4bK1")).is_empty()
        );
        let left = only(answered(&mut farm, |_| answer.clone()));
        assert_eq!(left.start_line(), format!("SIP/2.0 {status}"));
        assert_eq!((left.address(), farm.count(Counter::Unresolved)), (format!("udp {SERVER}"), 1));
    }
    // Nobody is asked for these.
    for uri in ["sip:c@abc.invalid", "sip:c@example.com;transport=sctp"] {
        let mut farm = farm();
        let left = only(farm.udp(SERVER, &of_server("OPTIONS", uri, "z9hG4bK1")));
        assert!(
            left.start_line().starts_with("SIP/2.0 404") || left.start_line().starts_with("SIP/2.0 500"),
            "{uri}"
        );
        assert!(farm.questions.is_empty());
    }
}

#[test]
fn nobody_waits_without_end_and_the_room_is_bounded() {
    let mut farm = farm();
    for number in 0..512 {
        let text = of_server(
            "OPTIONS",
            &format!("sip:c@host{number}.example.com:5060"),
            &format!("z9hG4bK{number}"),
        );
        assert!(farm.udp(SERVER, &text).is_empty(), "{number}");
    }
    let refused = only(farm.udp(SERVER, &of_server("OPTIONS", "sip:c@more.example.com:5060", "z9hG4bKmore")));
    assert!(refused.start_line().starts_with("SIP/2.0 480"), "{}", refused.text);
    assert_eq!(farm.count(Counter::NamesFull), 1);
    // Others go on.
    assert!(
        only(farm.udp(CLIENT, &request("INVITE", "c2", "z9hG4bKc2", "")))
            .address()
            .starts_with("udp 10.0.0.")
    );
    farm.wait(5);
    assert!(farm.timers().is_empty());
    farm.wait(2);
    let left = farm.timers();
    assert_eq!(left.len(), 512);
    assert!(left.iter().all(|left| left.start_line() == "SIP/2.0 480 Temporarily Unavailable"));
    assert!(farm.timers().is_empty());
}

#[test]
fn the_last_good_answer_serves_while_name_servers_fail() {
    let mut farm = farm();
    let options =
        |number: u32| of_server("OPTIONS", "sip:c@host.example.com:5060", &format!("z9hG4bK{number}"));
    assert!(farm.udp(SERVER, &options(1)).is_empty());
    only(answered(&mut farm, |_| addresses(&["192.0.2.33"])));
    farm.wait(3600);
    assert_eq!(only(farm.udp(SERVER, &options(2))).address(), "udp 192.0.2.33:5060");
    assert_eq!(farm.questions.len(), 1, "asked for anew");
    assert!(answered(&mut farm, |_| Answer::Failed(Failure::Silent)).is_empty());
    assert_eq!(only(farm.udp(SERVER, &options(3))).address(), "udp 192.0.2.33:5060");
}

/// A stranger has nobody asked anything.
#[test]
fn only_servers_have_names_looked_up() {
    let mut farm = farm();
    let text =
        request("OPTIONS", "c1", "z9hG4bK1", "").replace("sip:bob@198.51.100.1 ", "sip:c@example.com ");
    assert!(only(farm.udp(CLIENT, &text)).address().starts_with("udp 10.0.0."));
    assert!(farm.questions.is_empty());
}
