//! Subscriptions: each NOTIFY gets our Record-Route (RFC 6665 §4.3). So a subscriber whose dialog is made by a NOTIFY, as for
//! every fork but one, comes back through us; and so do SUBSCRIBE and REFER.

use super::farm::*;
use crate::settings::*;

const PHONE: &str = "192.0.2.1:40000";

fn entries(left: &Left) -> Vec<String> {
    left.fields("Record-Route").iter().map(|entry| (*entry).to_owned()).collect()
}

/// The tag of an entry.
fn tag(entry: &str) -> &str {
    entry.split("farmtag=").nth(1).unwrap().trim_end_matches('>')
}

/// The NOTIFY of a fork: the subscriber has not heard of its From tag.
fn notify(server: &str, fork: &str, routes: &str, number: u32) -> String {
    format!(
        "NOTIFY sip:alice@192.0.2.1 SIP/2.0\r\nVia: SIP/2.0/UDP {server};branch=z9hG4bKn{fork}{number}\r\n{routes}\
         Max-Forwards: 70\r\nFrom: <sip:bob@example.com>;tag={fork}\r\nTo: <sip:alice@example.com>;tag=alice\r\n\
         Call-ID: c1\r\nCSeq: {number} NOTIFY\r\nContact: <sip:bob@203.0.113.{number}>\r\nEvent: dialog\r\n\
         Subscription-State: active\r\nContent-Length: 0\r\n\r\n"
    )
}

/// The entries as a server puts them into its route set.
fn as_routes(left: &Left) -> String {
    entries(left).iter().map(|entry| format!("Route: {entry}\r\n")).collect()
}

fn every_affinity() -> [Farm; 3] {
    [
        Farm::of(Affinity::Tag, Selection::RoundRobin),
        Farm::of(Affinity::Session, Selection::RoundRobin),
        Farm::of(Affinity::Hash, Selection::Hash),
    ]
}

#[test]
fn a_dialog_that_a_notify_makes_leads_back_through_us_to_its_server() {
    for mut farm in every_affinity() {
        let subscribed = only(farm.udp(CLIENT, &request("SUBSCRIBE", "c1", "z9hG4bK1", "Event: dialog\r\n")));
        assert_eq!(entries(&subscribed).len(), 1);
        let server = subscribed.address().trim_start_matches("udp ").to_owned();
        for (number, fork) in ["one", "two", "one"].iter().enumerate() {
            let text = notify(&server, fork, &as_routes(&subscribed), number as u32 + 1);
            let left = only(farm.udp(&server, &text));
            assert_eq!(left.address(), "udp 192.0.2.1:5060");
            assert_eq!(entries(&left).len(), 1, "{}", left.text);
            assert_eq!(farm.udp(CLIENT, &response(&left, "200 OK"))[0].address(), format!("udp {server}"));
            // The subscriber refreshes, and the notifier goes on, both by the entries of the NOTIFY.
            let refresh =
                from_client("SUBSCRIBE", "c1", &format!("z9hG4bKr{number}"), fork, &as_routes(&left));
            let refreshed = only(farm.udp(CLIENT, &refresh));
            assert_eq!(refreshed.address(), subscribed.address());
            assert!(entries(&refreshed).is_empty(), "its route set stands");
            let again = notify(&server, fork, &as_routes(&left), number as u32 + 7);
            assert_eq!(only(farm.udp(&server, &again)).address(), "udp 192.0.2.1:5060");
        }
    }
}

#[test]
fn a_subscriber_on_a_stream_proves_itself_by_the_copy_that_a_notify_brought() {
    let mut farm = Farm::of(Affinity::Tag, Selection::RoundRobin);
    let subscribed = only(farm.tcp(PHONE, 1, &request("SUBSCRIBE", "c1", "z9hG4bK1", "Event: dialog\r\n")));
    let server = subscribed.address().trim_start_matches("udp ").to_owned();
    let first = only(farm.udp(&server, &notify(&server, "fork", &as_routes(&subscribed), 1)));
    assert_eq!((first.address(), entries(&first).len()), ("connection 1".to_owned(), 2));
    assert_ne!(tag(&entries(&first)[0]), tag(&entries(&subscribed)[0]), "its own copy");
    let answer = only(farm.tcp(PHONE, 1, &response(&first, "200 OK")));
    assert_eq!(tag(&entries(&answer)[0]), tag(&entries(&subscribed)[0]), "the copy of the server");
    // The subscriber comes back on another connection.
    let refresh = from_client("SUBSCRIBE", "c1", "z9hG4bK2", "fork", &as_routes(&first));
    assert_eq!(only(farm.tcp("192.0.2.1:40001", 2, &refresh)).address(), subscribed.address());
    let second = only(farm.udp(&server, &notify(&server, "fork", &as_routes(&subscribed), 2)));
    assert_eq!(second.address(), "connection 2");
}

#[test]
fn a_notify_without_a_dialog_and_one_of_a_client_get_an_entry_too() {
    let mut farm = Farm::of(Affinity::Tag, Selection::RoundRobin);
    let text = notify("10.0.0.1:5060", "bob", "", 1);
    let left = only(farm.udp("10.0.0.1:5060", &text));
    assert_eq!((left.address(), entries(&left).len()), ("udp 192.0.2.1:5060".to_owned(), 1));
    let refresh = from_client("SUBSCRIBE", "c1", "z9hG4bK2", "bob", &as_routes(&left));
    assert_eq!(only(farm.udp(CLIENT, &refresh)).address(), "udp 10.0.0.1:5060");
    // A server subscribes to a telephone.
    let subscribe = request("SUBSCRIBE", "c2", "z9hG4bK3", "Event: dialog\r\n")
        .replace("sip:bob@198.51.100.1 ", "sip:alice@192.0.2.1 ")
        .replace("UDP 192.0.2.1;", "UDP 10.0.0.2;");
    let subscribed = only(farm.udp("10.0.0.2:5060", &subscribe));
    assert_eq!((subscribed.address(), entries(&subscribed).len()), ("udp 192.0.2.1:5060".to_owned(), 1));
    let told = from_client("NOTIFY", "c2", "z9hG4bK4", "alice", &as_routes(&subscribed))
        .replace("From: <sip:alice@example.com>;tag=alice", "From: <sip:alice@example.com>;tag=phone");
    let told = only(farm.udp(CLIENT, &told));
    assert_eq!((told.address(), entries(&told).len()), ("udp 10.0.0.2:5060".to_owned(), 1));
    assert_eq!(tag(&entries(&told)[0]), tag(&entries(&subscribed)[0]));
}

#[test]
fn what_makes_no_dialog_gets_no_entry() {
    let mut farm = Farm::of(Affinity::Tag, Selection::RoundRobin);
    let (_, answer) = establish(&mut farm, "c1");
    for (method, to_tag, count) in [
        ("REFER", "", 1),
        ("REFER", "bob", 0),
        ("SUBSCRIBE", "bob", 0),
        ("INVITE", "bob", 0),
        ("UPDATE", "bob", 0),
        ("PUBLISH", "", 0),
        ("MESSAGE", "", 0),
        ("OPTIONS", "", 0),
    ] {
        let routes = if to_tag.is_empty() { String::new() } else { routes(&answer) };
        let text = from_client(method, "c1", &format!("z9hG4bK{method}{to_tag}"), to_tag, &routes);
        assert_eq!(entries(&only(farm.udp(CLIENT, &text))).len(), count, "{method} {to_tag}");
    }
}
