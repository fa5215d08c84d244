//! Calls through an engine that lives.

use base::Duration;

use super::world::{CALLEE, CALLER, CONTACT, INVITE, World, field, of_callee, of_caller, response};

/// A call that rings: the callee's INVITE.
#[track_caller]
pub(super) fn ringing(world: &mut World, at: usize) -> String {
    world.deliver(at, CALLER, INVITE);
    let invite = world.expect(CALLEE, "INVITE sip:bob@10.0.0.9:5060 SIP/2.0");
    world.expect(CALLER, "SIP/2.0 100");
    world.deliver(at, CALLEE, &response(&invite, "180 Ringing", "bob", CONTACT));
    world.expect(CALLER, "SIP/2.0 180 Ringing");
    invite
}

/// A call that is answered: the callee's INVITE, and the To that the caller knows.
pub(super) fn answered(world: &mut World, at: usize) -> (String, String) {
    let invite = ringing(world, at);
    world.deliver(at, CALLEE, &response(&invite, "200 OK", "bob", CONTACT));
    let ok = world.expect(CALLER, "SIP/2.0 200 OK");
    let to = field(&ok, "To").to_owned();
    world.deliver(at, CALLER, &of_caller("ACK", 7, "ack", &to));
    let ack = world.expect(CALLEE, "ACK sip:bob@10.0.0.9:5060 SIP/2.0");
    assert!(field(&ack, "To").ends_with(";tag=bob"), "{ack}");
    assert_eq!(field(&ack, "CSeq"), "7 ACK");
    world.expect_nothing();
    (invite, to)
}

#[test]
fn a_call_is_made_and_hung_up_by_the_caller() {
    let mut world = World::new(1);
    let (invite, to) = answered(&mut world, 0);
    assert!(invite.contains("\r\nSubject: lunch\r\n") && invite.ends_with("\r\n\r\nv=0"), "{invite}");
    assert!(field(&invite, "From").starts_with("\"Alice\" <sip:alice@a.example>;tag=s"), "{invite}");
    assert_ne!(field(&invite, "Call-ID"), "call-1@a.example");
    assert_eq!(field(&invite, "Max-Forwards"), "69");
    assert_eq!(world.records(), (1, 0));
    let bye = of_caller("BYE", 8, "bye", &to);
    world.deliver(0, CALLER, &bye);
    let passed = world.expect(CALLEE, "BYE sip:bob@10.0.0.9:5060");
    world.deliver(0, CALLER, &bye);
    world.expect_nothing();
    world.deliver(0, CALLEE, &response(&passed, "200 OK", "", ""));
    world.expect(CALLER, "SIP/2.0 200 OK");
    assert_eq!(world.records(), (0, 1));
    world.deliver(0, CALLER, &bye);
    world.expect(CALLER, "SIP/2.0 200");
    world.deliver(0, CALLER, &of_caller("INFO", 9, "info", &to));
    world.expect(CALLER, "SIP/2.0 481");
    world.deliver(0, CALLER, INVITE);
    world.expect(CALLER, "SIP/2.0 487");
    world.expect_nothing();
}

#[test]
fn the_callee_hangs_up_and_other_requests_pass_both_ways() {
    let mut world = World::new(1);
    let (invite, to) = answered(&mut world, 0);
    world.deliver(0, CALLER, &of_caller("INFO", 8, "info", &to));
    let info = world.expect(CALLEE, "INFO");
    assert_eq!(field(&info, "CSeq"), "8 INFO");
    world.deliver(0, CALLEE, &response(&info, "200 OK", "", ""));
    let ok = world.expect(CALLER, "SIP/2.0 200");
    assert_eq!(field(&ok, "Via"), "SIP/2.0/UDP 10.0.0.1:5060;branch=z9hG4bKinfo");
    world.deliver(0, CALLEE, &of_callee("MESSAGE", 1, "message", &invite));
    let message = world.expect(CALLER, "MESSAGE sip:alice@10.0.0.1:5060");
    world.deliver(0, CALLER, &response(&message, "202 Accepted", "", ""));
    world.expect(CALLEE, "SIP/2.0 202 Accepted");
    world.deliver(0, CALLEE, &of_callee("BYE", 2, "bye", &invite));
    let bye = world.expect(CALLER, "BYE sip:alice@10.0.0.1:5060");
    assert_eq!(field(&bye, "To"), "\"Alice\" <sip:alice@a.example>;tag=alice");
    world.deliver(0, CALLER, &response(&bye, "200 OK", "", ""));
    world.expect(CALLEE, "SIP/2.0 200 OK");
    assert_eq!(world.records(), (0, 1));
}

