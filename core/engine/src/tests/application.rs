//! What applications do with calls, on engines that live and die (SPEC E3, E7).

use std::sync::Arc;

use base::Duration;
use sip::Reject;

use super::calls::answered;
use super::world::{CALLEE, CALLER, INVITE, World, field, of_caller, response};
use crate::application::{Application, Call, Forward, Invitation, Verdict};

/// It counts the minutes of a call in the call's data, and reports them at the end.
#[derive(Debug)]
struct Minutes;

impl Application for Minutes {
    fn number(&self) -> u32 {
        77
    }

    fn invited(&self, call: &mut Call<'_>, invite: &Invitation<'_>) -> Verdict {
        if invite.from().starts_with(b"\"Mallory\"") {
            return Verdict::Refuse(Reject::with_status(403));
        }
        call.set_data(b"0").unwrap();
        Verdict::Call(vec![format!("sip:{CALLEE}").into_bytes().into()])
    }

    fn answered(&self, call: &mut Call<'_>) {
        call.start_timer(1, Duration::from_secs(60), b"minute").unwrap();
    }

    fn timer(&self, call: &mut Call<'_>, id: u32, info: &[u8]) {
        assert_eq!((id, info), (1, &b"minute"[..]));
        let minutes = String::from_utf8_lossy(call.data()).parse::<u32>().unwrap() + 1;
        call.set_data(minutes.to_string().as_bytes()).unwrap();
        call.start_timer(1, Duration::from_secs(60), b"minute").unwrap();
    }

    fn ended(&self, call: &mut Call<'_>) {
        let minutes = call.data().to_vec();
        call.emit("minutes", &minutes);
    }
}

fn world(engines: u32) -> World {
    World::with(engines, |settings| settings.application = Arc::new(Minutes))
}

fn hang_up(world: &mut World, at: usize, to: &str) {
    world.deliver(at, CALLER, &of_caller("BYE", 8, "bye", to));
    let bye = world.expect(CALLEE, "BYE");
    world.deliver(at, CALLEE, &response(&bye, "200 OK", "", ""));
    world.expect(CALLER, "SIP/2.0 200");
}

#[test]
fn timers_run_out_and_what_is_emitted_comes_once() {
    let mut world = world(1);
    let (_, to) = answered(&mut world, 0);
    world.pass(Duration::from_secs(150));
    hang_up(&mut world, 0, &to);
    let effects = world.effects();
    assert_eq!(effects.len(), 1);
    assert_eq!(&*effects[0].body, b"2");
    assert!(effects[0].key.ends_with(b"-minutes"));
}

#[test]
fn the_timers_of_a_dead_engine_run_out_at_another_a_little_later() {
    let mut world = world(2);
    world.pass(Duration::from_secs(1));
    let (_, to) = answered(&mut world, 0);
    world.pass(Duration::from_secs(70));
    world.kill(0);
    // The second minute of the call ends 50 s later.
    world.pass(Duration::from_millis(56_000));
    hang_up(&mut world, 1, &to);
    assert_eq!(&*world.effects()[0].body, b"2");
}

#[test]
fn a_call_that_was_moved_counts_each_minute_once() {
    let mut world = world(2);
    world.pass(Duration::from_secs(1));
    let (_, to) = answered(&mut world, 0);
    for second in 0..180 {
        world.pass(Duration::from_secs(1));
        // Both engines see messages of the call.
        let at = second % 2;
        world.deliver(at, CALLER, &of_caller("INFO", 10 + second as u32, &format!("i{second}"), &to));
        let info = world.expect(CALLEE, "INFO");
        world.deliver(at, CALLEE, &response(&info, "200 OK", "", ""));
        world.expect(CALLER, "SIP/2.0 200");
    }
    world.pass(Duration::from_secs(30));
    hang_up(&mut world, 1, &to.clone());
    assert_eq!(&*world.effects()[0].body, b"3");
}

#[test]
fn an_application_refuses_a_call() {
    let mut world = world(1);
    world.deliver(0, CALLER, &INVITE.replace("\"Alice\"", "\"Mallory\""));
    world.expect(CALLER, "SIP/2.0 403");
    world.expect_nothing();
    assert_eq!(world.records(), (0, 0));
}

