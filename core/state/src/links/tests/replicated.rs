//! A primary with replicas: when a write counts as kept.

use super::server::Life;
use super::world::World;
use super::{KEY, create, put};
use crate::links::{Bounds, Link, Role};
use crate::{Answer, Reply};

fn world(replicas: usize) -> World {
    let mut world = World::new(replicas, Bounds::default());
    world.settle();
    world
}

fn done(token: u64) -> Reply {
    Reply { token, answer: Ok(Answer::Done) }
}

fn views(world: &World) -> Vec<Option<u32>> {
    world.links.status().nodes.iter().map(|node| node.view).collect()
}

#[test]
fn the_other_nodes_are_learned_and_only_the_primary_has_a_view() {
    let world = world(2);
    assert_eq!(views(&world), [Some(2), None, None]);
    let status = world.links.status();
    let partitions: Vec<usize> = status.nodes.iter().map(|node| node.partitions).collect();
    assert_eq!((partitions, status.unreachable), (vec![256, 0, 0], 0));
}

#[test]
fn a_commit_is_answered_when_all_replicas_of_the_view_have_it() {
    let mut world = world(2);
    world.ask(1, create(KEY, 1), true);
    world.ask(2, put(KEY, 1, 2), true);
    world.turn();
    assert_eq!(
        world.net.written,
        ["create", "put", "progress", "wait 2", "progress"].map(|one| format!("0 FirstWriter {one}"))
    );
    let all = |world: &mut World| {
        for link in world.net.wires.keys().copied().collect::<Vec<Link>>() {
            (0..5).for_each(|_| world.serve(link));
            (0..5).for_each(|_| world.hear(link));
        }
    };
    all(&mut world);
    while world.copy(1) {}
    all(&mut world);
    assert_eq!(world.replies(), [], "one replica has them");
    while world.copy(2) {}
    all(&mut world);
    assert_eq!(world.replies(), [done(1), done(2)]);
}

#[test]
fn what_too_few_replicas_have_is_sent_again_whole() {
    let mut world = world(1);
    world.servers[1].life = Life::Frozen;
    world.ask(1, create(KEY, 1), true);
    world.run(350);
    assert_eq!(world.replies(), []);
    let counters = world.links.status().counters;
    assert!(counters.short >= 2, "{counters:?}");
    let written = &world.net.written;
    let waits = written.iter().filter(|line| line.ends_with("wait 1")).count();
    let creates = written.iter().filter(|line| line.ends_with("create")).count();
    assert!(waits == creates && waits >= 3, "never WAIT alone: {written:?}");
    world.servers[1].life = Life::Running;
    world.run(200);
    assert_eq!(world.replies(), [done(1)]);
}

#[test]
fn a_replica_that_failed_is_not_waited_for() {
    let mut world = world(1);
    world.servers[1].life = Life::Dead;
    world.ask(1, create(KEY, 1), true);
    world.run(640);
    assert_eq!(world.replies(), []);
    world.servers[0].replicas.insert(1, false);
    // The next piece that too few have leads to the question, long before nodes are asked anyway.
    world.run(110);
    assert_eq!((world.replies(), views(&world)[0]), (vec![done(1)], Some(0)));
}

#[test]
fn after_a_failover_the_new_primary_is_asked_and_goes_on_alone() {
    let mut world = world(1);
    world.ask(1, create(KEY, 1), true);
    world.settle();
    assert_eq!(world.replies(), [done(1)]);
    world.kill(0);
    world.ask(2, put(KEY, 1, 2), true);
    world.run(1_000);
    assert_eq!(world.replies(), []);
    world.promote(1);
    world.run(200);
    assert_eq!((world.replies(), views(&world)), (vec![done(2)], vec![None, Some(0)]));
    assert_eq!(world.links.primaries().collect::<Vec<_>>(), [(1, 0)]);
}

