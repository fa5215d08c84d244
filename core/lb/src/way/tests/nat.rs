//! Clients over UDP behind a NAT: a server's requests within their dialogs reach them where they send from.

use super::farm::*;
use crate::register::settings::InsertPath;
use crate::settings::*;

/// The address that the NAT sends from, and the address that the telephone behind it uses for itself.
pub(crate) const OUTSIDE: &str = "192.0.2.9:33000";
const INSIDE: &str = "192.168.1.5:5070";

pub(crate) fn hidden(method: &str, call: &str) -> String {
    request(method, call, &format!("z9hG4bK{call}"), "")
        .replace("SIP/2.0/UDP 192.0.2.1;", &format!("SIP/2.0/UDP {INSIDE};rport;"))
        .replace("sip:alice@192.0.2.1>", &format!("sip:alice@{INSIDE}>"))
}

fn server(left: &Left) -> String {
    left.address()[4..].to_owned()
}

/// A request of the server within the dialog, to this contact, along the route set that it knows.
fn from_server(sent: &Left, method: &str, call: &str, contact: &str) -> String {
    let routes: String =
        sent.fields("Record-Route").iter().map(|route| format!("Route: {route}\r\n")).collect();
    format!(
        "{method} {contact} SIP/2.0\r\nVia: SIP/2.0/UDP {};branch=z9hG4bKs{call}\r\n{routes}Max-Forwards: 70\r\n\
         From: <sip:bob@example.com>;tag=bob\r\nTo: <sip:alice@example.com>;tag=alice\r\nCall-ID: {call}\r\n\
         CSeq: 7 {method}\r\nContent-Length: 0\r\n\r\n",
        server(sent)
    )
}

/// Where the server's BYE goes in a call that began with this INVITE.
fn bye_goes_to(invite: &str, contact: &str) -> String {
    let mut farm = Farm::of(Affinity::Tag, Selection::RoundRobin);
    let sent = only(farm.udp(OUTSIDE, invite));
    only(farm.udp(&server(&sent), &from_server(&sent, "BYE", "c1", contact))).address()
}

#[test]
fn a_caller_behind_a_nat_is_reached_where_it_sends_from() {
    let (invite, inside) = (hidden("INVITE", "c1"), format!("sip:alice@{INSIDE}"));
    assert_eq!(bye_goes_to(&invite, &inside), format!("udp {OUTSIDE}"));
    assert_eq!(bye_goes_to(&invite, &format!("{inside};transport=udp;x=y")), format!("udp {OUTSIDE}"));
    // The client has moved, and says so.
    assert_eq!(bye_goes_to(&invite, "sip:alice@192.0.2.50"), "udp 192.0.2.50:5060");
    // A client that does not ask for answers at its source, comes through a proxy, or names another place has its reasons.
    let inside_address = format!("udp {INSIDE}");
    for (from, to) in [
        (";rport", ""),
        ("Max-Forwards", "Via: SIP/2.0/UDP 192.168.1.6;branch=z9hG4bKfar\r\nMax-Forwards"),
        ("Contact: <sip:alice@192.168.1.5", "Contact: <sip:alice@192.168.1.6"),
    ] {
        assert_eq!(bye_goes_to(&invite.replace(from, to), &inside), inside_address, "{to}");
    }
    let open = invite.replace(INSIDE, OUTSIDE);
    assert_eq!(bye_goes_to(&open, &format!("sip:alice@{OUTSIDE}")), format!("udp {OUTSIDE}"));
}

#[test]
fn nobody_but_a_server_reaches_it_so() {
    let mut farm = Farm::of(Affinity::Tag, Selection::RoundRobin);
    let sent = only(farm.udp(OUTSIDE, &hidden("INVITE", "c1")));
    let bye = from_server(&sent, "BYE", "c1", &format!("sip:alice@{INSIDE}"));
    let left = only(farm.udp("203.0.113.7:5060", &bye));
    assert_eq!(left.address(), sent.address(), "to the server of the call");
}

#[test]
fn a_callee_found_by_its_path_is_found_within_the_dialog_too() {
    let mut settings = settings(Affinity::Tag, Selection::RoundRobin);
    settings.register.path = InsertPath::Always;
    let mut farm = Farm::new(settings);
    let registered = only(farm.udp(OUTSIDE, &hidden("REGISTER", "r1")));
    let path = registered.field("Path").unwrap();
    let invite = |call: &str| {
        request("INVITE", call, &format!("z9hG4bK{call}"), &format!("Route: {path}\r\n"))
            .replace("sip:bob@198.51.100.1", &format!("sip:bob@{INSIDE}"))
    };
    let sent = only(farm.udp("10.0.0.1:5060", &invite("c1")));
    assert_eq!(sent.address(), format!("udp {OUTSIDE}"));
    let answer = only(farm.udp(OUTSIDE, &response(&sent, "200 OK")));
    // The ACK goes to the contact of the answer, which often differs from the registered one.
    let ack = from_client("ACK", "c1", "z9hG4bKa", "bob", &routes(&answer))
        .replace("sip:bob@198.51.100.1", "sip:bob@192.168.1.5:6000");
    assert_eq!(only(farm.udp("10.0.0.1:5060", &ack)).address(), format!("udp {OUTSIDE}"));
    // No connection gets in there, so none is tried for a large request.
    let large =
        invite("c2").replace("Content-Length: 0\r\n\r\n", "Content-Length: 1600\r\n\r\n") + &"x".repeat(1600);
    let sent = only(farm.udp("10.0.0.1:5060", &large));
    assert_eq!((sent.address(), sent.fallback), (format!("udp {OUTSIDE}"), None));
}
