//! A cluster of three primaries with a replica each.

use std::collections::BTreeMap;
use std::time::Instant;

use base::Duration;
use state::Answer;

use super::servers::{Folder, text};
use super::{CLOCK, Server, Settings, Start, Worker, create, key, peek, put, record};
use crate::resp::Value;

/// Slots of each primary.
const SLOTS: [(&str, &str); 3] = [("0", "5460"), ("5461", "10922"), ("10923", "16383")];

/// Three primaries, then the replica of each.
fn cluster(folder: &Folder) -> Vec<Server> {
    let servers: Vec<Server> =
        (0..6).map(|number| Server::start_tcp(folder, &format!("{number}"), true, "")).collect();
    for (server, (first, last)) in servers.iter().zip(SLOTS) {
        server.say(&["CLUSTER", "ADDSLOTSRANGE", first, last]);
    }
    for (number, server) in servers.iter().enumerate() {
        server.say(&["CLUSTER", "SET-CONFIG-EPOCH", &format!("{}", number + 1)]);
    }
    let (host, port) = servers[0].host_and_port();
    let Value::Array(bus) = servers[0].say(&["CONFIG", "GET", "cluster-port"]) else { panic!("no port") };
    for server in &servers[1..] {
        server.say(&["CLUSTER", "MEET", &host, &port, &text(&bus[1])]);
    }
    for server in &servers {
        server.until_says(&["CLUSTER", "NODES"], |nodes| {
            nodes.lines().count() == 6 && !nodes.contains("handshake")
        });
    }
    for (primary, replica) in servers[..3].iter().zip(&servers[3..]) {
        let id = text(&primary.say(&["CLUSTER", "MYID"]));
        replica.say(&["CLUSTER", "REPLICATE", &id]);
    }
    for server in &servers {
        server.until_says(&["CLUSTER", "INFO"], |info| info.contains("cluster_state:ok"));
        server.until_says(&["INFO", "replication"], |info| {
            info.contains("state=online") || info.contains("master_link_status:up")
        });
        server.until_says(&["CLUSTER", "NODES"], |nodes| nodes.matches("slave").count() == 3);
    }
    servers
}

fn settings(servers: &[Server]) -> Settings {
    Settings { nodes: vec![servers[3].address.clone(), servers[1].address.clone()], ..Settings::default() }
}

#[test]
fn partitions_are_asked_for_at_their_primaries_and_none_is_lost_with_one_of_them() {
    let folder = Folder::new();
    let mut servers = cluster(&folder);
    let settings = settings(&servers);
    let start = Start::wait(&settings, &CLOCK, Duration::from_secs(10), |_| {}).expect("the state tier");
    let again = Start::wait(&settings, &CLOCK, Duration::from_secs(10), |_| {}).expect("the state tier");
    assert!(again.engine == start.engine + 1 && again.secret == start.secret);
    let mut worker = Worker::of(&settings, &start);
    for number in 0..256 {
        assert_eq!(worker.answer(create(key(number), 1), true), Ok(Answer::Done), "{number}");
    }
    let status = worker.store.status(Worker::now());
    assert_eq!((status.links.unreachable, worker.store.primaries().count()), (0, 3));
    let views: Vec<u32> = status.links.nodes.iter().filter_map(|node| node.view).collect();
    assert_eq!((views, status.links.nodes.len()), (vec![1, 1, 1], 6));

    // Every record is put on and on, while a primary is killed and the cluster promotes its replica.
    let mut versions = vec![1; 256];
    let mut asked: BTreeMap<u64, u32> = BTreeMap::new();
    let (begin, mut is_killed, mut longest, mut last) =
        (Instant::now(), false, Duration::ZERO, Instant::now());
    while begin.elapsed() < Duration::from_secs(9) {
        for number in 0..256 {
            if asked.values().all(|other| *other != number) {
                let version = versions[number as usize];
                let token = worker.ask(number as u8, put(key(number), version, version + 1), true);
                asked.insert(token, number);
            }
        }
        worker.turn(Duration::from_millis(10));
        for reply in worker.replies.drain(..) {
            let number = asked.remove(&reply.token).expect("one reply to each");
            assert_eq!(reply.answer, Ok(Answer::Done), "{number}");
            versions[number as usize] += 1;
            if is_of_first(number as u8) {
                longest = longest.max(last.elapsed());
                last = Instant::now();
            }
        }
        if !is_killed && begin.elapsed() > Duration::from_secs(1) {
            servers[0].kill();
            is_killed = true;
        }
    }
    println!("the partitions of the killed primary stood still for {longest:?}");
    assert!(longest > Duration::from_secs(1) && longest < Duration::from_secs(8), "{longest:?}");
    while !asked.is_empty() {
        worker.turn(Duration::from_millis(10));
        for reply in worker.replies.drain(..) {
            let number = asked.remove(&reply.token).expect("one reply to each");
            assert_eq!(reply.answer, Ok(Answer::Done), "{number}");
            versions[number as usize] += 1;
        }
    }
    for number in 0..256 {
        let version = versions[number as usize];
        let there = worker.answer(peek(key(number)), false);
        assert_eq!(there, Ok(Answer::Record(Some(record(version, 0)))), "{number}");
    }
    let late = Start::wait(&settings, &CLOCK, Duration::from_secs(10), |_| {}).expect("the state tier");
    assert!(late.engine == again.engine + 1 && late.secret == start.secret);
}

/// Whether the first primary has the partition.
fn is_of_first(partition: u8) -> bool {
    state::view::slot(partition) <= 5460
}
