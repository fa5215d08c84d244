//! A state tier in the engine's own process: for trying an engine, and for tests. Calls end with the process.

use std::io;
use std::sync::{Arc, Mutex, PoisonError};

use base::Time;
use engine::Answer;
use net::worker::Beside;
use state::{Ask, Bounds, Command, Key, List, Millis, Partition, Reply};

use crate::ctl::records::{Piece, Records};

use super::core::Core;

/// Bytes of all records.
const BYTES_MAX: usize = 1 << 30;

/// Effects that wait in one partition.
const EFFECTS_MAX: usize = 10_000;

/// The partitions, for all workers.
#[derive(Clone)]
pub(crate) struct Memory(Arc<[Mutex<Partition>]>);

impl Memory {
    pub(crate) fn new() -> Memory {
        let bounds = Bounds { bytes_max: BYTES_MAX / 256, effects_max: EFFECTS_MAX };
        Memory((0..=u8::MAX).map(|_| Mutex::new(Partition::new(bounds))).collect())
    }

    /// What a worker has beside its core.
    pub(crate) fn beside(&self) -> Box<dyn Beside<Core>> {
        Box::new(Own { memory: self.clone(), replies: Vec::new() })
    }

    fn apply(&self, ask: Ask) -> Reply {
        let millis = os::since_1970().as_millis() as u64;
        let mut partition = self.0[usize::from(ask.partition)].lock().unwrap_or_else(PoisonError::into_inner);
        Reply { token: ask.token, answer: Ok(partition.apply(millis, ask.command)) }
    }
}

impl Records for Memory {
    fn list(&mut self, partition: u8, after: Millis, limit: u32) -> io::Result<Piece> {
        let command = Command::List(List { after, limit });
        match self.apply(Ask { token: 0, partition, command, replicated: false }).answer {
            Ok(state::Answer::Listed { records, next }) => Ok((records, next)),
            _ => Ok((Vec::new(), None)),
        }
    }

    fn get(&mut self, key: Key) -> io::Result<Option<Box<[u8]>>> {
        let command = Command::Peek { key, cached: None };
        match self.apply(Ask { token: 0, partition: key.partition(), command, replicated: false }).answer {
            Ok(state::Answer::Record(record)) => Ok(record),
            _ => Ok(None),
        }
    }
}

struct Own {
    memory: Memory,
    replies: Vec<Answer>,
}

impl Beside<Core> for Own {
    fn ask(&mut self, _now: Time, asks: &mut Vec<Ask>) {
        self.replies.extend(asks.drain(..).map(|ask| Answer::Reply(self.memory.apply(ask))));
    }

    fn record(&mut self, _now: Time, events: &mut Vec<engine::Event>) {
        events.drain(..).for_each(super::events::log);
    }

    fn answers(&mut self, _now: Time, answers: &mut Vec<Answer>) {
        answers.append(&mut self.replies);
    }

    fn next_deadline(&self) -> Option<Time> {
        (!self.replies.is_empty()).then_some(Time::ZERO)
    }
}
