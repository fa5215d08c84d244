//! Clients on streams that lose their connection and come back on another, and strangers that want to take their calls.

use sip::{ConnectionId, Target};

use super::farm::{Farm, Left, from_client, request, response, routes};
use crate::counters::Counter;
use crate::settings::{Affinity, Selection};

const CLIENT: &str = "192.0.2.1:40000";
const BACK: &str = "192.0.2.1:40001";
const STRANGER: &str = "203.0.113.9:40000";

fn slot(left: &[Left]) -> Option<u16> {
    match left {
        [Left { to: Target::Connection { id: ConnectionId { slot, .. }, .. }, .. }] => Some(*slot),
        _ => None,
    }
}

fn place(left: &Left) -> String {
    left.address().trim_start_matches("udp ").to_owned()
}

/// A call that a client made over connection 1: the route sets of its dialog, and the server's address.
fn called(farm: &mut Farm) -> (String, String, String) {
    let invite = request("INVITE", "call", "z9hG4bK1", "");
    let [sent] = &farm.tcp(CLIENT, 1, &invite)[..] else { panic!("one request") };
    let answer = response(sent, "200 OK");
    let server = place(sent);
    let [answer] = &farm.udp(&server, &answer)[..] else { panic!("one answer") };
    let reversed: String =
        answer.fields("Record-Route").iter().map(|route| format!("Route: {route}\r\n")).collect();
    (routes(answer), reversed, server)
}

/// A request of the server within that dialog.
fn from_server(method: &str, branch: &str, routes: &str, contact: &str) -> String {
    format!(
        "{method} {contact} SIP/2.0\r\nVia: SIP/2.0/UDP 10.0.0.1;branch={branch}\r\n{routes}Max-Forwards: 70\r\n\
         From: <sip:bob@example.com>;tag=bob\r\nTo: <sip:alice@example.com>;tag=alice\r\nCall-ID: call\r\n\
         CSeq: 7 {method}\r\nContent-Length: 0\r\n\r\n"
    )
}

const CONTACT: &str = "sip:alice@xyz.invalid;transport=tcp";

#[test]
fn a_request_takes_the_connection_on_which_the_dialog_was_continued() {
    let mut farm = Farm::of(Affinity::Tag, Selection::RoundRobin);
    let (to_server, to_client, server) = called(&mut farm);
    let info = |branch: &str| from_server("INFO", branch, &to_client, CONTACT);
    assert_eq!(slot(&farm.udp(&server, &info("z9hG4bKa"))), Some(1));
    // The first connection still seems to be there.
    let again = from_client("INFO", "call", "z9hG4bK2", "bob", &to_server);
    assert_eq!(farm.tcp(BACK, 2, &again).len(), 1);
    assert_eq!(slot(&farm.udp(&server, &info("z9hG4bKb"))), Some(2));
    assert_eq!(farm.count(Counter::Rebound), 1);
    // The first connection is still there, and is used again.
    farm.wait(1);
    farm.tcp(CLIENT, 1, &from_client("INFO", "call", "z9hG4bK2a", "bob", &to_server));
    assert_eq!(slot(&farm.udp(&server, &info("z9hG4bKba"))), Some(1));
    farm.tcp(BACK, 2, &from_client("INFO", "call", "z9hG4bK2b", "bob", &to_server));
    farm.closed_slot(1);
    assert_eq!(slot(&farm.udp(&server, &info("z9hG4bKc"))), Some(2));
    // The client comes back once more.
    let again = from_client("INFO", "call", "z9hG4bK3", "bob", &to_server);
    farm.tcp(BACK, 3, &again);
    farm.closed_slot(2);
    assert_eq!(slot(&farm.udp(&server, &info("z9hG4bKd"))), Some(3));
}

#[test]
fn a_stranger_without_the_tag_takes_over_nothing() {
    let mut farm = Farm::of(Affinity::Tag, Selection::RoundRobin);
    let (to_server, to_client, server) = called(&mut farm);
    farm.closed_slot(1);
    let forged = to_server.replace("farmtag=", "farmtag=A");
    for (branch, routes) in [("z9hG4bK5", ""), ("z9hG4bK6", &forged[..])] {
        farm.tcp(STRANGER, 4, &from_client("INFO", "call", branch, "bob", routes));
    }
    // The tag of one call proves nothing for another.
    farm.tcp(STRANGER, 4, &from_client("INFO", "another", "z9hG4bK7", "bob", &to_server));
    let info = from_server("INFO", "z9hG4bKa", &to_client, CONTACT);
    assert_eq!(slot(&farm.udp(&server, &info)), Some(1), "the connection that is gone");
    assert_eq!(farm.count(Counter::Rebound), 0);
}

fn register(user: &str, branch: &str, contact: &str) -> String {
    request("REGISTER", "registration", branch, "")
        .replace("sip:bob@198.51.100.1 ", "sip:198.51.100.1 ")
        .replace("To: <sip:bob@", &format!("To: <sip:{user}@"))
        .replace("<sip:alice@192.0.2.1>", &format!("<{contact}>"))
}

