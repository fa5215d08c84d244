//! Calls through a proxy that forks (RFC 3261 §16).

use base::Duration;

use super::world::{CALLEE, CALLER, CONTACT, INVITE, World, field, of_caller, response};
use crate::Mode;

pub(super) const SECOND: &str = "10.0.0.8:5060";

pub(super) fn proxy(engines: u32) -> World {
    World::with(engines, |settings| settings.mode = Mode::Proxy)
}

fn forking(engines: u32) -> World {
    World::with(engines, |settings| {
        settings.mode = Mode::Proxy;
        settings.to.push(format!("sip:{SECOND}").into_bytes().into());
    })
}

/// The message without the parameter that names the engine.
fn anonymous(text: &str) -> String {
    text.replace(";e=1", "").replace(";e=2", "")
}

fn cancel() -> String {
    INVITE.replace("INVITE sip", "CANCEL sip").replace("7 INVITE", "7 CANCEL")
}

/// A request within the dialog that this INVITE, as it reached the callee, began: from the caller, or from the callee.
pub(super) fn within(method: &str, number: u32, branch: &str, invite: &str, is_of_caller: bool) -> String {
    let (uri, sent_by) = match is_of_caller {
        true => ("sip:bob@10.0.0.9:5060", CALLER),
        false => ("sip:alice@10.0.0.1:5060", CALLEE),
    };
    let (caller, callee) = (field(invite, "From"), format!("{};tag=bob", field(invite, "To")));
    let (from, to) = if is_of_caller { (caller, &*callee) } else { (&*callee, caller) };
    let (route, call_id) = (field(invite, "Record-Route"), field(invite, "Call-ID"));
    format!(
        "{method} {uri} SIP/2.0\r\nVia: SIP/2.0/UDP {sent_by};branch=z9hG4bK{branch}\r\nMax-Forwards: 70\r\n\
         Route: {route}\r\nFrom: {from}\r\nTo: {to}\r\nCall-ID: {call_id}\r\nCSeq: {number} {method}\r\n\
         Content-Length: 0\r\n\r\n"
    )
}

/// A call that is answered: the callee's INVITE.
pub(super) fn answered(world: &mut World, at: usize) -> String {
    world.deliver(at, CALLER, INVITE);
    let invite = world.expect(CALLEE, "INVITE sip:bob@10.0.0.9:5060 SIP/2.0");
    world.expect(CALLER, "SIP/2.0 100");
    world.deliver(at, CALLEE, &response(&invite, "180 Ringing", "bob", CONTACT));
    world.expect(CALLER, "SIP/2.0 180 Ringing");
    world.deliver(at, CALLEE, &response(&invite, "200 OK", "bob", CONTACT));
    world.expect(CALLER, "SIP/2.0 200 OK");
    world.expect_nothing();
    invite
}

#[test]
fn a_call_passes_with_all_that_it_says_and_leaves_no_record() {
    let mut world = proxy(1);
    world.deliver(0, CALLER, INVITE);
    let invite = world.expect(CALLEE, "INVITE sip:bob@10.0.0.9:5060 SIP/2.0");
    let trying = world.expect(CALLER, "SIP/2.0 100");
    assert!(!trying.contains("Record-Route"), "{trying}");
    let own = "Via: SIP/2.0/UDP 10.0.0.5:5060;e=1;branch=z9hG4bK";
    let entry = "Record-Route: <sip:10.0.0.5:5060;lr;k=";
    let (added, rest): (Vec<&str>, Vec<&str>) = invite.split("\r\n").skip(1).partition(|line| {
        line.starts_with(own) || line.starts_with(entry) || line.starts_with("Max-Breadth: 60")
    });
    assert_eq!(added.len(), 3, "{invite}");
    let expected = INVITE.replace("Max-Forwards: 70", "Max-Forwards: 69");
    assert_eq!(rest, expected.split("\r\n").skip(1).collect::<Vec<_>>());
    assert_eq!(world.records(), (1, 0));
    let ringing = response(&invite, "180 Ringing", "bob", CONTACT);
    world.deliver(0, CALLEE, &ringing);
    let passed = world.expect(CALLER, "SIP/2.0 180 Ringing");
    let is_own = |line: &&str| line.starts_with(own);
    let without =
        |text: &str| text.split("\r\n").filter(|line| !is_own(line)).collect::<Vec<_>>().join("\r\n");
    assert_eq!(passed, without(&ringing));
    let ok = response(&invite, "200 OK", "bob", CONTACT);
    world.deliver(0, CALLEE, &ok);
    assert_eq!(world.expect(CALLER, "SIP/2.0 200"), without(&ok));
    assert_eq!(world.records(), (0, 1), "a proxy has no call to keep");
    world.deliver(0, CALLER, INVITE);
    world.expect_nothing();
    world.deliver(0, CALLEE, &ok);
    world.expect(CALLER, "SIP/2.0 200");
    world.pass(Duration::from_secs(60));
    world.expect_nothing();
}