fn limited(engines: u32) -> World {
    World::with(engines, |settings| {
        settings.application = Arc::new(Forward { talk_max: Some(Duration::from_secs(10)) });
    })
}

#[test]
fn a_call_that_has_lasted_long_enough_is_ended_on_both_sides() {
    let mut world = limited(1);
    let (_, to) = answered(&mut world, 0);
    world.pass(Duration::from_millis(10_020));
    let to_caller = world.expect(CALLER, "BYE sip:alice@10.0.0.1:5060");
    let to_callee = world.expect(CALLEE, "BYE sip:bob@10.0.0.9:5060");
    assert_eq!(field(&to_caller, "From"), to);
    assert_eq!(field(&to_caller, "To"), "\"Alice\" <sip:alice@a.example>;tag=alice");
    assert_eq!(field(&to_callee, "CSeq"), "65543 BYE");
    world.pass(Duration::from_millis(510));
    world.expect(CALLER, "BYE");
    world.expect(CALLEE, "BYE");
    // The caller hangs up at the same moment.
    world.deliver(0, CALLER, &of_caller("BYE", 8, "bye", &to));
    world.expect(CALLER, "SIP/2.0 200");
    world.deliver(0, CALLER, &response(&to_caller, "481 Call/Transaction Does Not Exist", "", ""));
    assert_eq!(world.records(), (1, 0));
    world.deliver(0, CALLEE, &response(&to_callee, "200 OK", "", ""));
    assert_eq!(world.records(), (0, 1));
    world.pass(Duration::from_secs(40));
    world.expect_nothing();
    assert_eq!(world.records(), (0, 0));
}

#[test]
fn a_hanging_up_whose_engine_died_goes_on_with_the_same_bytes() {
    let mut world = limited(2);
    world.pass(Duration::from_secs(1));
    answered(&mut world, 0);
    world.pass(Duration::from_millis(10_020));
    let first = [world.expect(CALLER, "BYE"), world.expect(CALLEE, "BYE")];
    world.kill(0);
    let again = [world.sent.pop_front().expect("a BYE").1, world.sent.pop_front().expect("a BYE").1];
    for bye in &first {
        assert!(again.iter().any(|other| other.replace(";e=2", ";e=1") == *bye), "{bye}\n{again:#?}");
    }
}

#[test]
fn a_hanging_up_whose_engine_died_goes_on_where_only_the_caller_has_not_answered() {
    let mut world = limited(2);
    world.pass(Duration::from_secs(1));
    answered(&mut world, 0);
    world.pass(Duration::from_millis(10_020));
    let (to_caller, to_callee) = (world.expect(CALLER, "BYE"), world.expect(CALLEE, "BYE"));
    world.deliver(0, CALLEE, &response(&to_callee, "200 OK", "", ""));
    world.kill(0);
    let again = world.expect(CALLER, "BYE");
    assert_eq!(again.replace(";e=2", ";e=1"), to_caller);
    world.deliver(1, CALLER, &response(&again, "200 OK", "", ""));
    assert_eq!(world.records(), (0, 1));
}

#[test]
fn a_timer_that_waits_for_the_store_is_not_looked_at_without_pause() {
    let mut world = world(1);
    answered(&mut world, 0);
    world.holds = true;
    world.pass(Duration::from_millis(60_020));
    let is_of_call = |(_, ask): &(usize, state::Ask)| {
        matches!(ask.command, state::Command::Put(_) | state::Command::Peek { .. })
    };
    let asked = |world: &World| world.asks.iter().filter(|ask| is_of_call(ask)).count();
    assert_eq!(asked(&world), 1, "a write");
    let deadline = |world: &World| world.engines[0].as_ref().and_then(turn::Core::next_deadline);
    world.pass(Duration::from_millis(10));
    assert!(deadline(&world) > Some(world.now), "the write is in work");
    // The store takes nothing: the timer comes again a little later.
    let at = world.asks.iter().position(is_of_call).expect("a write");
    let (_, put) = world.asks.remove(at).expect("a write");
    world.reply(0, state::Reply { token: put.token, answer: Err(state::Unanswered::Busy) });
    world.pass(Duration::from_millis(10));
    assert!(deadline(&world) > Some(world.now));
    assert_eq!(asked(&world), 0);
    world.pass(Duration::from_millis(200));
    assert_eq!(asked(&world), 1, "the record is read anew");
}