#[test]
fn a_refusal_reaches_the_caller_until_it_is_acknowledged() {
    let mut world = World::new(1);
    world.deliver(0, CALLER, INVITE);
    let invite = world.expect(CALLEE, "INVITE");
    world.expect(CALLER, "SIP/2.0 100");
    let busy = response(
        &invite,
        "407 Proxy Authentication Required",
        "bob",
        "Proxy-Authenticate: Digest realm=\"b\"\r\n",
    );
    world.deliver(0, CALLEE, &busy);
    let ack = world.expect(CALLEE, "ACK sip:bob@10.0.0.9:5060");
    assert_eq!(field(&ack, "Via"), field(&invite, "Via"), "the branch of its INVITE");
    let said = world.expect(CALLER, "SIP/2.0 407 Proxy Authentication Required");
    assert_eq!(field(&said, "Proxy-Authenticate"), "Digest realm=\"b\"");
    world.deliver(0, CALLEE, &busy);
    world.expect(CALLEE, "ACK");
    world.pass(Duration::from_millis(510));
    world.expect(CALLER, "SIP/2.0 407");
    world.deliver(0, CALLER, INVITE);
    world.expect(CALLER, "SIP/2.0 407");
    world.deliver(0, CALLER, &of_caller("ACK", 7, "invite", field(&said, "To")));
    assert_eq!(world.records(), (0, 1));
    world.pass(Duration::from_secs(5));
    world.expect_nothing();
    world.deliver(0, CALLER, INVITE);
    world.expect(CALLER, "SIP/2.0 407");
}

#[test]
fn the_caller_cancels_before_and_behind_the_ringing() {
    for rings in [false, true] {
        let mut world = World::new(1);
        world.deliver(0, CALLER, INVITE);
        let invite = world.expect(CALLEE, "INVITE");
        world.expect(CALLER, "SIP/2.0 100");
        let ringing = response(&invite, "180 Ringing", "bob", CONTACT);
        if rings {
            world.deliver(0, CALLEE, &ringing);
            world.expect(CALLER, "SIP/2.0 180");
        }
        let cancel = INVITE.replace("INVITE sip", "CANCEL sip").replace("7 INVITE", "7 CANCEL");
        world.deliver(0, CALLER, &cancel);
        world.expect(CALLER, "SIP/2.0 200");
        if !rings {
            world.expect_nothing();
            world.deliver(0, CALLEE, &ringing);
        }
        let passed = world.expect(CALLEE, "CANCEL sip:bob@10.0.0.9:5060");
        assert_eq!(field(&passed, "Via"), field(&invite, "Via"));
        world.deliver(0, CALLEE, &response(&passed, "200 OK", "bob", ""));
        world.deliver(0, CALLEE, &response(&invite, "487 Request Terminated", "bob", ""));
        world.expect(CALLEE, "ACK");
        let said = world.expect(CALLER, "SIP/2.0 487");
        world.deliver(0, CALLER, &of_caller("ACK", 7, "invite", field(&said, "To")));
        assert_eq!(world.records(), (0, 1));
        world.expect_nothing();
    }
}

#[test]
fn an_answer_that_crosses_the_cancel_is_ended() {
    let mut world = World::new(1);
    world.deliver(0, CALLER, INVITE);
    let invite = world.expect(CALLEE, "INVITE");
    world.expect(CALLER, "SIP/2.0 100");
    let cancel = INVITE.replace("INVITE sip", "CANCEL sip").replace("7 INVITE", "7 CANCEL");
    world.deliver(0, CALLER, &cancel);
    world.expect(CALLER, "SIP/2.0 200");
    let ok = response(&invite, "200 OK", "bob", CONTACT);
    world.deliver(0, CALLEE, &ok);
    world.expect(CALLEE, "ACK sip:bob@10.0.0.9:5060");
    let bye = world.expect(CALLEE, "BYE sip:bob@10.0.0.9:5060");
    let said = world.expect(CALLER, "SIP/2.0 487");
    world.deliver(0, CALLEE, &ok);
    world.expect(CALLEE, "ACK");
    world.pass(Duration::from_millis(520));
    world.expect(CALLEE, "BYE");
    world.expect(CALLER, "SIP/2.0 487");
    world.deliver(0, CALLER, &of_caller("ACK", 7, "invite", field(&said, "To")));
    assert_eq!(world.records(), (1, 0), "the BYE has no answer so far");
    world.deliver(0, CALLEE, &response(&bye, "200 OK", "", ""));
    assert_eq!(world.records(), (0, 1));
}