#[test]
fn requests_within_the_dialog_pass_both_ways_without_a_look_at_the_store() {
    let mut world = proxy(1);
    let invite = answered(&mut world, 0);
    world.holds = true;
    world.asks.clear();
    world.deliver(0, CALLER, &within("ACK", 7, "ack", &invite, true));
    let ack = world.expect(CALLEE, "ACK sip:bob@10.0.0.9:5060 SIP/2.0");
    assert!(!ack.contains("Route:"), "{ack}");
    assert_eq!(field(&ack, "Max-Forwards"), "69");
    for (method, number) in [("INFO", 8), ("INVITE", 9), ("UPDATE", 10), ("BYE", 11)] {
        let asked = within(method, number, method, &invite, true);
        world.deliver(0, CALLER, &asked);
        let passed = world.expect(CALLEE, &format!("{method} sip:bob@10.0.0.9:5060"));
        world.deliver(0, CALLER, &asked);
        assert_eq!(world.expect(CALLEE, method), passed, "a copy has the same branch");
        world.deliver(0, CALLEE, &response(&passed, "200 OK", "", ""));
        let ok = world.expect(CALLER, "SIP/2.0 200 OK");
        assert_eq!(field(&ok, "Via"), format!("SIP/2.0/UDP {CALLER};branch=z9hG4bK{method}"));
    }
    world.deliver(0, CALLEE, &within("BYE", 1, "bye", &invite, false));
    let bye = world.expect(CALLER, "BYE sip:alice@10.0.0.1:5060 SIP/2.0");
    world.deliver(0, CALLER, &response(&bye, "481 Call/Transaction Does Not Exist", "", ""));
    world.expect(CALLEE, "SIP/2.0 481");
    assert!(world.asks.is_empty());
}

#[test]
fn a_second_invite_its_cancel_and_its_ack_have_one_branch() {
    let mut world = proxy(2);
    let invite = answered(&mut world, 0);
    let again = within("INVITE", 8, "again", &invite, true);
    world.deliver(0, CALLER, &again);
    let passed = world.expect(CALLEE, "INVITE");
    for (at, method) in [(1, "CANCEL"), (1, "ACK")] {
        let other =
            again.replace("INVITE sip", &format!("{method} sip")).replace("8 INVITE", &format!("8 {method}"));
        world.deliver(at, CALLER, &other);
        let other = world.expect(CALLEE, method);
        assert_eq!(anonymous(field(&other, "Via")), anonymous(field(&passed, "Via")));
    }
    world.deliver(0, CALLER, &within("ACK", 8, "other", &invite, true));
    let ack = world.expect(CALLEE, "ACK");
    assert_ne!(field(&ack, "Via"), field(&passed, "Via"), "to a 2xx");
}

