//! Engines that stand still for seconds, and go on: others have gone on with their calls meanwhile (SPEC E5).

use base::Duration;

use super::calls::{answered, ringing};
use super::deaths::anonymous;
use super::world::{CALLEE, CALLER, CONTACT, INVITE, World, field, of_callee, of_caller, response};

#[test]
fn an_engine_that_stood_still_repeats_nothing_that_another_has_ended() {
    let mut world = World::new(2);
    world.pass(Duration::from_secs(1));
    let invite = ringing(&mut world, 0);
    // The first engine stands still for five seconds; the second takes the call over and ends it.
    world.still[0] = true;
    world.pass(Duration::from_secs(3));
    world.expect(CALLEE, "INVITE");
    world.sent.clear();
    let busy = response(&invite, "486 Busy Here", "bob", "");
    world.deliver(1, CALLEE, &busy);
    world.expect(CALLEE, "ACK");
    let said = world.expect(CALLER, "SIP/2.0 486");
    world.deliver(1, CALLER, &of_caller("ACK", 7, "invite", field(&said, "To")));
    world.pass(Duration::from_secs(2));
    world.expect_nothing();
    world.still[0] = false;
    world.pass(Duration::from_secs(40));
    world.expect_nothing();
}

#[test]
fn an_engine_that_stood_still_notices_that_its_call_was_taken_when_it_had_gone_on() {
    let mut world = World::new(2);
    world.pass(Duration::from_secs(1));
    world.deliver(0, CALLER, INVITE);
    let invite = world.expect(CALLEE, "INVITE");
    world.still[0] = true;
    world.pass(Duration::from_secs(1));
    world.still[0] = false;
    world.pass(Duration::from_millis(20));
    assert_eq!(world.taken_over(0), 1, "it goes on");
    // The other one has not seen its marks yet.
    world.tell(1, 1);
    assert_eq!(world.taken_over(1), 1);
    world.pass(Duration::from_secs(2));
    world.sent.clear();
    world.deliver(0, CALLEE, &response(&invite, "180 Ringing", "bob", CONTACT));
    let (to, _) = world.sent.pop_front().expect("a letter");
    assert_eq!(to.to_string(), "10.1.0.2:5099", "the owner waits for it");
    world.expect_nothing();
}

#[test]
fn an_engine_that_stood_still_leaves_its_calls_to_the_one_that_took_them() {
    let mut world = World::new(2);
    world.pass(Duration::from_secs(1));
    let invite = ringing(&mut world, 0);
    world.still[0] = true;
    world.pass(Duration::from_secs(5));
    let repeated = world.expect(CALLEE, "INVITE");
    world.sent.clear();
    world.letters.clear();
    world.still[0] = false;
    world.pass(Duration::from_millis(100));
    world.sent.clear();
    // The callee answers the first of the two copies.
    world.deliver(0, CALLEE, &response(&invite, "200 OK", "bob", CONTACT));
    assert_eq!(world.carry_letters(), 1);
    let sent =
        |world: &World, start: &str| world.sent.iter().filter(|(_, text)| text.starts_with(start)).count();
    assert_eq!((sent(&world, "SIP/2.0 200"), sent(&world, "INVITE")), (1, 0), "{:#?}", world.sent);
    assert_eq!((world.taken_over(0), world.taken_over(1)), (0, 1));
    world.sent.clear();
    world.pass(Duration::from_secs(40));
    assert_eq!(anonymous(&repeated), anonymous(&invite));
    assert_eq!(sent(&world, "INVITE"), 0, "nobody asks any longer");
}

#[test]
fn an_engine_that_stood_still_goes_on_with_what_nobody_took() {
    let mut world = World::new(1);
    world.pass(Duration::from_secs(1));
    world.deliver(0, CALLER, INVITE);
    let invite = world.expect(CALLEE, "INVITE");
    world.expect(CALLER, "SIP/2.0 100");
    world.still[0] = true;
    world.pass(Duration::from_secs(5));
    world.still[0] = false;
    world.pass(Duration::from_millis(20));
    let repeated = world.expect(CALLEE, "INVITE");
    assert_eq!(repeated, invite);
    world.deliver(0, CALLEE, &response(&repeated, "200 OK", "bob", CONTACT));
    world.expect(CALLER, "SIP/2.0 200");
}

#[test]
fn what_a_late_reply_allowed_to_leave_is_thrown_away() {
    let mut world = World::new(2);
    world.pass(Duration::from_secs(1));
    world.holds = true;
    world.deliver(0, CALLER, INVITE);
    let (at, create) = world.asks.pop_front().expect("a command");
    let reply = world.answer_of(create);
    world.holds = false;
    world.still[0] = true;
    world.pass(Duration::from_secs(4));
    let invite = world.expect(CALLEE, "INVITE");
    world.sent.clear();
    world.deliver(1, CALLEE, &response(&invite, "486 Busy Here", "bob", ""));
    world.expect(CALLEE, "ACK");
    let said = world.expect(CALLER, "SIP/2.0 486");
    world.deliver(1, CALLER, &of_caller("ACK", 7, "invite", field(&said, "To")));
    world.still[0] = false;
    world.reply(at, reply);
    world.pass(Duration::from_secs(1));
    world.expect_nothing();
}

#[test]
fn what_the_store_said_before_an_engine_stood_still_counts_no_longer() {
    let mut world = World::new(2);
    world.pass(Duration::from_secs(1));
    let (invite, to) = answered(&mut world, 0);
    world.holds = true;
    world.deliver(0, CALLER, &of_caller("BYE", 8, "bye", &to));
    let (at, look) = world.asks.pop_front().expect("a command");
    let unchanged = world.answer_of(look);
    world.holds = false;
    world.still[0] = true;
    world.pass(Duration::from_secs(5));
    world.deliver(1, CALLEE, &of_callee("BYE", 1, "bye", &invite));
    let bye = world.expect(CALLER, "BYE");
    world.deliver(1, CALLER, &response(&bye, "200 OK", "", ""));
    world.expect(CALLEE, "SIP/2.0 200");
    world.still[0] = false;
    world.reply(at, unchanged);
    world.expect(CALLER, "SIP/2.0 481");
    world.expect_nothing();
}