#[test]
fn nobody_answers() {
    let mut world = World::new(1);
    world.deliver(0, CALLER, INVITE);
    world.expect(CALLEE, "INVITE");
    world.expect(CALLER, "SIP/2.0 100");
    world.pass(Duration::from_millis(31_900));
    for _ in 0..6 {
        world.expect(CALLEE, "INVITE");
    }
    world.expect_nothing();
    world.pass(Duration::from_millis(200));
    let said = world.expect(CALLER, "SIP/2.0 408");
    world.deliver(0, CALLER, &of_caller("ACK", 7, "invite", field(&said, "To")));
    assert_eq!(world.records(), (0, 1));
}

#[test]
fn of_several_targets_the_first_answer_counts() {
    let second = "10.0.0.8:5060";
    let mut world = World::with(1, |settings| {
        settings.to.push(format!("sip:{second}").into_bytes().into());
    });
    world.deliver(0, CALLER, INVITE);
    let first = world.expect(CALLEE, "INVITE");
    let other = world.expect(second, "INVITE");
    assert_ne!(field(&first, "Call-ID"), field(&other, "Call-ID"));
    world.expect(CALLER, "SIP/2.0 100");
    world.deliver(0, second, &response(&other, "180 Ringing", "carol", ""));
    world.expect(CALLER, "SIP/2.0 180");
    world.deliver(0, CALLEE, &response(&first, "200 OK", "bob", CONTACT));
    let ok = world.expect(CALLER, "SIP/2.0 200");
    let cancel = world.expect(second, "CANCEL");
    world.deliver(0, second, &response(&cancel, "200 OK", "carol", ""));
    let to = field(&ok, "To").to_owned();
    world.deliver(0, CALLER, &of_caller("ACK", 7, "ack", &to));
    world.expect(CALLEE, "ACK");
    world.deliver(0, CALLER, &of_caller("BYE", 8, "bye", &to));
    let bye = world.expect(CALLEE, "BYE");
    world.deliver(0, CALLEE, &response(&bye, "200 OK", "", ""));
    world.expect(CALLER, "SIP/2.0 200");
    assert_eq!(world.records(), (1, 0), "a leg has no final answer so far");
    world.deliver(0, second, &response(&other, "487 Request Terminated", "carol", ""));
    world.expect(second, "ACK");
    assert_eq!(world.records(), (0, 1));
    // The caller has not got the answer to its BYE.
    world.deliver(0, CALLER, &of_caller("BYE", 8, "bye", &to));
    world.expect(CALLER, "SIP/2.0 200");
}

#[test]
fn the_failure_of_a_leg_that_is_gone_is_acknowledged_again() {
    let second = "10.0.0.8:5060";
    let mut world = World::with(1, |settings| {
        settings.to.push(format!("sip:{second}").into_bytes().into());
    });
    world.deliver(0, CALLER, INVITE);
    let first = world.expect(CALLEE, "INVITE");
    let other = world.expect(second, "INVITE");
    world.deliver(0, CALLEE, &response(&first, "200 OK", "bob", CONTACT));
    let busy = response(&other, "486 Busy Here", "carol", "");
    world.sent.clear();
    world.deliver(0, second, &busy);
    let ack = world.expect(second, "ACK");
    world.deliver(0, second, &busy);
    assert_eq!(world.expect(second, "ACK"), ack, "the first one was lost");
    world.expect_nothing();
}

#[test]
fn of_several_refusals_the_best_counts() {
    let second = "10.0.0.8:5060";
    let mut world = World::with(1, |settings| {
        settings.to.push(format!("sip:{second}").into_bytes().into());
    });
    world.deliver(0, CALLER, INVITE);
    let first = world.expect(CALLEE, "INVITE");
    let other = world.expect(second, "INVITE");
    world.expect(CALLER, "SIP/2.0 100");
    world.deliver(0, CALLEE, &response(&first, "486 Busy Here", "bob", ""));
    world.expect(CALLEE, "ACK");
    world.expect_nothing();
    world.deliver(0, second, &response(&other, "503 Service Unavailable", "carol", ""));
    world.expect(second, "ACK");
    world.expect(CALLER, "SIP/2.0 486 Busy Here");
}

