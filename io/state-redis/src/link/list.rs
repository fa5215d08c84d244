//! All records of a state tier, one piece after the other, for operators. It has connections of its own and waits for each answer:
//! not for a worker's thread. It writes nothing.

use std::io;

use state::{Answer, Command, Key, List, Millis};

use super::call::Call;
use super::settings::Settings;
use super::start::{Farm, Primary};
use crate::resp::Value;
use crate::wire::{read_answer, write_command};

/// See the head of this module.
pub struct Records {
    farm: Farm,
}

impl Records {
    /// Connects to all primaries that answer.
    pub fn connect(settings: &Settings) -> io::Result<Records> {
        Ok(Records { farm: Farm::reach(settings, true)? })
    }

    /// Some records of a partition, and where to go on.
    #[allow(clippy::type_complexity, reason = "as the command of the state tier says it")]
    pub fn list(
        &mut self,
        partition: u8,
        after: Millis,
        limit: u32,
    ) -> io::Result<(Vec<(Key, Box<[u8]>)>, Option<Millis>)> {
        match self.ask(partition, &Command::List(List { after, limit }))? {
            Answer::Listed { records, next } => Ok((records, next)),
            _ => Err(strange()),
        }
    }

    /// What lies under a key: a record, or the tombstone of one.
    pub fn get(&mut self, key: Key) -> io::Result<Option<Box<[u8]>>> {
        match self.ask(key.partition(), &Command::Peek { key, cached: None })? {
            Answer::Record(record) => Ok(record),
            _ => Err(strange()),
        }
    }

    fn ask(&mut self, partition: u8, command: &Command) -> io::Result<Answer> {
        let Primary { call, .. } = self.farm.primary(partition)?;
        answer(call, partition, command)
    }
}

fn answer(call: &mut Call, partition: u8, command: &Command) -> io::Result<Answer> {
    let mut words = Vec::new();
    write_command(partition, command, &mut words);
    let value: Value = call.exchange(&words)?;
    read_answer(command, value).map_err(|unread| io::Error::other(format!("{}: {unread:?}", call.address())))
}

fn strange() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, "the state tier says what nobody understands")
}