#[test]
fn the_first_answer_passes_at_once_and_the_others_are_cancelled() {
    let mut world = forking(1);
    world.deliver(0, CALLER, INVITE);
    let first = world.expect(CALLEE, "INVITE sip:bob@10.0.0.9:5060");
    let other = world.expect(SECOND, "INVITE sip:bob@10.0.0.8:5060");
    assert_eq!(field(&first, "Call-ID"), field(&other, "Call-ID"));
    assert_ne!(field(&first, "Via"), field(&other, "Via"));
    assert_eq!((field(&first, "Max-Breadth"), field(&other, "Max-Breadth")), ("30", "30"));
    world.expect(CALLER, "SIP/2.0 100");
    world.deliver(0, SECOND, &response(&other, "180 Ringing", "carol", ""));
    world.expect(CALLER, "SIP/2.0 180");
    world.holds = true;
    world.deliver(0, CALLEE, &response(&first, "200 OK", "bob", CONTACT));
    world.expect(CALLER, "SIP/2.0 200");
    let cancel = world.expect(SECOND, "CANCEL sip:bob@10.0.0.8:5060");
    assert_eq!(field(&cancel, "Via"), field(&other, "Via"));
    assert_eq!(field(&cancel, "From"), "\"Alice\" <sip:alice@a.example>;tag=alice");
    assert_eq!(field(&cancel, "To"), "<sip:bob@farm.example>");
    assert!(field(&cancel, "Reason").contains("cause=200"));
    world.holds = false;
    world.carry_out();
    assert_eq!(world.records(), (1, 0), "a branch has no final answer so far");
    world.deliver(0, SECOND, &response(&cancel, "200 OK", "carol", ""));
    // Both have answered: the caller gets each answer.
    world.deliver(0, SECOND, &response(&other, "200 OK", "carol", ""));
    world.expect(CALLER, "SIP/2.0 200");
    assert_eq!(world.records(), (0, 1));
    world.pass(Duration::from_secs(60));
    world.expect_nothing();
}

#[test]
fn the_record_stays_until_the_cancelled_branch_has_answered() {
    let mut world = forking(1);
    world.deliver(0, CALLER, INVITE);
    let first = world.expect(CALLEE, "INVITE");
    let other = world.expect(SECOND, "INVITE");
    world.expect(CALLER, "SIP/2.0 100");
    world.deliver(0, CALLEE, &response(&first, "200 OK", "bob", CONTACT));
    world.expect(CALLER, "SIP/2.0 200");
    world.expect_nothing();
    // No CANCEL before a provisional answer (RFC 3261 §9.1).
    world.deliver(0, SECOND, &response(&other, "180 Ringing", "carol", ""));
    world.expect(SECOND, "CANCEL");
    world.expect_nothing();
    world.deliver(0, SECOND, &response(&other, "487 Request Terminated", "carol", ""));
    let ack = world.expect(SECOND, "ACK sip:bob@10.0.0.8:5060");
    assert_eq!(field(&ack, "To"), "<sip:bob@farm.example>;tag=carol");
    assert_eq!(field(&ack, "Via"), field(&other, "Via"));
    world.expect_nothing();
    assert_eq!(world.records(), (0, 1));
}

#[test]
fn the_breadth_is_divided_and_too_little_is_refused() {
    for (breadth, first, second) in [(1000, "30", "30"), (5, "3", "2"), (2, "1", "1")] {
        let mut world = forking(1);
        let invite = INVITE.replace("Subject", &format!("Max-Breadth: {breadth}\r\nSubject"));
        world.deliver(0, CALLER, &invite);
        let (one, two) = (world.expect(CALLEE, "INVITE"), world.expect(SECOND, "INVITE"));
        assert_eq!((field(&one, "Max-Breadth"), field(&two, "Max-Breadth")), (first, second));
    }
    let mut world = forking(1);
    world.deliver(0, CALLER, &INVITE.replace("Subject", "Max-Breadth: 1\r\nSubject"));
    world.expect(CALLER, "SIP/2.0 440 Max-Breadth Exceeded");
    world.expect_nothing();
    assert_eq!(world.records(), (0, 0));
}

