//! Engines that die, and others that go on (SPEC E5).

use base::Duration;
use state::{Command, Reply, Unanswered};

use super::calls::{answered, ringing};
use super::world::{CALLEE, CALLER, CONTACT, INVITE, World, field, of_callee, of_caller, response};

/// The message without the parameter that names the engine.
pub(super) fn anonymous(text: &str) -> String {
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
fn what_a_dead_engine_wrote_last_is_written_anew_before_anything_leaves() {
    let mut world = World::new(2);
    world.pass(Duration::from_secs(1));
    let invite = ringing(&mut world, 0);
    world.holds = true;
    let ok = response(&invite, "200 OK", "bob", CONTACT);
    world.deliver(0, CALLEE, &ok);
    let (_, put) = world.asks.pop_front().expect("a command");
    world.answer_of(put);
    world.kill(0);
    world.asks.clear();
    // The other engine reads what no replica may have.
    world.deliver(1, CALLEE, &ok);
    let mut is_put = false;
    while let Some((at, ask)) = world.asks.pop_front().filter(|_| !is_put) {
        is_put = matches!(ask.command, Command::Put(_));
        world.expect_nothing();
        let reply = world.answer_of(ask);
        world.reply(at, reply);
    }
    assert!(is_put);
    world.expect(CALLER, "SIP/2.0 200");
    world.expect_nothing();
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

#[test]
fn a_call_that_another_engine_has_taken_over_meanwhile_is_left_to_it() {
    let mut world = World::new(3);
    world.pass(Duration::from_secs(1));
    ringing(&mut world, 0);
    // The third engine looks for the calls of both others; of the second it soon sees that it lives.
    world.engines[0] = None;
    world.tell(2, 2);
    world.holds = true;
    world.tell(2, 1);
    let asks = std::mem::take(&mut world.asks);
    let found: Vec<Reply> = asks.into_iter().map(|(_, ask)| world.answer_of(ask)).collect();
    world.holds = false;
    world.pass(Duration::from_millis(1_100));
    world.tell(1, 1);
    world.deliver(1, CALLER, INVITE);
    world.expect(CALLEE, "INVITE");
    world.expect(CALLER, "SIP/2.0 100");
    // What it looked for comes late.
    found.into_iter().for_each(|reply| world.reply(2, reply));
    assert_eq!((world.taken_over(1), world.taken_over(2)), (1, 0));
    world.expect_nothing();
}

#[test]
fn timers_of_an_engine_that_has_lost_its_call_end_it_no_longer() {
    let mut world = World::new(2);
    world.pass(Duration::from_secs(1));
    world.deliver(0, CALLER, INVITE);
    world.expect(CALLEE, "INVITE");
    world.expect(CALLER, "SIP/2.0 100");
    // The second engine takes the call over, soon knows that the first one lives, and alone hears that the callee rings.
    world.tell(1, 1);
    let repeated = world.expect(CALLEE, "INVITE");
    world.pass(Duration::from_millis(1_200));
    world.deliver(1, CALLEE, &response(&repeated, "180 Ringing", "bob", CONTACT));
    world.pass(Duration::from_secs(40));
    world.sent.clear();
    world.deliver(1, CALLEE, &response(&repeated, "200 OK", "bob", CONTACT));
    world.expect(CALLER, "SIP/2.0 200");
}

#[test]
fn a_call_whose_create_got_no_answer_rings_when_its_copy_comes() {
    // The engine that wrote it, and another one, which hands the copy to it.
    for copy_at in [0, 1] {
        let mut world = World::new(2);
        world.pass(Duration::from_secs(1));
        world.holds = true;
        world.deliver(0, CALLER, INVITE);
        let (at, create) = world.asks.pop_front().expect("a command");
        // The primary dies: its replica has the record, and the engine waits in vain.
        let done = world.answer_of(create);
        world.holds = false;
        world.reply(at, Reply { answer: Err(Unanswered::OutOfReach), ..done });
        world.expect(CALLER, "SIP/2.0 503");
        world.pass(Duration::from_millis(500));
        world.deliver(copy_at, CALLER, INVITE);
        world.sent.retain(|(_, text)| text.starts_with("INVITE"));
        world.carry_letters();
        let invite = world.expect(CALLEE, "INVITE");
        world.deliver(0, CALLEE, &response(&invite, "200 OK", "bob", CONTACT));
        world.sent.retain(|(_, text)| !text.starts_with("SIP/2.0 100"));
        let ok = world.expect(CALLER, "SIP/2.0 200");
        world.deliver(0, CALLER, &of_caller("ACK", 7, "ack", field(&ok, "To")));
        world.expect(CALLEE, "ACK");
        world.expect_nothing();
    }
}

#[test]
fn the_calls_of_a_dead_engine_are_looked_for_where_an_engine_that_starts_has_changed_the_shares() {
    let mut world = World::new(4);
    let late = world.engines[3].take();
    world.pass(Duration::from_secs(1));
    world.engines[0] = None;
    world.tell(1, 1);
    assert_eq!(world.looks, 128, "every second partition");
    world.engines[3] = late;
    world.pass(Duration::from_millis(600));
    assert_eq!(world.looks, 128 + 43, "every third one, unless it has looked there");
}

#[test]
fn the_end_of_a_call_does_not_wait_for_the_store() {
    let mut world = World::new(1);
    let (_, to) = answered(&mut world, 0);
    world.deliver(0, CALLER, &of_caller("BYE", 8, "bye", &to));
    let bye = world.expect(CALLEE, "BYE");
    world.away = true;
    world.deliver(0, CALLEE, &response(&bye, "200 OK", "", ""));
    world.expect(CALLER, "SIP/2.0 200");
    world.deliver(0, CALLER, &INVITE.replace("call-1", "call-2"));
    let refused = world.expect(CALLER, "SIP/2.0 503");
    assert_eq!(field(&refused, "Retry-After"), "2");
    // A second later nobody asks a store that does not answer.
    world.pass(Duration::from_millis(1600));
    world.holds = true;
    world.deliver(0, CALLER, &INVITE.replace("call-1", "call-3"));
    world.expect(CALLER, "SIP/2.0 503");
    assert!(world.asks.is_empty(), "{:?}", world.asks);
    world.holds = false;
    assert_eq!(world.records(), (1, 0));
    world.pass(Duration::from_millis(1500));
    world.away = false;
    world.pass(Duration::from_millis(1500));
    assert_eq!(world.records(), (0, 1));
    world.expect_nothing();
}

#[test]
fn without_the_store_requests_of_calls_up_still_pass() {
    let mut world = World::new(1);
    let (_, to) = answered(&mut world, 0);
    world.away = true;
    world.deliver(0, CALLER, &of_caller("INFO", 8, "info", &to));
    let info = world.expect(CALLEE, "INFO");
    world.deliver(0, CALLEE, &response(&info, "200 OK", "", ""));
    world.expect(CALLER, "SIP/2.0 200");
}

#[test]
fn a_cancel_that_overtakes_its_invite_waits_for_it() {
    let mut world = World::new(1);
    let cancel = INVITE.replace("INVITE sip", "CANCEL sip").replace("7 INVITE", "7 CANCEL");
    world.deliver(0, CALLER, &cancel);
    world.expect_nothing();
    world.deliver(0, CALLER, INVITE);
    let invite = world.expect(CALLEE, "INVITE");
    world.expect(CALLER, "SIP/2.0 100");
    world.pass(Duration::from_millis(510));
    world.expect(CALLEE, "INVITE");
    world.expect(CALLER, "SIP/2.0 200");
    world.deliver(0, CALLEE, &response(&invite, "180 Ringing", "bob", CONTACT));
    world.expect(CALLEE, "CANCEL");
    world.deliver(0, CALLER, &cancel.replace("branch=z9hG4bKinvite", "branch=z9hG4bKother"));
    world.pass(Duration::from_millis(520));
    let refused = world.sent.iter().filter(|(_, text)| text.starts_with("SIP/2.0 481"));
    assert_eq!(refused.count(), 1, "a CANCEL of no call");
}

#[test]
fn an_answer_that_comes_to_another_engine_reaches_the_one_that_asked() {
    let mut world = World::new(2);
    world.pass(Duration::from_secs(1));
    let (_, to) = answered(&mut world, 0);
    world.deliver(0, CALLER, &of_caller("BYE", 8, "bye", &to));
    let bye = world.expect(CALLEE, "BYE");
    world.deliver(1, CALLEE, &response(&bye, "200 OK", "", ""));
    let (letter_to, _) = world.sent.pop_front().expect("a letter");
    assert_eq!(letter_to.to_string(), "10.1.0.1:5099");
    world.expect_nothing();
}

#[test]
fn what_was_handed_over_is_not_handed_round() {
    let mut world = World::new(2);
    world.pass(Duration::from_secs(1));
    world.deliver(0, CALLER, INVITE);
    let invite = world.expect(CALLEE, "INVITE");
    world.expect(CALLER, "SIP/2.0 100");
    // The second engine takes the call over from one that lives, and soon knows that it lives.
    world.tell(1, 1);
    world.expect(CALLEE, "INVITE");
    world.pass(Duration::from_millis(1_200));
    world.sent.clear();
    // What it tells the first one is lost.
    world.letters.clear();
    world.deliver(1, CALLEE, &response(&invite, "486 Busy Here", "bob", ""));
    assert!((1..=2).contains(&world.carry_letters()));
    world.sent.retain(|(to, _)| to.to_string() == CALLER);
    world.expect(CALLER, "SIP/2.0 486");
    world.expect_nothing();
}

#[test]
fn an_ack_passes_by_the_record_that_another_engine_wrote() {
    let mut world = World::new(2);
    world.pass(Duration::from_secs(1));
    let invite = ringing(&mut world, 0);
    // The other engine believes the first one dead, and so gets the answer and writes it.
    world.tell(1, 1);
    world.sent.clear();
    let named = invite.replace(";e=1;", ";e=2;");
    world.deliver(1, CALLEE, &response(&named, "200 OK", "bob", CONTACT));
    let ok = world.expect(CALLER, "SIP/2.0 200");
    world.deliver(0, CALLER, &of_caller("ACK", 7, "ack", field(&ok, "To")));
    let ack = world.expect(CALLEE, "ACK sip:bob@10.0.0.9:5060");
    assert!(field(&ack, "To").ends_with(";tag=bob"), "{ack}");
}

#[test]
fn a_failure_is_acknowledged_when_the_call_is_gone() {
    let mut world = World::new(2);
    world.deliver(0, CALLER, INVITE);
    let invite = world.expect(CALLEE, "INVITE");
    world.expect(CALLER, "SIP/2.0 100");
    let busy = response(&invite, "486 Busy Here", "bob", "");
    world.deliver(0, CALLEE, &busy);
    let first = world.expect(CALLEE, "ACK");
    let said = world.expect(CALLER, "SIP/2.0 486");
    let ack = of_caller("ACK", 7, "invite", field(&said, "To"));
    let ack = ack.replace("sip:10.0.0.5:5060", "sip:bob@farm.example");
    world.deliver(0, CALLER, &ack);
    assert_eq!(world.records(), (0, 1));
    world.deliver(0, CALLEE, &busy);
    assert_eq!(world.expect(CALLEE, "ACK"), first, "its ACK was lost");
    world.expect_nothing();
}

#[test]
fn the_connection_of_a_dead_engine_is_never_taken_for_one_of_ours() {
    let mut world = World::new(2);
    world.pass(Duration::from_secs(1));
    let id = sip::ConnectionId { worker: 0, slot: 3, generation: 1 };
    let flow = sip::Flow {
        listener: 0,
        transport: sip::Transport::Tcp,
        remote: "10.0.0.1:40000".parse().expect("an address"),
        connection: Some(id),
    };
    world.deliver_on(0, flow, INVITE);
    let invite = world.expect(CALLEE, "INVITE");
    assert!(matches!(world.targets.last(), Some(sip::Target::Connection { id: own, .. }) if *own == id));
    world.sent.clear();
    world.kill(0);
    world.deliver(1, CALLEE, &response(&invite, "200 OK", "bob", CONTACT));
    let answered = world.sent.iter().any(|(_, text)| text.starts_with("SIP/2.0 200"));
    let connections = world.targets.iter().rev().filter_map(|target| match target {
        sip::Target::Connection { id, .. } => Some(*id),
        _ => None,
    });
    let last = connections.take(1).next();
    assert!(answered && last.is_some_and(|last| last != id), "{last:?}");
}

#[test]
fn a_message_that_was_handed_on_too_often_is_handled_here_though_the_owner_lives() {
    let mut world = World::new(2);
    world.pass(Duration::from_secs(1));
    world.deliver(0, CALLER, INVITE);
    let invite = world.expect(CALLEE, "INVITE");
    world.expect(CALLER, "SIP/2.0 100");
    let flow = sip::Flow {
        listener: 0,
        transport: sip::Transport::Udp,
        remote: CALLEE.parse().expect("an address"),
        connection: None,
    };
    let ringing = response(&invite, "180 Ringing", "bob", CONTACT);
    let secret = crate::FarmSecret::new([7; 32]);
    let letter = crate::letter::seal(&secret, crate::letter::HOPS_MAX, &flow, ringing.as_bytes());
    world.deliver_bytes(1, flow, &letter);
    world.expect(CALLEE, "INVITE");
    world.expect(CALLER, "SIP/2.0 180");
    world.expect_nothing();
    // The engine that had it until now is told, and goes on with it no longer.
    assert_eq!(world.carry_letters(), 1);
    world.deliver(0, CALLEE, &ringing);
    let (to, _) = world.sent.pop_front().expect("a letter");
    assert_eq!(to.to_string(), "10.1.0.2:5099", "the new owner waits for it");
    world.expect_nothing();
}

#[test]
fn the_calls_of_a_dead_engine_are_not_left_to_one_that_dies_before_it_has_them() {
    let mut world = World::new(3);
    world.pass(Duration::from_secs(1));
    for call in 0..16 {
        world.deliver(0, CALLER, &INVITE.replace("call-1", &format!("call-{call}")));
        world.expect(CALLEE, "INVITE");
        world.expect(CALLER, "SIP/2.0 100");
    }
    // Nobody is told. When the third engine misses the first one, it still takes the second for alive.
    world.engines[0] = None;
    world.pass(Duration::from_millis(800));
    world.engines[1] = None;
    world.pass(Duration::from_millis(3500));
    let mut repeated: Vec<String> =
        world.sent.iter().map(|(_, text)| field(text, "Call-ID").to_owned()).collect();
    repeated.sort();
    repeated.dedup();
    assert_eq!(repeated.len(), 16);
}

#[test]
fn who_takes_a_cancelled_call_over_says_the_same_reason() {
    let mut world = World::new(2);
    world.pass(Duration::from_secs(1));
    world.deliver(0, CALLER, INVITE);
    let invite = world.expect(CALLEE, "INVITE");
    world.expect(CALLER, "SIP/2.0 100");
    let ringing = response(&invite, "180 Ringing", "bob", CONTACT);
    world.deliver(0, CALLEE, &ringing);
    world.expect(CALLER, "SIP/2.0 180");
    let cancel = INVITE.replace("INVITE", "CANCEL").replace("Subject: lunch", "Reason: SIP;cause=600");
    world.deliver(0, CALLER, &cancel);
    world.expect(CALLER, "SIP/2.0 200");
    let first = world.expect(CALLEE, "CANCEL");
    assert_eq!(field(&first, "Reason"), "SIP;cause=600");
    world.kill(0);
    world.expect(CALLEE, "INVITE");
    world.deliver(1, CALLEE, &ringing);
    assert_eq!(anonymous(&world.expect(CALLEE, "CANCEL")), anonymous(&first));
}
