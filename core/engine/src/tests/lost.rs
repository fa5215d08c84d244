//! Calls that another engine takes for those of a dead one, though their owner lives.

use base::Duration;

use super::world::{CALLEE, CALLER, CONTACT, INVITE, World, response};

#[test]
fn the_call_of_an_engine_that_has_just_started_waits_until_it_is_known() {
    let mut world = World::new(2);
    world.deliver(0, CALLER, INVITE);
    let invite = world.expect(CALLEE, "INVITE");
    world.expect(CALLER, "SIP/2.0 100");
    // No mark has named the first engine to the second.
    world.deliver(1, CALLER, INVITE);
    world.deliver(1, CALLEE, &response(&invite, "180 Ringing", "bob", CONTACT));
    assert_eq!(world.taken_over(1), 0);
    world.pass(Duration::from_secs(1));
    assert_eq!(world.taken_over(1), 0);
    world.sent.retain(|(to, _)| to.to_string() == "10.1.0.1:5099");
    assert!(!world.sent.is_empty(), "the owner gets what came");
}

#[test]
fn an_engine_that_dies_before_others_know_it_is_missed_all_the_same() {
    let mut world = World::new(2);
    world.deliver(0, CALLER, INVITE);
    let invite = world.expect(CALLEE, "INVITE");
    world.expect(CALLER, "SIP/2.0 100");
    world.engines[0] = None;
    world.deliver(1, CALLER, INVITE);
    world.expect_nothing();
    world.pass(Duration::from_secs(2));
    assert_eq!(world.taken_over(1), 1);
    world.sent.retain(|(to, _)| to.to_string() == CALLEE);
    let again = world.expect(CALLEE, "INVITE");
    assert_eq!(again.replace(";e=2", ";e=1"), invite);
}