#[test]
fn the_best_failure_goes_to_the_caller_until_it_is_acknowledged() {
    let mut world = forking(1);
    world.deliver(0, CALLER, INVITE);
    let (first, other) = (world.expect(CALLEE, "INVITE"), world.expect(SECOND, "INVITE"));
    world.expect(CALLER, "SIP/2.0 100");
    let busy = response(&first, "486 Busy Here", "bob", "");
    world.deliver(0, CALLEE, &busy);
    let ack = world.expect(CALLEE, "ACK sip:bob@10.0.0.9:5060");
    assert_eq!((field(&ack, "Via"), field(&ack, "CSeq")), (field(&first, "Via"), "7 ACK"));
    world.expect_nothing();
    world.deliver(0, SECOND, &response(&other, "503 Service Unavailable", "carol", ""));
    world.expect(SECOND, "ACK");
    let said = world.expect(CALLER, "SIP/2.0 486 Busy Here");
    assert_eq!(field(&said, "To"), "<sip:bob@farm.example>;tag=bob");
    world.deliver(0, CALLEE, &busy);
    world.expect(CALLEE, "ACK");
    world.pass(Duration::from_millis(510));
    assert_eq!(world.expect(CALLER, "SIP/2.0 486"), said);
    world.deliver(0, CALLER, INVITE);
    assert_eq!(world.expect(CALLER, "SIP/2.0 486"), said);
    world.deliver(0, CALLER, &of_caller("ACK", 7, "invite", field(&said, "To")));
    assert_eq!(world.records(), (0, 1));
    world.pass(Duration::from_secs(40));
    world.expect_nothing();
}

#[test]
fn all_challenges_and_redirections_pass() {
    let mut world = forking(1);
    world.deliver(0, CALLER, INVITE);
    let (first, other) = (world.expect(CALLEE, "INVITE"), world.expect(SECOND, "INVITE"));
    world.expect(CALLER, "SIP/2.0 100");
    let one = "Proxy-Authenticate: Digest realm=\"one\"\r\n";
    let two = "WWW-Authenticate: Digest realm=\"two\"\r\n";
    world.deliver(0, CALLEE, &response(&first, "407 Proxy Authentication Required", "bob", one));
    world.expect(CALLEE, "ACK");
    world.deliver(0, SECOND, &response(&other, "401 Unauthorized", "carol", two));
    world.expect(SECOND, "ACK");
    let said = world.expect(CALLER, "SIP/2.0 407");
    assert!(said.contains(one) && said.contains(two), "{said}");

    let mut world = proxy(1);
    world.deliver(0, CALLER, INVITE);
    let invite = world.expect(CALLEE, "INVITE");
    world.expect(CALLER, "SIP/2.0 100");
    let there = "Contact: <sip:bob@elsewhere.example>\r\n";
    world.deliver(0, CALLEE, &response(&invite, "302 Moved Temporarily", "bob", there));
    world.expect(CALLEE, "ACK");
    let said = world.expect(CALLER, "SIP/2.0 302");
    assert!(said.contains(there), "{said}");
}

#[test]
fn one_branch_without_room_is_not_a_farm_without_room() {
    let mut world = proxy(1);
    world.deliver(0, CALLER, INVITE);
    let invite = world.expect(CALLEE, "INVITE");
    world.expect(CALLER, "SIP/2.0 100");
    world.deliver(0, CALLEE, &response(&invite, "503 Service Unavailable", "bob", "Retry-After: 60\r\n"));
    world.expect(CALLEE, "ACK");
    let said = world.expect(CALLER, "SIP/2.0 500 Server Internal Error");
    assert!(!said.contains("Retry-After"), "{said}");
}

