//! No replicated write is lost that was acknowledged, whatever happens between servers, connections and the clock.
//!
//! A run is a list of small steps: a server takes one request, the links hear one answer, a replica copies one entry, a connection
//! goes, a server stands still or dies, a replica is promoted by force. At each promotion, the new primary must have every write
//! that was acknowledged until then.
//!
//! What the cluster and its agents promise is taken for granted: a replica is promoted only if it came into the view a second before
//! it or its primary failed, and in step. A primary dies only where such a replica is there.

use std::cell::Cell;

use base::Duration;
use proptest::prelude::*;
use proptest::test_runner::{Config, TestError, TestRunner};

use super::server::Life;
use super::world::World;
use super::{create, del, key, peek, put};
use crate::links::{Bounds, Link};
use crate::{Answer, Header, Key, Reply, Stamp, Unanswered};

const KEYS: usize = 3;
/// A replica is promoted only if it and its primary have run for so long since it came into the view.
const IN_VIEW_FOR: Duration = Duration::from_secs(1);

#[derive(Clone, Copy, Debug)]
enum Step {
    Ask(usize),
    Serve(usize),
    ServeLate,
    Hear(usize),
    /// One connection for itself, as long as its server can do something.
    Exchange(usize),
    Copy(usize),
    Connect(usize),
    Pass(u64),
    Cut(usize),
    Freeze(usize),
    Thaw(usize),
    Fail(usize),
    Restore(usize),
    Learn(usize),
    KillPrimary,
    KillReplica(usize),
    Return(usize),
    Force(usize),
    /// Everything goes well for so long.
    Peace(u64),
}

fn step() -> impl Strategy<Value = Step> {
    let any = 0..30_usize;
    prop_oneof![
        12 => (0..KEYS).prop_map(Step::Ask),
        30 => any.clone().prop_map(Step::Serve),
        3 => Just(Step::ServeLate),
        30 => any.clone().prop_map(Step::Hear),
        12 => any.clone().prop_map(Step::Exchange),
        5 => any.clone().prop_map(Step::Copy),
        8 => any.clone().prop_map(Step::Connect),
        8 => (1..60_u64).prop_map(Step::Pass),
        3 => any.clone().prop_map(Step::Cut),
        1 => any.clone().prop_map(Step::Freeze),
        2 => any.clone().prop_map(Step::Thaw),
        1 => any.clone().prop_map(Step::Fail),
        2 => any.clone().prop_map(Step::Restore),
        2 => any.clone().prop_map(Step::Learn),
        1 => Just(Step::KillPrimary),
        1 => any.clone().prop_map(Step::KillReplica),
        1 => any.clone().prop_map(Step::Return),
        3 => any.prop_map(Step::Force),
        2 => (100..1_200_u64).prop_map(Step::Peace),
    ]
}

/// What an engine does with one key.
struct Writer {
    key: Key,
    /// The version that it has read or written last. `None`: it knows of no record.
    known: Option<u64>,
    /// A version is written once.
    next: u64,
    asked: Option<(u64, Asked)>,
    acknowledged: Option<u64>,
}

impl Writer {
    fn new(number: u8) -> Writer {
        Writer { key: key(number), known: None, next: 1, asked: None, acknowledged: None }
    }
}

#[derive(Clone, Copy, Debug)]
enum Asked {
    Write(u64),
    Del,
    Peek,
}

/// What has happened in all runs: a property that saw no failover proves nothing.
#[derive(Clone, Copy, Debug, Default)]
struct Seen {
    acknowledged: u64,
    promotions: u64,
    repeated: u64,
    short: u64,
    lost_unacknowledged: u64,
}

struct Run {
    world: World,
    writers: Vec<Writer>,
    /// Keys of records that are gone for good.
    graves: Vec<Key>,
    token: u64,
    must_peek: [bool; KEYS],
    seen: Seen,
}

fn version(record: &[u8]) -> u64 {
    Stamp::of(record).expect("a stamp").version
}

