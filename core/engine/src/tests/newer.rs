//! Engines of two builds on one store: what the older cannot read goes to the newer.

use base::Duration;
use sip::{Flow, Transport};

use super::calls::{answered, ringing};
use super::world::{CALLEE, CALLER, CONTACT, World, letters_of, of_caller, response};

/// What left, but for letters.
fn arrived(world: &mut World) {
    world.carry_letters();
    world.sent.retain(|(_, text)| !text.starts_with("SW"));
}

#[test]
fn what_an_older_build_cannot_read_goes_to_a_newer_one() {
    let mut world = World::new(3);
    world.pass(Duration::from_secs(1));
    let (_, to) = answered(&mut world, 2);
    world.old = Some(0);
    let handed = |world: &mut World, branch| {
        world.deliver(0, CALLER, &of_caller("INFO", 8, branch, &to));
        arrived(world);
        world.sent.pop_front().expect("the message").1
    };
    assert!(handed(&mut world, "owner").starts_with("INFO sip:bob@10.0.0.9:5060"));
    // The owner is dead, and the second is the one that was started last.
    world.kill(2);
    assert!(handed(&mut world, "last").starts_with("INFO sip:bob@10.0.0.9:5060"));
    world.kill(1);
    world.deliver(0, CALLER, &of_caller("INFO", 9, "alone", &to));
    world.expect_nothing();
    let remote = CALLER.parse().expect("an address");
    let stream = Flow { listener: 0, transport: Transport::Tcp, remote, connection: None };
    world.deliver_on(0, stream, &of_caller("INFO", 9, "stream", &to));
    world.expect(CALLER, "SIP/2.0 503");
    world.expect_nothing();
    assert_eq!(world.records(), (1, 0), "it changes nothing");
}

/// A call of the third engine rings; that one dies, and of the others this one is older.
fn owner_dies(old: usize) -> (World, usize) {
    let mut world = World::new(3);
    world.pass(Duration::from_secs(1));
    ringing(&mut world, 2);
    world.old = Some(old);
    (world, 1 - old)
}

#[test]
fn a_ringing_call_of_a_dead_engine_is_taken_over_by_one_that_can_read_it() {
    for old in [0, 1] {
        let (mut world, newer) = owner_dies(old);
        world.kill(2);
        arrived(&mut world);
        let invite = world.expect(CALLEE, "INVITE");
        world.expect_nothing();
        assert_eq!((world.taken_over(old), world.taken_over(newer)), (0, 1), "{old}");
        world.deliver(newer, CALLEE, &response(&invite, "200 OK", "bob", CONTACT));
        world.expect(CALLER, "SIP/2.0 200");
    }
}

#[test]
fn the_older_engine_may_be_the_only_one_that_knows_of_the_death() {
    let mut by_older = 0;
    for old in [0, 1] {
        let (mut world, newer) = owner_dies(old);
        world.engines[2] = None;
        world.tell(old, 3);
        let asks = world.letters.len();
        arrived(&mut world);
        by_older += asks;
        assert_eq!(world.taken_over(newer), asks as u64, "{old}");
    }
    assert_eq!(by_older, 1, "one of the two has the partition");
}

#[test]
fn a_record_that_is_due_at_an_older_engine_is_looked_at_by_a_newer_one() {
    for old in [0, 1] {
        let (mut world, newer) = owner_dies(old);
        world.engines[2] = None;
        // The owner's death is mourned while no engine of the newer build is there.
        world.still[newer] = true;
        world.pass(Duration::from_secs(20));
        world.still[newer] = false;
        for _ in 0..200 {
            world.pass(Duration::from_millis(100));
            arrived(&mut world);
        }
        assert_eq!(world.taken_over(newer), 1, "{old}");
    }
}

#[test]
fn a_forged_hint_costs_no_look() {
    let mut world = World::new(2);
    world.pass(Duration::from_secs(1));
    let asked = world.asked;
    world.deliver_from(0, &letters_of(2), b"SWH1 and so on");
    let malformed = world.engines[0].as_ref().map(|engine| engine.counters().malformed.get());
    assert_eq!((malformed, world.asked), (Some(1), asked));
    world.expect_nothing();
}
