//! One node without replicas, as on one machine.

use super::server::Life;
use super::world::World;
use super::{KEY, create, del, key, peek, put, written};
use crate::links::{Bounds, Fault, Link, Role, Said};
use crate::{Answer, Command, Mark, Reply, Stamp, Unanswered};

fn world() -> World {
    let mut world = World::new(0, Bounds::default());
    world.settle();
    world
}

fn answered(token: u64, answer: Answer) -> Reply {
    Reply { token, answer: Ok(answer) }
}

fn failed(token: u64, why: Unanswered) -> Reply {
    Reply { token, answer: Err(why) }
}

const READER: Link = Link { node: 0, role: Role::Reader };
const FIRST: Link = Link { node: 0, role: Role::FirstWriter };
const SECOND: Link = Link { node: 0, role: Role::SecondWriter };

#[test]
fn commits_of_a_turn_leave_in_one_piece_and_reads_by_their_own_connection() {
    let mut world = world();
    world.ask(1, create(KEY, 1), true);
    world.ask(2, create(key(2), 1), true);
    world.ask(3, peek(key(3)), false);
    world.turn();
    assert_eq!(world.net.written, ["0 Reader other", "0 FirstWriter create", "0 FirstWriter create"]);
    world.ask(4, put(KEY, 1, 2), true);
    world.turn();
    assert_eq!(world.net.written[3..], ["0 SecondWriter put"]);
    world.ask(5, put(KEY, 2, 3), true);
    world.turn();
    assert_eq!(world.net.written.len(), 4, "both writers owe something");
    world.settle();
    let mut replies = world.replies();
    replies.sort_by_key(|reply| reply.token);
    let expected = [
        answered(1, Answer::Done),
        answered(2, Answer::Done),
        answered(3, Answer::Record(None)),
        answered(4, Answer::Done),
        answered(5, Answer::Done),
    ];
    assert_eq!(replies, expected);
    assert_eq!(world.links.status().waiting, 0);
}

#[test]
fn questions_wait_for_a_node_that_is_not_there_yet() {
    let mut world = World::new(0, Bounds::default());
    world.servers[0].life = Life::Dead;
    world.ask(1, create(KEY, 1), true);
    world.run(500);
    assert_eq!(world.replies(), []);
    world.servers[0].life = Life::Running;
    world.run(1_000);
    assert_eq!(world.replies(), [answered(1, Answer::Done)]);
    assert_eq!(world.links.status().unreachable, 0);
}

#[test]
fn a_write_whose_answer_was_lost_is_sent_again_and_finds_itself() {
    for (before, command) in [
        (vec![], create(KEY, 1)),
        (vec![create(KEY, 1)], put(KEY, 1, 2)),
        (vec![create(KEY, 1)], del(KEY, 1, 2)),
    ] {
        let mut world = world();
        before.into_iter().for_each(|command| world.ask(0, command, true));
        world.settle();
        world.replies();
        world.ask(1, command.clone(), true);
        world.turn();
        let link = if world.net.wires[&FIRST].asked.is_empty() { SECOND } else { FIRST };
        world.serve(link);
        world.lose(link);
        world.run(200);
        assert_eq!(world.replies(), [answered(1, Answer::Done)], "{command:?}");
        assert_eq!(world.links.status().counters.repeated, 1);
    }
}

#[test]
fn a_write_that_never_arrived_is_sent_again_and_takes_effect() {
    let mut world = world();
    world.ask(1, create(KEY, 1), true);
    world.turn();
    world.lose(FIRST);
    world.run(200);
    assert_eq!(world.replies(), [answered(1, Answer::Done)]);
    // The first copy comes after all, and changes nothing.
    let before = world.servers[0].log.len();
    while !world.net.late.is_empty() {
        world.serve_late();
    }
    assert_eq!(world.servers[0].log.len(), before);
}

#[test]
fn a_refusal_by_another_record_stays_a_refusal() {
    let mut world = world();
    world.ask(0, create(KEY, 1), true);
    world.settle();
    world.replies();
    // Equal stamps are no proof when the asker was told nothing about the first.
    world.ask(1, create(KEY, 1), true);
    world.settle();
    assert_eq!(world.replies(), [answered(1, Answer::Refused(Some(written(1, 0))))]);
    world.ask(2, put(KEY, 8, 9), true);
    world.turn();
    world.lose(SECOND);
    world.lose(FIRST);
    world.run(200);
    assert_eq!(world.replies(), [answered(2, Answer::Refused(Some(written(1, 0))))]);
}