impl Run {
    fn new(replicas: usize) -> Run {
        let mut world = World::new(replicas, Bounds::default());
        world.settle();
        let writers = (0..KEYS).map(|number| Writer::new(number as u8)).collect();
        Run { world, writers, graves: Vec::new(), token: 0, must_peek: [false; KEYS], seen: Seen::default() }
    }

    fn ask(&mut self, number: usize) {
        let writer = &mut self.writers[number];
        if writer.asked.is_some() {
            return;
        }
        self.token += 1;
        let version = writer.next;
        let (asked, command) = match writer.known {
            _ if self.must_peek[number] => (Asked::Peek, peek(writer.key)),
            None => (Asked::Write(version), create(writer.key, version)),
            Some(known) if version.is_multiple_of(12) => (Asked::Del, del(writer.key, known, version)),
            Some(known) => (Asked::Write(version), put(writer.key, known, version)),
        };
        let replicated = !matches!(asked, Asked::Peek);
        writer.next += u64::from(replicated);
        writer.asked = Some((self.token, asked));
        self.world.ask(self.token, command, replicated);
    }

    fn replied(&mut self, reply: Reply) {
        let is_asker = |writer: &Writer| writer.asked.is_some_and(|(token, _)| token == reply.token);
        let number = self.writers.iter().position(is_asker).expect("one reply to each question");
        let writer = &mut self.writers[number];
        let (_, asked) = writer.asked.take().expect("asked");
        self.must_peek[number] = false;
        match (asked, reply.answer) {
            (Asked::Write(version), Ok(Answer::Done)) => {
                writer.known = Some(version);
                writer.acknowledged = Some(version);
                self.seen.acknowledged += 1;
            }
            (Asked::Del, Ok(Answer::Done)) => {
                self.seen.acknowledged += 1;
                self.bury(number);
            }
            (_, Ok(Answer::Refused(there) | Answer::Record(there))) => {
                writer.known = there.as_deref().map(version);
                if there.as_deref().is_some_and(Header::is_of_tombstone) {
                    self.bury(number);
                }
            }
            (_, Err(Unanswered::OutOfReach)) => self.must_peek[number] = true,
            (asked, answer) => panic!("{answer:?} to {asked:?}"),
        }
    }

    /// The record is gone: its writer goes on with another.
    fn bury(&mut self, number: usize) {
        let next = (KEYS + self.graves.len() + 1) as u8;
        let writer = std::mem::replace(&mut self.writers[number], Writer::new(next));
        self.graves.push(writer.key);
    }

    /// The primary has all that was acknowledged.
    fn check(&mut self, when: &str) -> Result<(), TestCaseError> {
        let (primary, now) = (self.world.primary(), 1_790_000_000_000 + self.world.now.as_millis());
        for writer in &self.writers {
            let there = self.world.servers[primary].record(now, writer.key);
            let there = there.as_deref().map(version);
            prop_assert!(
                there >= writer.acknowledged,
                "{when}: {:?} was acknowledged with version {:?}, and {there:?} is there",
                writer.key,
                writer.acknowledged
            );
            self.seen.lost_unacknowledged += u64::from(there < writer.next.checked_sub(1));
        }
        for key in &self.graves {
            let there = self.world.servers[primary].record(now, *key);
            let is_buried = there.as_deref().is_none_or(Header::is_of_tombstone);
            prop_assert!(is_buried, "{when}: the end of {key:?} was acknowledged, and it is there");
        }
        Ok(())
    }

    fn candidate(&self, number: usize) -> Option<usize> {
        let (world, primary) = (&self.world, self.world.primary());
        let may = |number: &usize| {
            let server = &world.servers[*number];
            server.follows == Some(primary)
                && server.life == Life::Running
                && server.promotable_since.is_some_and(|since| world.now.since(since) >= IN_VIEW_FOR)
        };
        let candidates: Vec<usize> = (0..world.servers.len()).filter(may).collect();
        candidates.get(number % candidates.len().max(1)).copied()
    }

