//! OPTIONS for the load manager itself: who answers, and what.

use std::net::SocketAddr;

use base::Duration;
use sip::{Target, Transport};

use super::farm::*;
use crate::counters::Counter;
use crate::farm::condition::Condition;
use crate::settings::*;
use crate::shared::Terms;

fn answering() -> Farm {
    let settings = settings(Affinity::Tag, Selection::RoundRobin);
    Farm::new(Settings { answer_options: true, names: vec!["lb.example.com".into()], ..settings })
}

/// OPTIONS for this URI.
fn options(uri: &str, more: &str) -> String {
    request("OPTIONS", "o", "z9hG4bKo", more).replace("sip:bob@198.51.100.1", uri)
}

#[test]
fn it_answers_for_itself_while_a_server_takes_calls_and_refuses_while_none_does() {
    let mut farm = answering();
    for uri in ["sip:198.51.100.1", "sip:198.51.100.1:5060;transport=udp", "sip:lb.example.com"] {
        let answer = only(farm.udp(CLIENT, &options(uri, "Route: <sip:198.51.100.1;lr>\r\n")));
        assert_eq!(
            (answer.start_line(), &*answer.address()),
            ("SIP/2.0 200 OK", "udp 192.0.2.1:5060"),
            "{uri}"
        );
        assert_eq!(answer.field("Allow"), None, "{uri}");
    }
    // A server asks, too.
    let answer = only(farm.udp("10.0.0.1:5060", &options("sip:198.51.100.1", "")));
    assert_eq!(answer.start_line(), "SIP/2.0 200 OK");
    for last in 1..=4 {
        farm.stopped(&format!("10.0.0.{last}:5060"));
    }
    let answer = only(farm.tcp(CLIENT, 3, &options("sip:198.51.100.1", "")));
    assert_eq!(
        (answer.start_line(), &*answer.address()),
        ("SIP/2.0 503 No Server Available", "connection 3")
    );
    assert_eq!(answer.field("Retry-After"), Some("5"));
    assert_eq!((farm.count(Counter::OptionsAnswered), farm.count(Counter::NoServer)), (5, 0));
    assert!(farm.refused.is_empty(), "nobody was refused anything");
}

#[test]
fn a_server_that_failed_and_has_not_answered_since_counts_only_where_calls_alone_can_show_that_it_is_back() {
    for (probe, then) in [(Probe::Traffic, "SIP/2.0 200"), (Probe::Options, "SIP/2.0 503")] {
        let mut settings = settings(Affinity::Tag, Selection::RoundRobin);
        let server = SocketAddr::from(([10, 0, 0, 1], 5060));
        settings.servers = vec![ServerEntry::at(server, Transport::Tcp)];
        let mut farm = Farm::new(Settings { answer_options: true, probe, ..settings });
        // It refuses connections until it has failed; its pause passes, and it is tried.
        for _ in 0..40 {
            if farm.table.rows(farm.now)[0].condition == Condition::Active {
                farm.send_failed(Target::Stream { listener: 1, to: server });
            }
            farm.now = farm.now + Duration::from_millis(100);
            farm.publish();
        }
        assert_eq!(farm.table.rows(farm.now)[0].condition, Condition::Trial, "{probe:?}");
        let answer = only(farm.udp(CLIENT, &options("sip:198.51.100.1", "")));
        assert!(answer.start_line().starts_with(then), "{probe:?}: {}", answer.text);
    }
}

#[test]
fn one_that_is_about_to_end_says_so_whether_it_still_serves_new_calls_or_not() {
    for (end, serves) in [(Terms::ending as fn(&Terms) -> Terms, true), (Terms::closing, false)] {
        let mut farm = answering();
        farm.change(end);
        let answer = only(farm.udp(CLIENT, &options("sip:198.51.100.1", "")));
        assert!(answer.start_line().starts_with("SIP/2.0 503"), "{}", answer.text);
        let invite = only(farm.udp(CLIENT, &request("INVITE", "c", "z9hG4bKc", "")));
        assert_eq!(invite.start_line().starts_with("INVITE"), serves);
    }
}

#[test]
fn a_server_gets_what_is_for_a_user_or_for_others_or_within_a_dialog_and_all_without_the_setting() {
    let goes_on = |farm: &mut Farm, text: &str| {
        let sent = only(farm.udp(CLIENT, text));
        assert!(sent.start_line().starts_with("OPTIONS"), "{}", sent.text);
        assert!(sent.address().starts_with("udp 10.0.0."), "{}", sent.address());
    };
    let mut farm = answering();
    goes_on(&mut farm, &options("sip:bob@198.51.100.1", ""));
    goes_on(&mut farm, &options("sip:example.org", ""));
    goes_on(&mut farm, &options("sip:198.51.100.1", "Route: <sip:10.0.0.2;lr>\r\n"));
    let (_, answer) = establish(&mut farm, "up");
    let within = from_client("OPTIONS", "up", "z9hG4bKw", "bob", &routes(&answer));
    goes_on(&mut farm, &within.replace("sip:bob@198.51.100.1", "sip:198.51.100.1"));
    assert_eq!(farm.count(Counter::OptionsAnswered), 0);
    goes_on(&mut Farm::of(Affinity::Tag, Selection::RoundRobin), &options("sip:198.51.100.1", ""));
}