/// The server answers the REGISTER with this status.
fn registered(farm: &mut Farm, from: &str, slot: u16, text: &str, status: &str) {
    answered(farm, from, slot, text, status, "");
}

fn answered(farm: &mut Farm, from: &str, slot: u16, text: &str, status: &str, contacts: &str) {
    let [sent] = &farm.tcp(from, slot, text)[..] else { panic!("one request") };
    let answer = response(sent, status).replace("\r\n\r\n", &format!("\r\n{contacts}\r\n"));
    farm.udp(&place(sent), &answer);
}

/// The registrar has given the client a GRUU, which the client uses in dialogs; another telephone of the user has another
/// GRUU.
#[test]
fn a_client_that_registers_again_is_found_by_its_gruu() {
    let gruu = |telephone: &str| format!("sip:alice@example.com;gr=urn:uuid:{telephone}");
    let contact = |uri: &str, telephone: &str| format!("<{uri}>;expires=60;pub-gruu=\"{}\"", gruu(telephone));
    let (own, other) = (contact(CONTACT, "b"), contact("sip:alice@abc.invalid;transport=tcp", "a"));
    for contacts in
        [format!("Contact: {other}, {own}\r\n"), format!("Contact: {other}\r\nContact: {own}\r\n")]
    {
        let mut farm = Farm::of(Affinity::Tag, Selection::RoundRobin);
        let (_, to_client, server) = called(&mut farm);
        farm.closed_slot(1);
        let found = |farm: &mut Farm, branch: &str, uri: &str| {
            slot(&farm.udp(&server, &from_server("INFO", branch, &to_client, uri)))
        };
        let text = register("alice", "z9hG4bKr1", CONTACT);
        answered(&mut farm, BACK, 2, &text, "200 OK", &contacts);
        assert_eq!(found(&mut farm, "z9hG4bKa", &gruu("b")), Some(2));
        assert_eq!(found(&mut farm, "z9hG4bKb", &gruu("a")), Some(1), "of the other telephone");
        assert_eq!(found(&mut farm, "z9hG4bKc", "sip:alice@example.com"), Some(1), "of none");
        assert_eq!(found(&mut farm, "z9hG4bKd", CONTACT), Some(2));
    }
}

#[test]
fn a_client_that_registers_again_is_found_by_its_address_and_contact() {
    let mut farm = Farm::of(Affinity::Tag, Selection::RoundRobin);
    let (_, to_client, server) = called(&mut farm);
    farm.closed_slot(1);
    let info = |branch: &str| from_server("INFO", branch, &to_client, CONTACT);
    registered(&mut farm, BACK, 2, &register("alice", "z9hG4bKr1", CONTACT), "403 Forbidden");
    assert_eq!(slot(&farm.udp(&server, &info("z9hG4bKa"))), Some(1), "refused by the registrar");
    registered(&mut farm, BACK, 2, &register("alice", "z9hG4bKr2", CONTACT), "200 OK");
    assert_eq!(slot(&farm.udp(&server, &info("z9hG4bKb"))), Some(2));
    // So is a client that a server calls without a route.
    let call =
        from_server("INVITE", "z9hG4bKc", "", CONTACT).replace(";tag=alice", "").replace("call", "new");
    assert_eq!(slot(&farm.udp(&server, &call)), Some(2));
}

#[test]
fn a_client_that_registers_again_has_left_its_connection_whatever_we_hear_of_that() {
    let mut farm = Farm::of(Affinity::Tag, Selection::RoundRobin);
    registered(&mut farm, CLIENT, 1, &register("alice", "z9hG4bKr0", CONTACT), "200 OK");
    let (_, to_client, server) = called(&mut farm);
    let info = |branch: &str| from_server("INFO", branch, &to_client, CONTACT);
    assert_eq!(slot(&farm.udp(&server, &info("z9hG4bKa"))), Some(1));
    // A second flow beside the first (RFC 5626 §4.2), and a registration that the registrar does not accept.
    let beside = register("alice", "z9hG4bKr1", CONTACT).replace("tcp>", "tcp>;reg-id=2");
    registered(&mut farm, BACK, 2, &beside, "200 OK");
    assert_eq!(slot(&farm.udp(&server, &info("z9hG4bKb"))), Some(1));
    registered(&mut farm, CLIENT, 1, &register("alice", "z9hG4bKr2", CONTACT), "200 OK");
    registered(&mut farm, STRANGER, 4, &register("alice", "z9hG4bKr3", CONTACT), "403 Forbidden");
    assert_eq!(slot(&farm.udp(&server, &info("z9hG4bKc"))), Some(1));
    assert_eq!(farm.count(Counter::Rebound), 0);
    registered(&mut farm, BACK, 3, &register("alice", "z9hG4bKr4", CONTACT), "200 OK");
    assert_eq!(slot(&farm.udp(&server, &info("z9hG4bKd"))), Some(3));
    assert_eq!(farm.count(Counter::Rebound), 1);
}

