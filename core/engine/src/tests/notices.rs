//! Load managers tell of deaths, rightly or not.

use base::Duration;
use heartbeat::death::Death;

use super::calls;
use super::world::{CALLEE, World, letters_of};

/// Longer than an engine waits for the answers to its questions.
const SOON: Duration = Duration::from_millis(150);

fn notice(gone: u32) -> Vec<u8> {
    let sip = letters_of(gone).parse().expect("an address");
    Death { state_tier: 1, server_id: gone, sip }.encode(1, 1, None).to_vec()
}

/// Two engines that know each other, and a call that rings at the first.
fn ringing(change: impl Fn(&mut crate::Settings)) -> World {
    let mut world = World::with(2, change);
    world.pass(Duration::from_secs(1));
    calls::ringing(&mut world, 0);
    world
}

fn told(world: &mut World, at: usize, gone: u32) {
    world.deliver_from(at, &letters_of(at as u32 + 1), &notice(gone));
}

#[test]
fn a_death_that_a_notice_tells_of_is_believed_when_nobody_answers() {
    let mut world = ringing(|_| {});
    world.engines[0] = None;
    told(&mut world, 1, 1);
    world.pass(SOON);
    assert_eq!(world.carry_letters(), 3, "it is asked three times");
    world.sent.retain(|(_, text)| !text.starts_with("SWP1"));
    world.expect(CALLEE, "INVITE");
    assert_eq!(world.taken_over(1), 1);
}

#[test]
fn an_engine_that_lives_keeps_its_calls_whatever_a_notice_says() {
    let mut world = ringing(|_| {});
    told(&mut world, 1, 1);
    told(&mut world, 1, 1);
    assert_eq!(world.carry_letters(), 2, "a question and its answer");
    world.pass(SOON);
    assert_eq!((world.carry_letters(), world.taken_over(1)), (0, 0));
}

#[test]
fn who_starts_anew_at_the_address_of_a_dead_engine_answers_with_its_own_number() {
    let mut world = ringing(|settings| settings.letters = letters_of(1).into_bytes().into());
    world.engines[0] = None;
    world.pass(SOON);
    // Engine 2 has the address of engine 1 now, and needs to ask nobody.
    told(&mut world, 1, 1);
    assert_eq!((world.carry_letters(), world.taken_over(1)), (0, 1));
}

#[test]
fn notices_of_strangers_lead_to_nothing() {
    let mut world = ringing(|_| {});
    told(&mut world, 1, 77);
    world.deliver_from(1, "192.0.2.66:5060", &notice(1)[..59]);
    world.deliver_from(1, "192.0.2.66:5060", b"SWP1 and so on");
    assert_eq!(world.carry_letters(), 0);
    world.expect_nothing();
}
