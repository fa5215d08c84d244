//! Writes a command as the call of a function: its names and its arguments.

use std::io::Write;

use state::{Also, Command, Stamp};

use super::names::{self, TIME_MAX};
use crate::resp::{write_array, write_bytes};

enum Word<'a> {
    Bytes(&'a [u8]),
    Number(u64),
    Signed(i64),
    Stamp(Stamp),
    /// A name in the partition: what it says, and what follows.
    Name(&'static str, &'a [u8]),
}

/// The words of a call.
struct Call<'a> {
    function: &'static str,
    names: Vec<Word<'a>>,
    arguments: Vec<Word<'a>>,
}

/// Writes the command as a server of records reads it. A command about a record must go to the partition of its key.
pub fn write_command(partition: u8, command: &Command, out: &mut Vec<u8>) {
    let call = Call::of(command);
    write_array(3 + call.names.len() + call.arguments.len(), out);
    write_bytes(b"FCALL", out);
    write_bytes(call.function.as_bytes(), out);
    Word::Number(call.names.len() as u64).write(partition, out);
    call.names.iter().chain(&call.arguments).for_each(|word| word.write(partition, out));
}

impl<'a> Call<'a> {
    fn of(command: &'a Command) -> Call<'a> {
        use Word::{Bytes, Name, Number, Stamp};
        let of = |function, names, arguments| Call { function, names, arguments };
        let name = |name| Name(name, b"");
        let due = || name(names::WAKEUPS);
        match command {
            Command::Create(create) => {
                // The number of effects that wait decides whether there is room.
                let names = vec![Name(names::RECORD, &create.key.0), due(), name(names::OUT)];
                let arguments = vec![Number(create.wake), Bytes(&create.record)];
                of(names::CREATE, names, arguments).with(&create.also)
            }
            Command::Put(put) => {
                let names = vec![Name(names::RECORD, &put.key.0)];
                let mut call = of(names::PUT, names, vec![Stamp(put.expected), Bytes(&put.record)]);
                if let Some(wake) = put.wake {
                    call.names.push(due());
                    call.arguments.extend([Bytes(names::WAKE_AT), Number(wake)]);
                }
                call.with(&put.also)
            }
            Command::Del(del) => {
                let names = vec![Name(names::RECORD, &del.key.0), due()];
                let mut call = of(names::DEL, names, vec![Stamp(del.expected)]);
                if let Some(tombstone) = &del.tombstone {
                    call.arguments.extend([Bytes(names::TOMBSTONE), Bytes(tombstone)]);
                }
                call.with(&del.also)
            }
            Command::Peek { key, cached } => of(
                names::PEEK,
                vec![Name(names::RECORD, &key.0)],
                cached.iter().copied().map(Stamp).collect(),
            ),
            Command::Wake { key, expected, at } => {
                let names = vec![Name(names::RECORD, &key.0), due()];
                of(names::WAKE, names, vec![Stamp(*expected), Number(*at)])
            }
            Command::Due(asked) => {
                let limit = u64::from(asked.limit);
                of(names::DUE, vec![due()], vec![Number(asked.now), Number(asked.lease), Number(limit)])
            }
            Command::OwnedBy(asked) => {
                let (engine, limit) = (u64::from(asked.engine), u64::from(asked.limit));
                // No record wakes later than the latest time.
                let (after, until) = (asked.after.min(TIME_MAX), asked.until.min(TIME_MAX));
                let arguments = [engine, after, until, limit].map(Number);
                of(names::OWNED_BY, vec![due()], arguments.into())
            }
            Command::List(asked) => {
                let arguments = [asked.after.min(TIME_MAX), u64::from(asked.limit)].map(Number);
                of(names::LIST, vec![due()], arguments.into())
            }
            Command::Find { name: asked } => of(names::FIND, vec![name(names::NAMES)], vec![Bytes(asked)]),
            Command::Count { poll, choice, voter } => {
                let names = vec![Name(names::VOTES, poll), Name(names::CHOICES, poll)];
                of(names::COUNT, names, vec![Bytes(choice), Bytes(voter)])
            }
            Command::Mark(mark) => {
                let arguments = vec![Number(mark.engine.into()), Bytes(&mark.address), Number(mark.at)];
                of(names::MARK, vec![name(names::MARKS)], arguments)
            }
            Command::Drain { engine, now, lease, limit } => {
                let arguments = [u64::from(*engine), *now, *lease, u64::from(*limit)].map(Number);
                of(names::DRAIN, vec![name(names::OUT), name(names::LEASE)], arguments.into())
            }
            Command::Drained { engine, last } => {
                let arguments = vec![Number(u64::from(*engine)), Number(*last)];
                of(names::DRAINED, vec![name(names::OUT), name(names::LEASE)], arguments)
            }
        }
    }

    fn with(mut self, also: &'a Also) -> Call<'a> {
        if let Some((counter, added)) = &also.counter {
            self.names.push(Word::Name(names::COUNTERS, b""));
            self.arguments.extend([Word::Bytes(names::COUNTER), Word::Bytes(counter), Word::Signed(*added)]);
        }
        if let Some(name) = &also.name {
            self.names.push(Word::Name(names::NAMES, b""));
            self.arguments.extend([Word::Bytes(names::NAME), Word::Bytes(name)]);
        }
        if !also.effects.is_empty() && self.function != names::CREATE {
            self.names.push(Word::Name(names::OUT, b""));
        }
        for effect in &also.effects {
            let words = [names::EFFECT, &effect.key, &effect.body];
            self.arguments.extend(words.map(Word::Bytes));
        }
        self
    }
}

impl Word<'_> {
    fn write(&self, partition: u8, out: &mut Vec<u8>) {
        match self {
            Word::Bytes(bytes) => write_bytes(bytes, out),
            Word::Number(number) => write_number(number, out),
            Word::Signed(number) => write_number(number, out),
            Word::Stamp(stamp) => write_bytes(&stamp.to_bytes(), out),
            Word::Name(name, rest) => {
                let length = names::PREFIX + name.len() + rest.len();
                // Writing to memory does not fail.
                let _ = write!(out, "${length}\r\n");
                out.extend_from_slice(&names::prefix(partition));
                out.extend_from_slice(name.as_bytes());
                out.extend_from_slice(rest);
                out.extend_from_slice(b"\r\n");
            }
        }
    }
}

/// A number in decimal, as a byte string: at most 20 digits, and a sign.
fn write_number(number: &impl std::fmt::Display, out: &mut Vec<u8>) {
    let mut digits = [0; 21];
    let mut rest = &mut digits[..];
    // Writing a number that fits does not fail.
    let _ = write!(rest, "{number}");
    let left = rest.len();
    write_bytes(&digits[..21 - left], out);
}
