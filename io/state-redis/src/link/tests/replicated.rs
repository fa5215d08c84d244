//! A primary with one replica, without a cluster.

use std::collections::BTreeMap;
use std::time::Instant;

use base::Duration;
use state::{Answer, Key};

use super::servers::Folder;
use super::{Server, Worker, create, key, peek, put, record};

fn pair(folder: &Folder) -> (Server, Server) {
    let primary = Server::start_tcp(folder, "primary", false, "");
    let replica = Server::start_tcp(folder, "replica", false, "");
    let (host, port) = primary.host_and_port();
    replica.say(&["REPLICAOF", &host, &port]);
    primary.until_says(&["INFO", "replication"], |info| info.contains("state=online"));
    (primary, replica)
}

fn view(worker: &Worker) -> Option<u32> {
    worker.store.status(Worker::now()).links.nodes[0].view
}

#[test]
fn a_commit_waits_for_the_replica() {
    let folder = Folder::new();
    let (primary, replica) = pair(&folder);
    let mut worker = Worker::new(&primary.settings());
    assert_eq!(worker.answer(create(key(1), 1), true), Ok(Answer::Done));
    assert_eq!(view(&worker), Some(1));
    replica.signal(libc::SIGSTOP);
    let token = worker.ask(1, put(key(1), 1, 2), true);
    worker.run(Duration::from_millis(500));
    assert_eq!(worker.replies, []);
    let counters = worker.store.status(Worker::now()).links.counters;
    assert!(counters.short >= 1, "{counters:?}");
    // What need not be replicated does not wait.
    assert_eq!(worker.answer(peek(key(1)), false), Ok(Answer::Record(Some(record(2, 0)))));
    replica.signal(libc::SIGCONT);
    assert_eq!(worker.replies(1), [state::Reply { token, answer: Ok(Answer::Done) }]);
}

#[test]
fn a_replica_that_left_is_not_waited_for() {
    let folder = Folder::new();
    let (primary, mut replica) = pair(&folder);
    let mut worker = Worker::new(&primary.settings());
    assert_eq!(worker.answer(create(key(1), 1), true), Ok(Answer::Done));
    replica.kill();
    assert_eq!(worker.answer(put(key(1), 1, 2), true), Ok(Answer::Done));
    assert_eq!(view(&worker), Some(0));
}

#[test]
fn no_acknowledged_write_is_lost_when_the_primary_is_killed_and_the_replica_promoted() {
    let folder = Folder::new();
    let (mut primary, replica) = pair(&folder);
    let mut worker = Worker::new(&primary.settings());
    let (mut asked, mut kept) = (BTreeMap::new(), Vec::<Key>::new());
    let (begin, mut number, mut is_killed, mut is_promoted, mut after) = (Instant::now(), 0, false, false, 0);
    while after < 500 {
        while asked.len() < 32 {
            let token = worker.ask(key(number).partition(), create(key(number), 1), true);
            asked.insert(token, key(number));
            number += 1;
        }
        worker.turn(Duration::from_millis(10));
        for reply in worker.replies.drain(..) {
            let key = asked.remove(&reply.token).expect("one reply to each");
            if reply.answer == Ok(Answer::Done) {
                kept.push(key);
                after += u32::from(is_promoted);
            }
        }
        if !is_killed && begin.elapsed() > Duration::from_millis(500) {
            primary.kill();
            is_killed = true;
        }
        if !is_promoted && begin.elapsed() > Duration::from_millis(800) {
            replica.say(&["REPLICAOF", "NO", "ONE"]);
            is_promoted = true;
        }
        assert!(begin.elapsed() < Duration::from_secs(20), "{:?}", worker.store.status(Worker::now()));
    }
    assert!(kept.len() > 1_000, "{}", kept.len());
    for key in &kept {
        assert_eq!(worker.answer(peek(*key), false), Ok(Answer::Record(Some(record(1, 0)))), "{key}");
    }
    let nodes = worker.store.status(Worker::now()).links.nodes;
    let partitions: Vec<usize> = nodes.iter().map(|node| node.partitions).collect();
    assert_eq!(partitions, [0, 256]);
}
