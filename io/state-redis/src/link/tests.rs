//! The links against servers that run: an engine's questions over sockets.

mod cluster;
mod one;
mod replicated;
mod servers;

use std::sync::LazyLock;
use std::time::{Duration, Instant};

use base::Time;
use os::Clock;
use state::{Also, Command, Create, Del, FORMAT, Fence, Header, Key, Put, Stamp, TOMBSTONE};
use state::{Answer, Ask, Reply, Unanswered};

use super::{Settings, Start, Store};
use servers::Server;

static CLOCK: LazyLock<Clock> = LazyLock::new(Clock::start);

fn stamp(version: u64) -> Stamp {
    Stamp { fence: Fence { engine: 3, worker: 1 }, version }
}

fn record(version: u64, flags: u16) -> Box<[u8]> {
    let mut bytes = Vec::new();
    let header = Header { stamp: stamp(version), owner: 3, format: FORMAT, ..Header::default() };
    Header { flags, ..header }.write(&mut bytes);
    bytes.into()
}

/// Keys of all partitions in turn.
fn key(number: u32) -> Key {
    let mut key = [0; 12];
    key[0] = number as u8;
    key[8..].copy_from_slice(&number.to_be_bytes());
    Key(key)
}

fn create(key: Key, version: u64) -> Command {
    Command::Create(Create { key, record: record(version, 0), wake: 500, also: Also::default() })
}

fn put(key: Key, expected: u64, version: u64) -> Command {
    let (expected, record) = (stamp(expected), record(version, 0));
    Command::Put(Put { key, expected, record, wake: None, also: Also::default() })
}

fn del(key: Key, expected: u64, version: u64) -> Command {
    let (expected, tombstone) = (stamp(expected), Some(record(version, TOMBSTONE)));
    Command::Del(Del { key, expected, tombstone, also: Also::default() })
}

fn peek(key: Key) -> Command {
    Command::Peek { key, cached: None }
}

/// A worker that waits for its store alone.
struct Worker {
    store: Store,
    asks: Vec<Ask>,
    replies: Vec<Reply>,
    token: u64,
}

impl Worker {
    fn new(settings: &Settings) -> Worker {
        let start = Start::wait(settings, &CLOCK, Duration::from_secs(10), |_| {}).expect("the state tier");
        Worker::of(settings, &start)
    }

    fn of(settings: &Settings, start: &Start) -> Worker {
        let store = Store::connect(settings, start).expect("a store");
        Worker { store, asks: Vec::new(), replies: Vec::new(), token: 0 }
    }

    fn now() -> Time {
        CLOCK.now()
    }

    /// Takes a question for the next turn; its token.
    fn ask(&mut self, partition: u8, command: Command, replicated: bool) -> u64 {
        self.token += 1;
        self.asks.push(Ask { token: self.token, partition, command, replicated });
        self.token
    }

    /// Sends what was asked, waits once, and takes what has come.
    fn turn(&mut self, patience: Duration) {
        if !self.asks.is_empty() {
            self.store.ask(Worker::now(), &mut self.asks);
        }
        let until = self.store.next_deadline().map_or(patience, |deadline| deadline.since(Worker::now()));
        let mut source = [os::poll::watched(self.store.source(), libc::POLLIN)];
        os::poll::wait(&mut source, until.min(patience));
        self.store.answers(Worker::now(), &mut self.replies);
    }

    fn run(&mut self, patience: Duration) {
        let begin = Instant::now();
        while begin.elapsed() < patience {
            self.turn(patience.saturating_sub(begin.elapsed()));
        }
    }

    /// The replies, when so many have come.
    fn replies(&mut self, number: usize) -> Vec<Reply> {
        let begin = Instant::now();
        while self.replies.len() < number {
            assert!(
                begin.elapsed() < Duration::from_secs(40),
                "no reply: {:?}",
                self.store.status(Worker::now())
            );
            self.turn(Duration::from_millis(100));
        }
        std::mem::take(&mut self.replies)
    }

    /// The answer to one question.
    fn answer(&mut self, command: Command, replicated: bool) -> Result<Answer, Unanswered> {
        let partition = partition(&command);
        let token = self.ask(partition, command, replicated);
        let begin = Instant::now();
        loop {
            if let Some(at) = self.replies.iter().position(|reply| reply.token == token) {
                return self.replies.swap_remove(at).answer;
            }
            assert!(
                begin.elapsed() < Duration::from_secs(40),
                "no reply: {:?}",
                self.store.status(Worker::now())
            );
            self.turn(Duration::from_millis(100));
        }
    }
}

fn partition(command: &Command) -> u8 {
    match command {
        Command::Create(create) => create.key.partition(),
        Command::Put(put) => put.key.partition(),
        Command::Del(del) => del.key.partition(),
        Command::Peek { key, .. } => key.partition(),
        _ => 7,
    }
}
