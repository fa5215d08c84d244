//! An INVITE that somebody has recorded and sends again when its call is long over (SPEC E2): a call of its own, which shares
//! nothing with the old one that a peer or a charge could be mistaken by.

use std::sync::Arc;

use base::Duration;

use super::calls::answered;
use super::world::{CALLEE, CALLER, INVITE, World, field, of_caller, response};
use crate::application::{Application, Call, Invitation, Verdict};

/// It emits one effect for each call that ends.
#[derive(Debug)]
struct Charged;

impl Application for Charged {
    fn number(&self) -> u32 {
        78
    }

    fn invited(&self, _: &mut Call<'_>, _: &Invitation<'_>) -> Verdict {
        Verdict::Forward
    }

    fn ended(&self, call: &mut Call<'_>) {
        call.emit("charge", b"1");
    }
}

/// The callee's INVITE and the caller's To, of a call that was hung up.
fn whole_call(world: &mut World, at: usize) -> (String, String) {
    let (invite, to) = answered(world, at);
    world.deliver(at, CALLER, &of_caller("BYE", 8, "bye", &to));
    let bye = world.expect(CALLEE, "BYE");
    world.deliver(at, CALLEE, &response(&bye, "200 OK", "", ""));
    world.expect(CALLER, "SIP/2.0 200");
    (invite, to)
}

/// The value of a parameter.
fn parameter<'t>(value: &'t str, name: &str) -> &'t str {
    let (_, behind) = value.split_once(&format!(";{name}=")).expect("a parameter");
    behind.split(';').next().unwrap_or_default()
}

#[test]
fn an_invite_replayed_after_a_minute_is_a_call_of_its_own() {
    // At the same engine, and at another one that never saw the first call.
    for second in [0, 1] {
        let mut world = World::with(2, |settings| settings.application = Arc::new(Charged));
        world.pass(Duration::from_secs(1));
        let (old_invite, old_to) = whole_call(&mut world, 0);
        assert_eq!(world.records(), (0, 1), "a tombstone is left");
        world.pass(Duration::from_secs(60));
        assert_eq!(world.records(), (0, 0), "and is gone");
        let (invite, to) = whole_call(&mut world, second);
        assert_ne!(parameter(&to, "tag"), parameter(&old_to, "tag"), "the tag towards the caller");
        let tag = |invite: &str| parameter(field(invite, "From"), "tag").to_owned();
        assert_ne!(tag(&invite), tag(&old_invite), "the tag towards the callee");
        let branch = |invite: &str| parameter(field(invite, "Via"), "branch").to_owned();
        assert_ne!(branch(&invite), branch(&old_invite), "the branch");
        let keys: Vec<_> = world.effects().into_iter().map(|effect| effect.key).collect();
        assert!(keys.len() == 2 && keys[0] != keys[1], "the effects: {keys:?}");
        // The tag of the old call opens nothing in the new one.
        world.pass(Duration::from_secs(60));
        let (_, newest) = answered(&mut world, second);
        world.deliver(second, CALLER, &of_caller("BYE", 8, "late", &old_to));
        world.expect(CALLER, "SIP/2.0 481");
        world.deliver(second, CALLER, &of_caller("BYE", 9, "own", &newest));
        world.expect(CALLEE, "BYE");
    }
}

#[test]
fn an_invite_replayed_at_once_is_answered_and_calls_nobody() {
    for at in [0, 1] {
        let mut world = World::with(2, |settings| settings.application = Arc::new(Charged));
        world.pass(Duration::from_secs(1));
        whole_call(&mut world, 0);
        world.pass(Duration::from_secs(20));
        world.deliver(at, "10.6.6.6:5060", INVITE);
        let (_, said) = world.sent.pop_front().expect("an answer");
        assert!(said.starts_with("SIP/2.0 487"), "{said}");
        world.expect_nothing();
        assert_eq!((world.records(), world.effects().len()), ((0, 1), 1));
    }
}