#[test]
fn a_node_that_nobody_names_any_longer_and_that_is_heard_of_again_is_not_forgotten() {
    let mut world = world(1);
    let [primary, replica] = [0, 1].map(|node| Link { node, role: Role::Reader });
    // The primary has forgotten its replica, which has lost its connection and comes back as the primary of all.
    world.servers[0].replicas.clear();
    world.lose(replica);
    world.pass(20);
    world.connect(replica);
    world.turn();
    (0..3).for_each(|_| world.serve(primary));
    world.promote(1);
    (0..3).for_each(|_| world.hear(primary));
    (0..3).for_each(|_| world.serve(replica));
    (0..3).for_each(|_| world.hear(replica));
    assert_eq!(world.links.owner(super::PARTITION), Some(1));
    world.ask(1, create(KEY, 1), true);
    world.run(200);
    assert_eq!((world.replies(), world.servers[1].log.len()), (vec![done(1)], 1));
}

#[test]
fn the_old_view_of_a_node_that_came_back_is_not_believed() {
    let mut world = world(1);
    world.servers[0].replicas.insert(1, false);
    world.run(600);
    assert_eq!(views(&world)[0], Some(0));
    // All connections go, and meanwhile the replica is in the view again, and stands still.
    world.servers[0].replicas.insert(1, true);
    world.servers[1].life = Life::Frozen;
    world.lose_all(0);
    world.ask(1, create(KEY, 1), true);
    world.run(400);
    assert_eq!((world.replies(), views(&world)[0]), (vec![], Some(1)));
}

#[test]
fn a_view_that_was_asked_before_a_connection_went_is_not_believed() {
    let mut world = world(1);
    world.servers[0].replicas.insert(1, false);
    world.pass(600);
    let links: Vec<Link> = world.net.wires.keys().copied().filter(|link| link.node == 0).collect();
    // The reader has seen the view without the replica, a writer is lost, and then the answer comes.
    (0..3).for_each(|_| world.serve(links[0]));
    world.lose(links[1]);
    world.servers[0].replicas.insert(1, true);
    world.servers[1].life = Life::Frozen;
    world.ask(1, create(KEY, 1), true);
    (0..3).for_each(|_| world.hear(links[0]));
    // The other writer is quicker than the next look.
    world.turn();
    (0..3).for_each(|_| world.serve(links[2]));
    (0..3).for_each(|_| world.hear(links[2]));
    assert_eq!(world.replies(), []);
    world.run(400);
    assert_eq!((world.replies(), views(&world)[0]), (vec![], Some(1)));
}

#[test]
fn a_primary_that_was_replaced_and_does_not_know_it_commits_nothing() {
    let mut world = world(1);
    world.promote(1);
    // Nobody reaches the new primary yet.
    world.servers[1].life = Life::Frozen;
    world.ask(1, create(KEY, 1), true);
    world.run(1_500);
    assert_eq!(world.replies(), []);
    world.servers[1].life = Life::Running;
    world.run(400);
    assert_eq!(world.replies(), [done(1)]);
    assert_eq!(world.servers[1].log.len(), 1);
    assert_eq!(world.links.owner(super::PARTITION), Some(1));
}

#[test]
fn a_quick_replica_outside_the_view_does_not_stand_for_one_in_it() {
    let mut world = world(2);
    world.servers[0].replicas.insert(2, false);
    world.run(600);
    assert_eq!(views(&world)[0], Some(1));
    world.servers[1].life = Life::Frozen;
    world.net.written.clear();
    world.ask(1, create(KEY, 1), true);
    world.run(300);
    assert_eq!((world.replies(), world.servers[2].log.len()), (vec![], 1));
    let first: Vec<&str> =
        world.net.written[..4].iter().map(|line| line.rsplit_once("Writer ").unwrap().1).collect();
    assert_eq!(first, ["create", "progress", "wait 1", "progress"]);
    assert!(world.net.written.iter().any(|line| line.ends_with("wait 2")), "it is as quick as the other");
    world.servers[1].life = Life::Running;
    world.run(200);
    assert_eq!(world.replies(), [done(1)]);
    // Now the one outside stands still: it delays one piece, and is not waited for by the next.
    world.servers[2].life = Life::Frozen;
    world.ask(2, put(KEY, 1, 2), true);
    world.run(150);
    assert_eq!(world.replies(), [done(2)]);
    world.ask(3, put(KEY, 2, 3), true);
    world.settle();
    assert_eq!(world.replies(), [done(3)]);
}
