//! CANCEL: where it goes, when, and who answers it.

use super::*;

#[test]
fn a_cancel_goes_to_the_server_that_has_the_invite_now() {
    let mut bench = Bench::invite();
    bench.response(100, Class::Invite, 180, A);
    bench.fail_over(1000, A, B);
    bench.response(1100, Class::Invite, 180, B);
    assert_eq!(bench.cancel(1200), Cancelled::Answer);
    assert_eq!(bench.due(1200), [send(B)]);
    assert_eq!(bench.due(1700), [send(B)]);
    assert_eq!(bench.response(1800, Class::Cancel, 200, B), Verdict::Drop);
    assert_eq!(bench.response(1900, Class::Invite, 487, B), Verdict::Pass);
    assert_eq!(bench.cancel(2000), Cancelled::Answer);
    bench.is_clean_at(40_000);
}

#[test]
fn a_cancel_waits_until_the_server_shows_life() {
    let mut bench = Bench::invite();
    bench.response(100, Class::Invite, 180, A);
    bench.fail_over(1000, A, B);
    assert_eq!(bench.cancel(1200), Cancelled::Answer);
    assert_eq!(bench.due(1200), []);
    assert_eq!(bench.response(1300, Class::Invite, 100, B), Verdict::Pass);
    assert_eq!(bench.due(1300), [send(B)]);
    assert_eq!(bench.response(1400, Class::Cancel, 200, B), Verdict::Drop);
    assert_eq!(bench.response(1400, Class::Invite, 487, B), Verdict::Pass);
    bench.is_clean_at(40_000);
}

#[test]
fn after_a_cancel_the_death_of_the_server_is_a_487_and_no_other_set_up() {
    let mut bench = Bench::invite();
    bench.response(100, Class::Invite, 180, A);
    bench.cancel(200);
    assert_eq!(bench.due(200), [send(A)]);
    bench.held.server_failed(at(300), &mut bench.alarms, A);
    assert_eq!(bench.due(300), [What::Answer { status: 487 }]);
    assert_eq!(bench.held.acknowledged(at(310), &mut bench.alarms, KEY), GoesTo::Answered(487));
    bench.is_clean_at(40_000);
}

#[test]
fn a_cancel_while_another_server_is_chosen_is_a_487() {
    let mut bench = Bench::invite();
    bench.response(100, Class::Invite, 180, A);
    bench.held.server_failed(at(300), &mut bench.alarms, A);
    assert_eq!(bench.cancel(300), Cancelled::Answer);
    assert_eq!(bench.due(300), [What::Answer { status: 487 }]);
}

#[test]
fn a_cancel_without_room_goes_through_and_its_answer_passes() {
    let mut bench = Bench::invite();
    let message = invite();
    for key in 1..10 {
        bench.held.keep(at(0), &mut bench.alarms, key, &kept(&message)).unwrap();
    }
    bench.response(100, Class::Invite, 180, A);
    assert_eq!(bench.cancel(200), Cancelled::Forward(A));
    assert_eq!(bench.response(300, Class::Cancel, 200, A), Verdict::Pass);
    bench.held.server_failed(at(400), &mut bench.alarms, A);
    let answered = bench.due(400).iter().filter(|what| matches!(what, What::Answer { status: 487 })).count();
    assert_eq!(answered, 1);
}

#[test]
fn a_cancel_of_an_unknown_invite_is_not_ours() {
    let mut bench = Bench::invite();
    bench.key = KEY + 1;
    assert_eq!(bench.cancel(0), Cancelled::NotHeld);
    assert_eq!(bench.held.len(), 1);
    assert_eq!(bench.response(0, Class::Cancel, 200, A), Verdict::Pass);
}

#[test]
fn the_cancel_of_an_invite_that_is_not_held_is_repeated_and_its_answer_passes_once() {
    let mut bench = Bench::with(|kept| kept.class = Class::Cancel);
    assert_eq!(bench.due(500), [send(A)]);
    bench.held.server_failed(at(550), &mut bench.alarms, A);
    assert_eq!(bench.response(600, Class::Cancel, 200, A), Verdict::Pass);
    assert_eq!(bench.response(610, Class::Cancel, 200, A), Verdict::Drop);
    bench.is_clean_at(5600);
}

/// Found by a seed: the INVITE was answered, the CANCEL was not, and its server stood still for a while.
#[test]
fn a_late_answer_to_a_cancel_that_we_answered_goes_nowhere() {
    let mut bench = Bench::invite();
    bench.response(100, Class::Invite, 180, A);
    bench.cancel(200);
    assert_eq!(bench.due(200), [send(A)]);
    assert_eq!(bench.response(300, Class::Invite, 200, A), Verdict::Pass);
    bench.held.server_failed(at(400), &mut bench.alarms, A);
    assert_eq!(bench.response(9000, Class::Cancel, 200, A), Verdict::Drop);
    bench.is_clean_at(33_000);
}
