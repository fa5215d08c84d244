//! Callers that come back over another connection: the way of the newest copy of their INVITE counts.

use base::Duration;
use sip::Transport;

use super::world::{CALLEE, CONTACT, World, field, of_callee, response};

const LB: &str = "10.0.0.5:5060";

/// An INVITE that a load manager passed on: `over` names the transport of the caller, and `way` its connection.
fn invite(over: &str, way: &str, branch: &str) -> String {
    format!(
        "INVITE sip:bob@farm.example SIP/2.0\r\n\
         Via: SIP/2.0/UDP {LB};branch=z9hG4bK{branch};hop={way}\r\n\
         Via: SIP/2.0/{over} 10.0.0.1:9;branch=z9hG4bKinvite\r\n\
         Record-Route: <sip:{LB};lr;farmtag={way}>\r\n\
         Max-Forwards: 70\r\n\
         From: \"Alice\" <sip:alice@a.example>;tag=alice\r\n\
         To: <sip:bob@farm.example>\r\n\
         Call-ID: call-1@a.example\r\n\
         CSeq: 7 INVITE\r\n\
         Contact: <sip:alice@10.0.0.1:9>\r\n\
         Subject: lunch\r\n\
         Content-Type: application/sdp\r\n\
         Content-Length: 3\r\n\r\nv=0"
    )
}

/// Two engines, and a call from a telephone on a stream that rings at the first.
fn ringing() -> (World, String) {
    let mut world = World::new(2);
    world.pass(Duration::from_secs(1));
    world.deliver(0, LB, &invite("TCP", "old", "lb"));
    let at_callee = world.expect(CALLEE, "INVITE");
    world.expect(LB, "SIP/2.0 100");
    world.deliver(0, CALLEE, &response(&at_callee, "180 Ringing", "bob", CONTACT));
    goes(&world.expect(LB, "SIP/2.0 180"), "old");
    (world, at_callee)
}

/// A response leaves this way, and makes a dialog of this way if it makes one.
#[track_caller]
fn goes(response: &str, way: &str) {
    let via = field(response, "Via");
    assert!(via.contains(&format!(";hop={way}")), "{response}");
    assert_eq!(response.matches("Via: ").count(), 2, "{response}");
    if response.contains("Record-Route") {
        assert_eq!(field(response, "Record-Route"), format!("<sip:{LB};lr;farmtag={way}>"));
        assert_eq!(response.matches("Record-Route: ").count(), 1, "{response}");
    }
}

fn commits(world: &World, at: usize) -> u64 {
    world.engines[at].as_ref().map_or(0, |engine| engine.counters().commits.get())
}

#[test]
fn a_ringing_call_goes_on_over_the_new_connection_at_every_engine() {
    let (mut world, at_callee) = ringing();
    world.deliver(0, LB, &invite("TCP", "new", "lb"));
    goes(&world.expect(LB, "SIP/2.0 100"), "new");
    // The callee's answer to the copy is for those who have missed the first.
    assert_eq!(world.expect(CALLEE, "INVITE"), at_callee, "the same request");
    world.deliver(0, CALLEE, &response(&at_callee, "180 Ringing", "bob", CONTACT));
    goes(&world.expect(LB, "SIP/2.0 180"), "new");
    world.kill(0);
    let repeated = world.expect(CALLEE, "INVITE");
    assert_eq!(repeated.replace(";e=2", ""), at_callee.replace(";e=1", ""));
    world.deliver(1, CALLEE, &response(&repeated, "200 OK", "bob", CONTACT));
    goes(&world.expect(LB, "SIP/2.0 200"), "new");
    world.deliver(1, CALLEE, &of_callee("BYE", 1, "bye", &at_callee));
    let bye = world.expect(LB, "BYE sip:alice@10.0.0.1:9");
    assert_eq!(field(&bye, "Route"), format!("<sip:{LB};lr;farmtag=new>"));
}

#[test]
fn a_failure_and_a_2xx_that_were_lost_come_over_the_new_connection() {
    let (mut world, at_callee) = ringing();
    world.deliver(0, CALLEE, &response(&at_callee, "486 Busy Here", "bob", ""));
    world.expect(CALLEE, "ACK");
    goes(&world.expect(LB, "SIP/2.0 486"), "old");
    world.deliver(0, LB, &invite("TCP", "new", "lb"));
    goes(&world.expect(LB, "SIP/2.0 486"), "new");
    world.pass(Duration::from_millis(600));
    goes(&world.expect(LB, "SIP/2.0 486"), "new");
    world.expect_nothing();

    let (mut world, at_callee) = ringing();
    let ok = response(&at_callee, "200 OK", "bob", CONTACT);
    world.deliver(0, CALLEE, &ok);
    goes(&world.expect(LB, "SIP/2.0 200"), "old");
    world.deliver(1, LB, &invite("TCP", "new", "lb"));
    goes(&world.expect(LB, "SIP/2.0 100"), "new");
    world.expect_nothing();
    for at in [1, 0] {
        world.deliver(at, CALLEE, &ok);
        world.carry_letters();
        world.sent.retain(|(to, _)| to.to_string() == LB);
        goes(&world.expect(LB, "SIP/2.0 200"), "new");
    }
    world.expect_nothing();
}