#[test]
fn a_second_answer_of_one_leg_is_ended() {
    let mut world = World::new(1);
    let (invite, _) = answered(&mut world, 0);
    world.deliver(0, CALLEE, &response(&invite, "200 OK", "fork", "Contact: <sip:fork@10.0.0.9>\r\n"));
    let ack = world.expect(CALLEE, "ACK sip:fork@10.0.0.9");
    let bye = world.expect(CALLEE, "BYE sip:fork@10.0.0.9");
    assert!(field(&ack, "To").ends_with(";tag=fork") && field(&bye, "To").ends_with(";tag=fork"));
    world.deliver(0, CALLEE, &response(&bye, "200 OK", "", ""));
    world.expect_nothing();
    assert_eq!(world.records(), (1, 0));
    world.deliver(0, CALLEE, &response(&invite, "200 OK", "bob", CONTACT));
    world.expect(CALLER, "SIP/2.0 200");
}

#[test]
fn what_is_not_built_is_refused_and_the_call_stays() {
    let mut world = World::new(1);
    let (invite, to) = answered(&mut world, 0);
    let reinvite = of_caller("INVITE", 8, "again", &to);
    world.deliver(0, CALLER, &reinvite);
    let said = world.expect(CALLER, "SIP/2.0 488");
    assert_eq!(field(&said, "To"), to);
    world.deliver(0, CALLER, &of_caller("ACK", 8, "again", &to));
    world.expect_nothing();
    for method in ["UPDATE", "REFER", "SUBSCRIBE", "PRACK"] {
        world.deliver(0, CALLEE, &of_callee(method, 3, method, &invite));
        let said = world.expect(CALLEE, "SIP/2.0 405");
        assert!(field(&said, "Allow").starts_with("INVITE, ACK, BYE"), "{said}");
    }
    assert_eq!(world.records(), (1, 0));
    let required = INVITE.replace("Subject: lunch", "Require: 100rel").replace("call-1", "call-2");
    world.deliver(0, CALLER, &required);
    let said = world.expect(CALLER, "SIP/2.0 420");
    assert_eq!(field(&said, "Unsupported"), "100rel");
}

#[test]
fn strangers_touch_nothing_and_cost_no_look_into_the_store() {
    let mut world = World::new(1);
    let (invite, to) = answered(&mut world, 0);
    world.holds = true;
    let guessed = to.replace(";tag=s", ";tag=saaaaa");
    for bye in [
        of_caller("BYE", 8, "x", &format!("{}x", &to[..to.len() - 1])),
        of_caller("BYE", 8, "x", &guessed),
        of_caller("BYE", 8, "x", &to).replace("call-1@a.example", "another"),
    ] {
        world.deliver(0, "10.6.6.6:5060", &bye);
        world.expect("10.6.6.6:5060", "SIP/2.0 481");
    }
    assert!(world.asks.is_empty());
    // A seen tag, with a From tag that is none of the dialog.
    world.deliver(0, "10.6.6.6:5060", &of_caller("BYE", 8, "x", &to).replace("tag=alice", "tag=mallory"));
    world.expect("10.6.6.6:5060", "SIP/2.0 481");
    world.deliver(0, "10.6.6.6:5060", &of_caller("ACK", 7, "x", &to).replace("tag=alice", "tag=mallory"));
    let cancel = INVITE.replace("INVITE sip", "CANCEL sip").replace("7 INVITE", "7 CANCEL");
    world.deliver(0, "10.6.6.6:5060", &cancel.replace("tag=alice", "tag=mallory"));
    world.carry_out();
    world.holds = false;
    world.pass(Duration::from_millis(510));
    world.expect("10.6.6.6:5060", "SIP/2.0 481");
    let forged = response(&invite, "486 Busy Here", "bob", "");
    world.deliver(0, "10.6.6.6:5060", &forged.replace("branch=z9hG4bK", "branch=z9hG4bKa"));
    world.expect_nothing();
    assert_eq!(world.records(), (1, 0));
}