    /// A server or its primary fails. If it came into the view a moment ago, it cannot be promoted any longer.
    fn fails(&mut self, server: usize) {
        let now = self.world.now;
        self.world.servers[server].promotable_since.take_if(|since| now.since(*since) < IN_VIEW_FOR);
    }

    fn link(&self, number: usize) -> Option<Link> {
        let wires = &self.world.net.wires;
        wires.keys().nth(number % wires.len().max(1)).copied()
    }

    /// A replica, if there is one.
    fn replica(&self, number: usize) -> Option<usize> {
        let primary = self.world.primary();
        let replicas: Vec<usize> = (0..self.world.servers.len()).filter(|one| *one != primary).collect();
        replicas.get(number % replicas.len().max(1)).copied()
    }

    fn step(&mut self, step: Step) -> Result<(), TestCaseError> {
        let primary = self.world.primary();
        let servers = self.world.servers.len();
        match step {
            Step::Ask(number) => self.ask(number),
            Step::Serve(number) => self.link(number).into_iter().for_each(|link| self.world.serve(link)),
            Step::ServeLate => self.world.serve_late(),
            Step::Hear(number) => self.link(number).into_iter().for_each(|link| self.world.hear(link)),
            Step::Exchange(number) => {
                let Some(link) = self.link(number) else { return Ok(()) };
                for _ in 0..4 {
                    self.world.serve(link);
                    self.world.hear(link);
                }
            }
            Step::Copy(number) => drop(self.world.copy(number % servers)),
            Step::Connect(number) => self.link(number).into_iter().for_each(|link| self.world.connect(link)),
            Step::Pass(millis) => self.world.pass(millis),
            Step::Cut(number) => self.link(number).into_iter().for_each(|link| self.world.lose(link)),
            Step::Freeze(number) => {
                let number = number % servers;
                let is_affected = |one: usize| number == primary || number == one;
                (0..servers).filter(|one| is_affected(*one)).for_each(|one| self.fails(one));
                let server = &mut self.world.servers[number];
                if server.life == Life::Running {
                    server.life = Life::Frozen;
                }
            }
            Step::Thaw(number) => {
                let server = &mut self.world.servers[number % servers];
                if server.life == Life::Frozen {
                    server.life = Life::Running;
                }
            }
            Step::Fail(number) => {
                let Some(replica) = self.replica(number) else { return Ok(()) };
                let primary_lives = self.world.servers[primary].life == Life::Running;
                if self.world.servers[replica].life != Life::Running && primary_lives {
                    self.world.servers[replica].promotable_since = None;
                    if let Some(in_view) = self.world.servers[primary].replicas.get_mut(&replica) {
                        *in_view = false;
                    }
                }
            }
            Step::Restore(number) => {
                let Some(replica) = self.replica(number) else { return Ok(()) };
                let (one, two) = (&self.world.servers[replica], &self.world.servers[primary]);
                let is_in_step = one.has_all_of(two) && one.follows == Some(primary);
                if is_in_step && one.life == Life::Running && two.replicas.get(&replica) == Some(&false) {
                    self.world.servers[primary].replicas.insert(replica, true);
                    self.world.servers[replica].promotable_since = Some(self.world.now);
                }
            }
            Step::Learn(number) => self.world.learn(number % servers),
            Step::KillPrimary => {
                if self.candidate(0).is_some() {
                    (0..servers).for_each(|one| self.fails(one));
                    self.world.kill(primary);
                }
            }
            Step::KillReplica(number) => {
                let Some(replica) = self.replica(number) else { return Ok(()) };
                let is_last = self.world.servers[primary].life == Life::Dead;
                if !is_last && self.world.servers[replica].life != Life::Dead {
                    self.world.kill(replica);
                    self.world.servers[replica].promotable_since = None;
                }
            }
            Step::Return(number) => {
                let number = number % servers;
                if number != primary && self.world.servers[number].life == Life::Dead {
                    self.world.servers[number].start_empty();
                    self.world.servers[number].follows = Some(primary);
                    let known = &mut self.world.servers[primary].replicas;
                    known.entry(number).and_modify(|in_view| *in_view = false);
                    self.world.learn(number);
                }
            }
            Step::Force(number) => {
                if let Some(candidate) = self.candidate(number) {
                    self.world.promote(candidate);
                    self.seen.promotions += 1;
                    self.check("at a promotion")?;
                }
            }
            Step::Peace(millis) => self.peace(millis),
        }
        self.hear_replies();
        Ok(())
    }