#[test]
fn the_caller_cancels_before_and_behind_the_ringing() {
    for rings in [false, true] {
        let mut world = proxy(1);
        world.deliver(0, CALLER, INVITE);
        let invite = world.expect(CALLEE, "INVITE");
        world.expect(CALLER, "SIP/2.0 100");
        let ringing = response(&invite, "180 Ringing", "bob", CONTACT);
        if rings {
            world.deliver(0, CALLEE, &ringing);
            world.expect(CALLER, "SIP/2.0 180");
        }
        world.deliver(0, CALLER, &cancel().replace("Subject: lunch", "Reason: SIP;cause=600"));
        world.expect(CALLER, "SIP/2.0 200");
        if !rings {
            world.expect_nothing();
            world.deliver(0, CALLEE, &ringing);
        }
        let passed = world.expect(CALLEE, "CANCEL sip:bob@10.0.0.9:5060");
        assert_eq!(field(&passed, "Via"), field(&invite, "Via"));
        assert_eq!(field(&passed, "Reason"), "SIP;cause=600");
        world.deliver(0, CALLEE, &response(&passed, "200 OK", "bob", ""));
        world.deliver(0, CALLEE, &response(&invite, "487 Request Terminated", "bob", ""));
        world.expect(CALLEE, "ACK");
        let said = world.expect(CALLER, "SIP/2.0 487");
        assert_eq!(field(&said, "To"), "<sip:bob@farm.example>;tag=bob");
        world.deliver(0, CALLER, &of_caller("ACK", 7, "invite", field(&said, "To")));
        assert_eq!(world.records(), (0, 1));
        world.expect_nothing();
    }
}

#[test]
fn an_answer_that_crosses_the_cancel_passes() {
    let mut world = proxy(1);
    world.deliver(0, CALLER, INVITE);
    let invite = world.expect(CALLEE, "INVITE");
    world.expect(CALLER, "SIP/2.0 100");
    world.deliver(0, CALLER, &cancel());
    world.expect(CALLER, "SIP/2.0 200 OK");
    world.deliver(0, CALLEE, &response(&invite, "200 OK", "bob", CONTACT));
    let ok = world.expect(CALLER, "SIP/2.0 200 OK");
    assert_eq!(field(&ok, "CSeq"), "7 INVITE");
    world.pass(Duration::from_secs(60));
    world.expect_nothing();
    assert_eq!(world.records().0, 0);
}

#[test]
fn nobody_answers_or_it_rings_too_long() {
    let mut world = proxy(1);
    world.deliver(0, CALLER, INVITE);
    let invite = world.expect(CALLEE, "INVITE");
    world.expect(CALLER, "SIP/2.0 100");
    world.pass(Duration::from_millis(31_900));
    for _ in 0..6 {
        assert_eq!(world.expect(CALLEE, "INVITE"), invite);
    }
    world.pass(Duration::from_millis(200));
    let said = world.expect(CALLER, "SIP/2.0 408");
    world.deliver(0, CALLER, &of_caller("ACK", 7, "invite", field(&said, "To")));
    assert_eq!(world.records(), (0, 1));

    let mut world = proxy(1);
    world.deliver(0, CALLER, INVITE);
    let invite = world.expect(CALLEE, "INVITE");
    world.expect(CALLER, "SIP/2.0 100");
    let ringing = response(&invite, "180 Ringing", "bob", CONTACT);
    for _ in 0..3 {
        world.deliver(0, CALLEE, &ringing);
        world.expect(CALLER, "SIP/2.0 180");
        world.pass(Duration::from_secs(100));
        world.expect_nothing();
    }
    world.pass(Duration::from_secs(81));
    world.expect(CALLEE, "CANCEL");
    world.sent.clear();
    world.deliver(0, CALLEE, &response(&invite, "487 Request Terminated", "bob", ""));
    world.expect(CALLEE, "ACK");
    world.expect(CALLER, "SIP/2.0 408");
}