#[test]
fn patience_ends_after_two_seconds_for_new_calls_and_reads_after_5_for_changes_after_32_and_for_ends_after_an_hour()
 {
    let mut world = world();
    world.servers[0].life = Life::Dead;
    world.net.wires.keys().copied().collect::<Vec<_>>().into_iter().for_each(|link| world.lose(link));
    world.ask(1, create(KEY, 1), true);
    world.ask(2, peek(KEY), false);
    world.ask(3, put(KEY, 1, 2), true);
    world.ask(4, del(KEY, 1, 2), true);
    world.ask(5, Command::Peek { key: KEY, cached: Some(Stamp::default()) }, false);
    world.run(1_900);
    assert_eq!(world.replies(), []);
    world.run(200);
    assert_eq!(world.replies(), [failed(5, Unanswered::OutOfReach)]);
    world.run(3_000);
    assert_eq!(world.replies(), [failed(1, Unanswered::OutOfReach), failed(2, Unanswered::OutOfReach)]);
    world.run(27_000);
    assert_eq!(world.replies(), [failed(3, Unanswered::OutOfReach)]);
    (0..3_565).for_each(|_| world.pass(1_000));
    assert_eq!(world.replies(), []);
    world.pass(3_000);
    assert_eq!(world.replies(), [failed(4, Unanswered::OutOfReach)]);
    let status = world.links.status();
    assert_eq!((status.waiting, status.waiting_bytes, status.nodes[0].waiting), (0, 0, 0));
}

#[test]
fn a_silent_node_is_given_up_and_what_it_owes_is_sent_again() {
    let mut world = world();
    world.servers[0].life = Life::Frozen;
    world.ask(1, create(KEY, 1), true);
    world.run(1_200);
    assert_eq!(world.replies(), []);
    world.servers[0].life = Life::Running;
    world.run(700);
    assert_eq!(world.replies(), [answered(1, Answer::Done)]);
}

#[test]
fn what_has_an_old_time_in_it_is_not_sent_again() {
    let mut world = world();
    let mark = Command::Mark(Mark { engine: 3, address: Box::from(&b"h:1"[..]), at: 5 });
    world.ask(1, mark, false);
    world.turn();
    world.lose(READER);
    assert_eq!(world.replies(), [failed(1, Unanswered::OutOfReach)]);
}

#[test]
fn too_many_questions_are_refused() {
    let mut world = World::new(0, Bounds { asks_max: 2, bytes_max: 1 << 20 });
    (0..3).for_each(|token| world.ask(token, peek(KEY), false));
    assert_eq!(world.replies(), [failed(2, Unanswered::Busy)]);
    let mut world = World::new(0, Bounds { asks_max: 100, bytes_max: 1_000 });
    (0..100).for_each(|token| world.ask(token, create(KEY, 1), false));
    assert!(world.replies().contains(&failed(99, Unanswered::Busy)));
    assert!(world.links.status().waiting_bytes <= 1_000);
}

#[test]
fn what_a_node_cannot_do_now_is_asked_anew_and_what_it_refuses_is_not() {
    for (fault, expected) in [
        (Fault::NotNow, Ok(Answer::Done)),
        (Fault::Elsewhere("".into()), Ok(Answer::Done)),
        (Fault::NoFunctions, Ok(Answer::Done)),
        (Fault::NoRoom, Ok(Answer::Full)),
        (Fault::Refused, Err(Unanswered::Failed)),
    ] {
        let mut world = world();
        world.ask(1, create(KEY, 1), true);
        world.turn();
        let _request = world.net.wires.get_mut(&FIRST).expect("a writer").asked.pop_front();
        world.links.said(world.now, FIRST, Said::Fault(fault.clone()));
        world.run(100);
        assert_eq!(world.replies(), [Reply { token: 1, answer: expected }], "{fault:?}");
        let is_made_anew = world.links.status().counters.lost > 0;
        assert_eq!(is_made_anew, fault == Fault::NoFunctions);
    }
}

#[test]
fn the_clock_is_that_of_the_node_and_goes_on_without_it() {
    let mut world = world();
    let expected = |world: &World| Some(1_790_000_000_000 + world.now.as_millis());
    assert_eq!(world.links.clock().now(world.now), expected(&world));
    world.servers[0].life = Life::Dead;
    world.run(3_000);
    assert_eq!(world.links.clock().now(world.now), expected(&world));
}

#[test]
fn a_node_that_rests_is_woken_for_by_its_deadlines_alone() {
    let mut world = world();
    let mut turns = 0;
    let until = world.now + base::Duration::from_secs(10);
    while world.now < until {
        let next = world.links.next_deadline();
        assert!(next > world.now, "a turn left something to do at once");
        world.now = next;
        world.settle();
        turns += 1;
    }
    assert!(turns <= 31, "{turns}: two looks and one question for the time each second");
    assert_eq!(world.links.primaries().collect::<Vec<_>>(), [(0, 0)]);
}