#[test]
fn whoever_registers_another_address_takes_over_nothing() {
    let mut farm = Farm::of(Affinity::Tag, Selection::RoundRobin);
    let (_, to_client, server) = called(&mut farm);
    farm.closed_slot(1);
    registered(&mut farm, STRANGER, 4, &register("mallory", "z9hG4bKm1", CONTACT), "200 OK");
    // One branch for two registrations, of which only the stranger's own succeeds.
    for (first, second) in [("mallory", "alice"), ("alice", "mallory")] {
        let branch = format!("z9hG4bKof{first}");
        let sent = farm.tcp(STRANGER, 4, &register(first, &branch, CONTACT));
        farm.tcp(STRANGER, 4, &register(second, &branch, CONTACT));
        let answer = response(&sent[0], "200 OK").replace("To: <sip:alice@", "To: <sip:mallory@");
        farm.udp(&place(&sent[0]), &answer);
    }
    let info = from_server("INFO", "z9hG4bKa", &to_client, CONTACT);
    assert_eq!(slot(&farm.udp(&server, &info)), Some(1));
    assert_eq!(farm.count(Counter::Rebound), 0);
}

#[test]
fn the_other_party_of_the_call_takes_over_nothing() {
    let mut farm = Farm::of(Affinity::Tag, Selection::RoundRobin);
    let [sent] = &farm.tcp(CLIENT, 1, &request("INVITE", "call", "z9hG4bK1", ""))[..] else { panic!("one") };
    let server = place(sent);
    let [answer] = &farm.udp(&server, &response(sent, "200 OK"))[..] else { panic!("one") };
    // The server, and so the callee behind it, saw another copy than the client was given.
    let (seen, given) = (sent.field("Record-Route").unwrap(), answer.field("Record-Route").unwrap());
    assert_ne!(seen, given);
    assert_eq!(seen.len(), given.len());
    let (seen, to_client) = (format!("Route: {seen}\r\n"), routes(answer));
    let info = |branch: &str| from_server("INFO", branch, &seen, CONTACT);
    farm.tcp(STRANGER, 4, &from_client("INFO", "call", "z9hG4bK2", "bob", &seen));
    assert_eq!(slot(&farm.udp(&server, &info("z9hG4bKa"))), Some(1));
    farm.closed_slot(1);
    assert_eq!(slot(&farm.udp(&server, &info("z9hG4bKb"))), Some(1), "the connection that is gone");
    farm.tcp(BACK, 2, &from_client("INFO", "call", "z9hG4bK3", "bob", &to_client));
    assert_eq!(slot(&farm.udp(&server, &info("z9hG4bKc"))), Some(2));
}

#[test]
fn a_called_client_alone_knows_its_copy() {
    let mut farm = Farm::of(Affinity::Tag, Selection::RoundRobin);
    let server = "10.0.0.1:5060";
    registered(&mut farm, CLIENT, 1, &register("alice", "z9hG4bKr1", CONTACT), "200 OK");
    let invite = from_server("INVITE", "z9hG4bKi", "", CONTACT).replace(";tag=alice", "");
    let [invite] = &farm.udp(server, &invite)[..] else { panic!("one") };
    assert_eq!(slot(std::slice::from_ref(invite)), Some(1));
    let [answer] = &farm.tcp(CLIENT, 1, &response(invite, "200 OK"))[..] else { panic!("one") };
    let (given, seen) = (invite.fields("Record-Route"), answer.fields("Record-Route"));
    assert_eq!(given.len(), seen.len());
    assert!(given.iter().zip(&seen).all(|(given, seen)| given != seen));
}

/// A registration of alice with this instance, over this connection.
fn instance(farm: &mut Farm, slot: u16, user: &str, instance: &str, number: u32) {
    let contact =
        format!("sip:{user}@{slot}.invalid;transport=tcp>;+sip.instance=\"<{instance}>\";reg-id=1;x=<y");
    let text = register(user, &format!("z9hG4bKi{number}"), &contact).replace(";x=<y>", "");
    registered(farm, BACK, slot, &text, "200 OK");
    farm.wait(1);
}

#[test]
fn a_telephone_with_an_instance_is_followed_at_once() {
    let mut farm = Farm::of(Affinity::Tag, Selection::RoundRobin);
    instance(&mut farm, 1, "alice", "urn:uuid:1", 1);
    let (_, to_client, server) = called(&mut farm);
    let info = |branch: &str| from_server("INFO", branch, &to_client, CONTACT);
    // Another telephone of the same user, another user with the same instance.
    instance(&mut farm, 4, "alice", "urn:uuid:2", 2);
    instance(&mut farm, 5, "mallory", "urn:uuid:1", 3);
    assert_eq!(slot(&farm.udp(&server, &info("z9hG4bKa"))), Some(1));
    // Alice's own telephone, on another connection and with another contact, while the old one still seems open; and once
    // more.
    for (new, branch) in [(2, "z9hG4bKb"), (3, "z9hG4bKc")] {
        instance(&mut farm, new, "alice", "urn:uuid:1", 10 + u32::from(new));
        assert_eq!(slot(&farm.udp(&server, &info(branch))), Some(new));
    }
    assert_eq!(farm.count(Counter::Rebound), 2);
    farm.closed_slot(3);
    assert_eq!(slot(&farm.udp(&server, &info("z9hG4bKd"))), Some(1), "none but the old one is left");
}
