//! Engines that die, and others that go on (SPEC E5).

use base::Duration;

use super::calls::answered;
use super::world::{CALLEE, CALLER, CONTACT, INVITE, World, field, of_callee, of_caller, response};

/// The message without the parameter that names the engine.
fn anonymous(text: &str) -> String {
    text.replace(";e=1", "").replace(";e=2", "")
}

#[test]
fn a_call_up_goes_on_at_any_other_engine() {
    let mut world = World::new(2);
    let (invite, to) = answered(&mut world, 0);
    world.kill(0);
    world.expect_nothing();
    world.deliver(1, CALLER, &of_caller("INFO", 8, "info", &to));
    let info = world.expect(CALLEE, "INFO");
    world.deliver(1, CALLEE, &response(&info, "200 OK", "", ""));
    world.expect(CALLER, "SIP/2.0 200");
    world.deliver(1, CALLEE, &of_callee("BYE", 1, "bye", &invite));
    let bye = world.expect(CALLER, "BYE sip:alice@10.0.0.1:5060");
    world.deliver(1, CALLER, &response(&bye, "200 OK", "", ""));
    world.expect(CALLEE, "SIP/2.0 200");
    assert_eq!(world.records(), (0, 1));
}

#[test]
fn a_ringing_call_is_taken_over_and_rings_once() {
    let mut world = World::new(2);
    world.pass(Duration::from_secs(1));
    world.deliver(0, CALLER, INVITE);
    let invite = world.expect(CALLEE, "INVITE");
    world.expect(CALLER, "SIP/2.0 100");
    world.deliver(0, CALLEE, &response(&invite, "180 Ringing", "bob", CONTACT));
    let ringing = world.expect(CALLER, "SIP/2.0 180");
    world.kill(0);
    let repeated = world.expect(CALLEE, "INVITE");
    assert_eq!(anonymous(&repeated), anonymous(&invite), "the same request");
    world.deliver(1, CALLEE, &response(&repeated, "180 Ringing", "bob", CONTACT));
    let again = world.expect(CALLER, "SIP/2.0 180");
    assert_eq!(again, ringing);
    world.deliver(1, CALLEE, &response(&repeated, "200 OK", "bob", CONTACT));
    let ok = world.expect(CALLER, "SIP/2.0 200");
    let to = field(&ok, "To").to_owned();
    world.deliver(1, CALLER, &of_caller("ACK", 7, "ack", &to));
    world.expect(CALLEE, "ACK");
    world.deliver(1, CALLER, &of_caller("BYE", 8, "bye", &to));
    let bye = world.expect(CALLEE, "BYE");
    world.deliver(1, CALLEE, &response(&bye, "200 OK", "", ""));
    world.expect(CALLER, "SIP/2.0 200");
    assert_eq!(world.records(), (0, 1));
}

#[test]
fn a_commit_whose_engine_died_before_it_sent_is_found_by_the_copy() {
    let mut world = World::new(2);
    world.pass(Duration::from_secs(1));
    world.holds = true;
    world.deliver(0, CALLER, INVITE);
    let (_, create) = world.asks.pop_front().expect("a command");
    world.answer_of(create);
    world.holds = false;
    world.kill(0);
    let invite = world.expect(CALLEE, "INVITE");
    world.deliver(1, CALLER, INVITE);
    world.expect(CALLER, "SIP/2.0 100");
    world.expect_nothing();
    world.deliver(1, CALLEE, &response(&invite, "200 OK", "bob", CONTACT));
    world.expect(CALLER, "SIP/2.0 200");
}

#[test]
fn an_answer_whose_commit_was_not_sent_comes_again_from_the_callee() {
    let mut world = World::new(2);
    world.pass(Duration::from_secs(1));
    world.deliver(0, CALLER, INVITE);
    let invite = world.expect(CALLEE, "INVITE");
    world.expect(CALLER, "SIP/2.0 100");
    world.holds = true;
    let ok = response(&invite, "200 OK", "bob", CONTACT);
    world.deliver(0, CALLEE, &ok);
    let (_, put) = world.asks.pop_front().expect("a command");
    world.answer_of(put);
    world.holds = false;
    world.kill(0);
    world.expect_nothing();
    world.deliver(1, CALLEE, &ok);
    let said = world.expect(CALLER, "SIP/2.0 200");
    world.deliver(1, CALLER, &of_caller("ACK", 7, "ack", field(&said, "To")));
    world.expect(CALLEE, "ACK");
}

#[test]
fn what_another_engine_got_goes_to_the_owner_of_a_ringing_call() {
    let mut world = World::new(2);
    world.pass(Duration::from_secs(1));
    world.deliver(0, CALLER, INVITE);
    let invite = world.expect(CALLEE, "INVITE");
    world.expect(CALLER, "SIP/2.0 100");
    world.deliver(1, CALLEE, &response(&invite, "180 Ringing", "bob", CONTACT));
    let letter = world.sent.pop_front().expect("a letter");
    assert_eq!(letter.0.to_string(), "10.1.0.1:5099");
    world.expect_nothing();
}

#[test]
fn two_engines_that_get_one_answer_write_once_and_send_the_same() {
    let mut world = World::new(2);
    world.deliver(0, CALLER, INVITE);
    let invite = world.expect(CALLEE, "INVITE");
    world.expect(CALLER, "SIP/2.0 100");
    world.holds = true;
    let ok = response(&invite, "200 OK", "bob", CONTACT);
    // Nobody has told the second engine of the first.
    world.deliver(0, CALLEE, &ok);
    world.deliver(1, CALLEE, &ok);
    world.carry_out();
    let one = world.expect(CALLER, "SIP/2.0 200");
    while let Some((to, text)) = world.sent.pop_front() {
        if to.to_string() == CALLER {
            assert_eq!(text, one);
        }
    }
    assert_eq!(world.records(), (1, 0));
}

#[test]
fn without_a_notice_the_store_says_that_an_engine_died() {
    let mut world = World::new(2);
    world.pass(Duration::from_secs(1));
    world.deliver(0, CALLER, INVITE);
    let invite = world.expect(CALLEE, "INVITE");
    world.expect(CALLER, "SIP/2.0 100");
    world.engines[0] = None;
    world.pass(Duration::from_millis(3000));
    let repeated = world.expect(CALLEE, "INVITE");
    assert_eq!(anonymous(&repeated), anonymous(&invite));
}
