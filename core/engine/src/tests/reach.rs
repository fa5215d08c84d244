//! A store that does not answer.

use base::Duration;
use state::{Reply, Unanswered};

use super::calls::answered;
use super::shares::{invite, takes};
use super::world::{CALLEE, CALLER, CONTACT, INVITE, World, field, of_caller, response};

#[test]
fn under_calls_a_silent_store_is_out_of_reach_within_a_second() {
    let mut world = World::new(1);
    world.pass(Duration::from_secs(1));
    world.holds = true;
    world.deliver(0, CALLER, INVITE);
    world.pass(Duration::from_millis(900));
    world.expect_nothing();
    world.pass(Duration::from_millis(100));
    world.deliver(0, CALLER, &invite(2));
    let refusal = world.expect(CALLER, "SIP/2.0 503");
    assert_eq!(field(&refusal, "Retry-After"), "2");
    // What has waited goes on.
    world.holds = false;
    world.carry_out();
    world.expect(CALLEE, "INVITE");
    world.expect(CALLER, "SIP/2.0 100");
    takes(&mut world, CALLER, &invite(3));
}

#[test]
fn an_end_passes_at_once_while_the_store_is_out_of_reach() {
    let mut world = World::new(1);
    let (_, to) = answered(&mut world, 0);
    world.holds = true;
    world.pass(Duration::from_secs(2));
    world.deliver(0, CALLER, &of_caller("BYE", 8, "bye", &to));
    let bye = world.expect(CALLEE, "BYE");
    world.deliver(0, CALLEE, &response(&bye, "200 OK", "", ""));
    world.expect(CALLER, "SIP/2.0 200");
    assert_eq!(world.records(), (1, 0));
    world.holds = false;
    world.carry_out();
    assert_eq!(world.records(), (0, 1));
    world.expect_nothing();
}

#[test]
fn an_end_that_waits_passes_when_the_store_goes_out_of_reach() {
    let mut world = World::new(1);
    let (_, to) = answered(&mut world, 0);
    world.deliver(0, CALLER, &of_caller("BYE", 8, "bye", &to));
    let bye = world.expect(CALLEE, "BYE");
    world.pass(Duration::from_secs(1));
    world.holds = true;
    world.deliver(0, CALLEE, &response(&bye, "200 OK", "", ""));
    world.pass(Duration::from_millis(800));
    // Repetitions of the BYE leave meanwhile.
    let forget_copies = |world: &mut World| world.sent.retain(|(to, _)| to.to_string() != CALLEE);
    forget_copies(&mut world);
    world.expect_nothing();
    world.pass(Duration::from_millis(200));
    forget_copies(&mut world);
    world.expect(CALLER, "SIP/2.0 200");
    world.holds = false;
    world.carry_out();
    world.pass(Duration::from_secs(2));
    assert_eq!(world.records(), (0, 1));
    world.expect_nothing();
}

#[test]
fn a_call_that_was_refused_without_an_answer_of_the_store_never_rings() {
    let mut world = World::new(1);
    world.pass(Duration::from_secs(1));
    world.holds = true;
    world.deliver(0, CALLER, INVITE);
    let (at, create) = world.asks.pop_front().expect("a command");
    let done = world.answer_of(create);
    world.reply(at, Reply { answer: Err(Unanswered::OutOfReach), ..done });
    let refusal = world.expect(CALLER, "SIP/2.0 503");
    assert_eq!(world.records(), (1, 0));
    // It asks for nothing that would bring the call to life.
    world.deliver(0, CALLER, &of_caller("ACK", 7, "invite", field(&refusal, "To")));
    world.holds = false;
    world.carry_out();
    world.pass(Duration::from_secs(60));
    assert_eq!(world.records(), (0, 0));
    world.expect_nothing();
    // The caller may try the same again.
    takes(&mut world, CALLER, INVITE);
}

#[test]
fn a_call_whose_caller_was_refused_at_another_engine_is_cancelled() {
    let mut world = World::new(2);
    world.pass(Duration::from_secs(1));
    world.holds = true;
    // The second engine cannot ask, and refuses a copy; the first one comes through.
    world.deliver(0, CALLER, INVITE);
    world.deliver(1, CALLER, INVITE);
    let (_, create) = world.asks.pop_front().expect("a command");
    let (_, copy) = world.asks.pop_front().expect("a command");
    let refused = Reply { token: copy.token, answer: Err(Unanswered::OutOfReach) };
    world.reply(1, refused);
    let refusal = world.expect(CALLER, "SIP/2.0 503");
    let created = world.answer_of(create);
    world.reply(0, created);
    world.holds = false;
    world.carry_out();
    let invite = world.expect(CALLEE, "INVITE");
    world.expect(CALLER, "SIP/2.0 100");
    world.deliver(0, CALLEE, &response(&invite, "180 Ringing", "bob", CONTACT));
    world.expect(CALLER, "SIP/2.0 180");
    let ack = of_caller("ACK", 7, "invite", field(&refusal, "To"));
    world.deliver(0, CALLER, &ack);
    let cancel = world.expect(CALLEE, "CANCEL");
    world.deliver(0, CALLEE, &response(&cancel, "200 OK", "bob", ""));
    world.deliver(0, CALLEE, &response(&invite, "487 Request Terminated", "bob", ""));
    world.expect(CALLEE, "ACK");
    world.expect_nothing();
    world.pass(Duration::from_secs(40));
    assert_eq!(world.records(), (0, 0));
}
