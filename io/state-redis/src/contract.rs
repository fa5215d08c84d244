//! Every server of records answers as [`state::Partition`] does: one list of commands, and any commands drawn by chance.

mod client;
mod cluster;
mod only_redis;
mod redis;
mod scripts;

use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;
use state::{Answer, Bounds, Command, Due, Key, List, OwnedBy, Partition};

use crate::server::tests::Running;
use crate::testing::any_command;
use crate::wire::Unread;
pub(crate) use client::Client;
pub(crate) use redis::Redis;

/// The partition that all commands of these tests concern.
const PARTITION: u8 = 0x3F;

/// Few effects, so that a partition is full of them; and bytes for all.
const BOUNDS: Bounds = Bounds { bytes_max: usize::MAX, effects_max: 5 };

/// A server of records, empty at first.
trait Server {
    fn apply(&mut self, command: &Command) -> Result<Answer, Unread>;
    /// The value of a counter; no command reads it.
    fn counter(&mut self, name: &[u8]) -> i64;
    /// Votes for a choice; no command reads them.
    fn votes(&mut self, poll: &[u8], choice: &[u8]) -> u64;
}

/// Commands that ask for all that is there after others.
fn questions() -> Vec<Command> {
    let mut questions = vec![
        Command::Due(Due { now: 15, lease: 100, limit: 3 }),
        Command::Due(Due { now: 1 << 52, lease: 0, limit: 99 }),
    ];
    for engine in 0..5 {
        questions.push(Command::OwnedBy(OwnedBy { engine, after: 0, until: u64::MAX, limit: 99 }));
        questions.push(Command::Drain { engine, now: 1 << 52, lease: 0, limit: 99 });
    }
    questions.push(Command::List(List { after: 0, limit: 3 }));
    questions.push(Command::List(List { after: 0, limit: 99 }));
    for byte in [b'a', b'b', 0, 255] {
        let mut key = [byte; 12];
        key[0] = PARTITION;
        questions.push(Command::Peek { key: Key(key), cached: None });
    }
    for name in ["a", "b", "N", ""] {
        questions.push(Command::Find { name: name.as_bytes().into() });
    }
    questions
}

/// Gives the commands to a partition and to the server, and compares what they answer and what they hold in the end.
fn compare(server: &mut impl Server, commands: &[Command]) -> Result<(), TestCaseError> {
    let mut partition = Partition::new(BOUNDS);
    for command in commands.iter().chain(&questions()) {
        let expected = partition.apply(0, command.clone());
        prop_assert_eq!(server.apply(command), Ok(expected), "{:?}", command);
    }
    for name in ["a", "b", "N", ""] {
        prop_assert_eq!(server.counter(name.as_bytes()), partition.counter(name.as_bytes()));
        for choice in ["a", "b", "N", ""] {
            let votes = partition.votes(name.as_bytes(), choice.as_bytes());
            prop_assert_eq!(server.votes(name.as_bytes(), choice.as_bytes()), votes);
        }
    }
    Ok(())
}

/// Sequences by chance. `server`: gives a server that is empty.
fn any_sequences<S: Server>(mut server: impl FnMut() -> S) {
    let config = ProptestConfig { cases: 1000, failure_persistence: None, ..ProptestConfig::default() };
    let mut runner = TestRunner::new(config);
    let sequences = proptest::collection::vec(any_command(PARTITION), 0..60);
    let ran = std::cell::RefCell::new(&mut server);
    let outcome = runner.run(&sequences, |commands| {
        let mut server = (ran.borrow_mut())();
        compare(&mut server, &commands)
    });
    outcome.unwrap_or_else(|failure| panic!("{failure}"));
}

fn scripts<S: Server>(mut server: impl FnMut() -> S) {
    for (name, commands) in scripts::all() {
        compare(&mut server(), &commands).unwrap_or_else(|failure| panic!("{name}: {failure}"));
    }
}

#[test]
fn redis_answers_each_script_as_a_partition() {
    let redis = Redis::start();
    scripts(|| redis.empty());
}

#[test]
fn redis_answers_any_commands_as_a_partition() {
    let redis = Redis::start();
    any_sequences(|| redis.empty());
}

/// Each connection sees another server, which is empty.
fn of_this_crate() -> impl FnMut() -> Client {
    let mut servers = Vec::new();
    move || {
        servers.clear();
        servers.push(Running::start(|settings, _| settings.effects_max = BOUNDS.effects_max));
        servers[0].client()
    }
}

#[test]
fn our_server_answers_each_script_as_a_partition() {
    scripts(of_this_crate());
}

#[test]
fn our_server_answers_any_commands_as_a_partition() {
    any_sequences(of_this_crate());
}

#[test]
fn commands_by_chance_meet() {
    // A test of answers that are all refusals would show nothing.
    let mut runner = TestRunner::deterministic();
    let mut seen = std::collections::BTreeMap::<&str, u32>::new();
    for _ in 0..600 {
        let sequence = proptest::collection::vec(any_command(PARTITION), 60);
        let commands = sequence.new_tree(&mut runner).expect("commands").current();
        let mut partition = Partition::new(BOUNDS);
        for command in commands {
            let changes = matches!(command, Command::Put(_) | Command::Del(_) | Command::Wake { .. });
            let kind = match (partition.apply(0, command), changes) {
                (Answer::Done, true) => "changed",
                (Answer::Refused(Some(_)), true) => "refused",
                (Answer::Full, _) => "full",
                (Answer::Unchanged, _) => "unchanged",
                (Answer::Owned { next: Some(_), .. }, _) => "more of an engine",
                (Answer::Listed { next: Some(_), .. }, _) => "more of all",
                (Answer::Effects(effects), _) if !effects.is_empty() => "effects",
                (Answer::Due(due), _) if due.len() > 1 => "due",
                _ => continue,
            };
            *seen.entry(kind).or_default() += 1;
        }
    }
    assert_eq!(seen.len(), 8, "{seen:?}");
    assert!(seen.values().all(|count| *count >= 20), "{seen:?}");
}
