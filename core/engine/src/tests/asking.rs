//! Calls that are up for long: both sides are asked whether they still have them.

use base::Duration;

use super::calls::answered;
use super::world::{CALLEE, CALLER, World, field, of_caller, response};

fn world(engines: u32) -> World {
    World::with(engines, |settings| settings.silence_max = Duration::from_secs(600))
}

/// The OPTIONS of both sides, which leave within some seconds.
#[track_caller]
fn asked(world: &mut World) -> [String; 2] {
    world.expect_nothing();
    for _ in 0..150 {
        if world.sent.is_empty() {
            world.pass(Duration::from_millis(100));
        }
    }
    [world.expect(CALLER, "OPTIONS sip:alice@10.0.0.1"), world.expect(CALLEE, "OPTIONS sip:bob@10.0.0.9")]
}

#[test]
fn a_call_that_both_sides_have_goes_on_and_is_asked_again() {
    let mut world = world(1);
    let (_, to) = answered(&mut world, 0);
    world.pass(Duration::from_secs(598));
    let [to_caller, to_callee] = asked(&mut world);
    assert_eq!(field(&to_caller, "From"), to);
    assert_eq!(field(&to_callee, "CSeq"), "65543 OPTIONS");
    world.deliver(0, CALLER, &response(&to_caller, "200 OK", "", ""));
    world.deliver(0, CALLEE, &response(&to_callee, "405 Method Not Allowed", "", ""));
    world.pass(Duration::from_secs(500));
    // A request of the other side comes after ours.
    world.deliver(0, CALLER, &of_caller("INFO", 8, "info", &to));
    let info = world.expect(CALLEE, "INFO");
    assert_eq!(field(&info, "CSeq"), "65544 INFO");
    world.deliver(0, CALLEE, &response(&info, "200 OK", "", ""));
    world.expect(CALLER, "SIP/2.0 200");
    world.pass(Duration::from_secs(95));
    let again = asked(&mut world);
    assert_ne!(again[0], to_caller);
}

#[test]
fn a_call_that_one_side_has_no_longer_ends_for_the_other() {
    let mut world = world(1);
    answered(&mut world, 0);
    world.pass(Duration::from_secs(598));
    let [to_caller, to_callee] = asked(&mut world);
    world.deliver(0, CALLER, &response(&to_caller, "200 OK", "", ""));
    world.deliver(0, CALLEE, &response(&to_callee, "481 Call/Transaction Does Not Exist", "", ""));
    let byes = [world.expect(CALLER, "BYE"), world.expect(CALLEE, "BYE")];
    world.deliver(0, CALLER, &response(&byes[0], "200 OK", "", ""));
    world.deliver(0, CALLEE, &response(&byes[1], "481 Call/Transaction Does Not Exist", "", ""));
    assert_eq!(world.records(), (0, 1));
    world.expect_nothing();
}

#[test]
fn a_call_that_nobody_has_any_longer_goes() {
    let mut world = world(1);
    answered(&mut world, 0);
    world.pass(Duration::from_secs(598));
    asked(&mut world);
    world.pass(Duration::from_secs(70));
    assert!(world.sent.iter().any(|(_, text)| text.starts_with("BYE ")));
    world.pass(Duration::from_secs(40));
    assert_eq!(world.records(), (0, 0));
}

#[test]
fn a_survivor_asks_for_a_dead_engine() {
    let mut world = world(2);
    world.pass(Duration::from_secs(1));
    answered(&mut world, 0);
    world.kill(0);
    world.pass(Duration::from_secs(598));
    asked(&mut world);
}