#[test]
fn a_cancelled_call_ends_over_the_new_connection() {
    let (mut world, at_callee) = ringing();
    let cancel = |way| {
        let invite = invite("TCP", way, "lb").replace("INVITE", "CANCEL");
        invite.replace("Content-Length: 3\r\n\r\nv=0", "Content-Length: 0\r\n\r\n")
    };
    world.deliver(0, LB, &cancel("old"));
    goes(&world.expect(LB, "SIP/2.0 200"), "old");
    let cancelled = world.expect(CALLEE, "CANCEL");
    world.deliver(0, LB, &invite("TCP", "new", "lb"));
    goes(&world.expect(LB, "SIP/2.0 100"), "new");
    world.deliver(0, LB, &cancel("new"));
    goes(&world.expect(LB, "SIP/2.0 200"), "new");
    world.expect_nothing();
    world.deliver(0, CALLEE, &response(&cancelled, "200 OK", "bob", ""));
    world.deliver(0, CALLEE, &response(&at_callee, "487 Request Terminated", "bob", ""));
    world.expect(CALLEE, "ACK");
    goes(&world.expect(LB, "SIP/2.0 487"), "new");
}

#[test]
fn a_copy_that_comes_the_same_way_or_from_a_stranger_changes_nothing() {
    let (mut world, at_callee) = ringing();
    let before = commits(&world, 0);
    let strangers = [
        // The copy that a load manager repeats.
        invite("TCP", "old", "lb"),
        // Another transaction: who sends it knows Call-ID and tag, and not the branch.
        invite("TCP", "new", "other"),
        invite("TCP", "new", "lb").replace("CSeq: 7", "CSeq: 8"),
    ];
    for (stranger, status) in strangers.iter().zip(["100", "482", "100"]) {
        world.deliver(0, LB, stranger);
        world.expect(LB, &format!("SIP/2.0 {status}"));
        world.expect_nothing();
    }
    world.deliver(0, LB, &invite("TCP", "new", "lb").replace("tag=alice", "tag=ALIX"));
    world.sent.clear();
    world.deliver(0, LB, &invite("TCP", "new", "lb").replace("call-1", "call-2"));
    world.sent.clear();
    world.deliver(0, CALLEE, &response(&at_callee, "200 OK", "bob", CONTACT));
    goes(&world.expect(LB, "SIP/2.0 200"), "old");
    assert!(commits(&world, 0) > before, "the answer");
}

#[test]
fn copies_of_a_client_without_a_connection_cost_no_write() {
    let mut world = World::new(1);
    world.deliver(0, LB, &invite("UDP", "first", "lb"));
    world.expect(CALLEE, "INVITE");
    world.expect(LB, "SIP/2.0 100");
    let before = commits(&world, 0);
    world.deliver(0, LB, &invite("UDP", "second", "lb"));
    world.expect(LB, "SIP/2.0 100");
    assert_eq!(commits(&world, 0), before);
    // Its address has changed.
    world.deliver(0, LB, &invite("UDP", "second", "lb").replace(":9;branch", ":9;rport=77;branch"));
    goes(&world.expect(LB, "SIP/2.0 100"), "second");
    assert_eq!(commits(&world, 0), before + 1);
}

#[test]
fn an_engine_with_connections_of_its_own_answers_over_the_newest() {
    let mut world = World::with(1, |settings| {
        let stream = crate::Address { transport: Transport::Tcp, ..settings.listeners[0].clone() };
        settings.listeners.push(stream);
    });
    let connection = |generation| sip::Flow {
        listener: 1,
        transport: Transport::Tcp,
        remote: "10.0.0.1:40000".parse().expect("an address"),
        connection: Some(sip::ConnectionId { worker: 0, slot: 1, generation }),
    };
    world.deliver_on(0, connection(1), super::world::INVITE);
    let at_callee = world.expect(CALLEE, "INVITE");
    world.sent.clear();
    world.deliver_on(0, connection(2), super::world::INVITE);
    world.sent.clear();
    world.deliver(0, CALLEE, &response(&at_callee, "180 Ringing", "bob", CONTACT));
    let Some(sip::Target::Connection { id, .. }) = world.last else { panic!("{:?}", world.last) };
    assert_eq!(id.generation, 2);
}
