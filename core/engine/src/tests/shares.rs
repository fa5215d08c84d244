//! Calls of one source that are not answered yet.

use super::calls::answered;
use super::world::{CALLEE, CALLER, CONTACT, INVITE, World, field, of_caller, response};

fn world(most: usize, lb: Option<&str>) -> World {
    World::with(1, |settings| {
        settings.bounds.ringing_per_source = most;
        settings.route = lb.map(|lb| format!("<sip:{lb};lr>").into_bytes().into());
    })
}

/// The INVITE of another call.
pub(super) fn invite(number: u32) -> String {
    INVITE
        .replace("z9hG4bKinvite", &format!("z9hG4bKinvite{number}"))
        .replace("call-1@a.example", &format!("call-{number}@a.example"))
        .replace("tag=alice", &format!("tag=alice{number}"))
}

#[track_caller]
pub(super) fn takes(world: &mut World, from: &str, invite: &str) -> String {
    world.deliver(0, from, invite);
    let (_, forwarded) = world.sent.pop_front().expect("the INVITE");
    assert!(forwarded.starts_with("INVITE "), "{forwarded}");
    world.expect(from, "SIP/2.0 100");
    world.expect_nothing();
    forwarded
}

#[track_caller]
fn refuses(world: &mut World, from: &str, invite: &str) {
    let records = world.records();
    world.deliver(0, from, invite);
    let refusal = world.expect(from, "SIP/2.0 503");
    assert_eq!(field(&refusal, "Retry-After"), "2");
    world.expect_nothing();
    assert_eq!(world.records(), records, "nothing is written");
}

#[test]
fn one_source_has_its_share_and_leaves_room_for_others() {
    let mut world = world(2, None);
    let first = takes(&mut world, CALLER, INVITE);
    takes(&mut world, CALLER, &invite(2));
    refuses(&mut world, CALLER, &invite(3));
    // A copy of a call that was taken is none more, and another address has a share of its own.
    world.deliver(0, CALLER, INVITE);
    world.expect(CALLER, "SIP/2.0 100");
    takes(&mut world, "10.0.0.2:5060", &invite(4));
    // A call that is answered leaves its place.
    world.deliver(0, CALLEE, &response(&first, "200 OK", "bob", CONTACT));
    world.expect(CALLER, "SIP/2.0 200");
    takes(&mut world, CALLER, &invite(5));
    refuses(&mut world, CALLER, &invite(6));
    assert_eq!(world.engines[0].as_ref().map(|engine| engine.counters().refused_share.get()), Some(2));
}

#[test]
fn a_call_that_fails_leaves_its_place_when_its_failure_is_acknowledged() {
    let mut world = world(1, None);
    let first = takes(&mut world, CALLER, INVITE);
    world.deliver(0, CALLEE, &response(&first, "486 Busy Here", "bob", ""));
    world.expect(CALLEE, "ACK");
    let busy = world.expect(CALLER, "SIP/2.0 486");
    refuses(&mut world, CALLER, &invite(2));
    let ack = of_caller("ACK", 7, "invite", field(&busy, "To"));
    world.deliver(0, CALLER, &ack);
    takes(&mut world, CALLER, &invite(3));
}

#[test]
fn calls_that_are_up_count_nothing() {
    let mut world = world(1, None);
    answered(&mut world, 0);
    takes(&mut world, CALLER, &invite(2));
}

#[test]
fn behind_a_load_manager_the_source_is_its_client() {
    let mut world = world(1, Some("10.0.0.7:5060"));
    let through = |number: u32, client: &str| {
        let via = format!(
            "Via: SIP/2.0/UDP 10.0.0.7:5060;branch=z9hG4bKlb{number}\r\nVia: SIP/2.0/UDP {client};branch"
        );
        invite(number).replacen("Via: SIP/2.0/UDP 10.0.0.1:5060;branch", &via, 1)
    };
    let lb = "10.0.0.7:5060";
    takes(&mut world, lb, &through(1, "phone.example:5060;received=192.0.2.1"));
    refuses(&mut world, lb, &through(2, "192.0.2.1:5062"));
    takes(&mut world, lb, &through(3, "192.0.2.1:5060;received=192.0.2.2"));
    takes(&mut world, lb, &through(4, "[2001:db8::1]:5060"));
    refuses(&mut world, lb, &through(5, "[2001:db8::2]:5060"));
    takes(&mut world, lb, &through(6, "[2001:db8:0:1::1]:5060"));
    // Only the load manager is believed.
    takes(&mut world, "10.0.0.8:5060", &through(7, "192.0.2.3:5060"));
    refuses(&mut world, "10.0.0.8:5060", &through(8, "192.0.2.4:5060"));
}