    fn hear_replies(&mut self) {
        self.world.turn();
        for reply in self.world.replies() {
            self.replied(reply);
        }
    }

    /// Everybody who runs is in step, and engines write.
    fn peace(&mut self, millis: u64) {
        for _ in 0..millis / 50 {
            (0..KEYS).for_each(|number| self.ask(number));
            (0..self.world.servers.len()).for_each(|number| self.world.learn(number));
            self.world.run(50);
            (0..self.world.servers.len()).for_each(|number| drop(self.step(Step::Restore(number))));
            self.hear_replies();
        }
    }

    /// All servers come back, and nothing is left that waits.
    fn end(mut self) -> Result<Seen, TestCaseError> {
        for number in 0..self.world.servers.len() {
            self.step(Step::Thaw(number))?;
        }
        if self.world.servers[self.world.primary()].life == Life::Dead {
            self.world.pass(1_000);
            self.step(Step::Force(0))?;
        }
        for number in 0..self.world.servers.len() {
            self.step(Step::Return(number))?;
        }
        self.peace(4_000);
        self.world.run(200);
        self.hear_replies();
        self.check("in the end")?;
        let status = self.world.links.status();
        let asked = self.writers.iter().filter(|writer| writer.asked.is_some()).count();
        prop_assert_eq!((status.unreachable, asked), (0, 0), "{:?}", status);
        self.seen.repeated += status.counters.repeated;
        self.seen.short += status.counters.short;
        Ok(self.seen)
    }
}

fn run(replicas: usize, steps: &[Step], lies: bool) -> Result<Seen, TestCaseError> {
    let mut run = Run::new(replicas);
    run.world.lies = lies;
    run.peace(1_200);
    for step in steps {
        run.step(*step)?;
    }
    run.end()
}

fn runner() -> TestRunner {
    let config = Config { max_shrink_iters: 500, failure_persistence: None, ..Config::default() };
    TestRunner::new(config)
}

fn text(error: TestError<Vec<Step>>) -> String {
    match error {
        TestError::Fail(why, steps) => format!("{why}, by {steps:?}"),
        TestError::Abort(why) => why.to_string(),
    }
}

fn nothing_is_lost(replicas: usize) {
    let seen = Cell::new(Seen::default());
    let result = runner().run(&prop::collection::vec(step(), 300), |steps| {
        let (one, mut all) = (run(replicas, &steps, false)?, seen.get());
        all.acknowledged += one.acknowledged;
        all.promotions += one.promotions;
        all.repeated += one.repeated;
        all.short += one.short;
        all.lost_unacknowledged += one.lost_unacknowledged;
        seen.set(all);
        Ok(())
    });
    if let Err(error) = result {
        panic!("{}", text(error));
    }
    let seen = seen.get();
    println!("{seen:?}");
    assert!(seen.acknowledged > 10_000 && seen.promotions > 100, "{seen:?}");
    assert!(seen.repeated > 100 && seen.short > 100 && seen.lost_unacknowledged > 10, "{seen:?}");
}

#[test]
fn no_acknowledged_write_is_lost_with_one_replica() {
    nothing_is_lost(1);
}

#[test]
fn no_acknowledged_write_is_lost_with_two_replicas() {
    nothing_is_lost(2);
}

#[test]
fn the_property_finds_servers_that_do_not_wait() {
    let result = runner().run(&prop::collection::vec(step(), 300), |steps| run(1, &steps, true).map(drop));
    let error = text(result.expect_err("writes are lost"));
    assert!(error.contains("was acknowledged"), "{error}");
}
