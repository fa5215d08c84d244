//! Reads a command from words that anybody may have sent.

use std::collections::VecDeque;
use std::fmt;
use std::str::FromStr;

use state::{Also, Command, Create, Del, Due, Effect, Key, List, Mark, Millis, OwnedBy, Put, Stamp};

use super::names::{self, TIME_MAX};

/// The words are no command; nothing was done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BadCommand {
    /// No function has this name.
    Function,
    /// The number of names is none, or the names are not those that the function takes.
    Names,
    /// The names lie in several partitions, or the record in another one than its name says.
    Partition,
    /// There are too many or too few arguments, or one of them is not what the function takes.
    Arguments,
    /// A time lies beyond [`TIME_MAX`].
    Time,
}

impl fmt::Display for BadCommand {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            BadCommand::Function => "ERR Function not found",
            BadCommand::Names => "ERR the names of the call are not those of the function",
            BadCommand::Partition => "CROSSSLOT the names of the call lie in several partitions",
            BadCommand::Arguments => "ERR an argument is not what the function takes",
            BadCommand::Time => "ERR a time is later than 2^53",
        })
    }
}

impl std::error::Error for BadCommand {}

type Word = Box<[u8]>;

/// Reads `FCALL function number names… arguments…`, and says for which partition it is.
pub fn read_command(words: Vec<Word>) -> Result<(u8, Command), BadCommand> {
    let mut words = VecDeque::from(words);
    let _fcall = words.pop_front();
    let function = words.pop_front().ok_or(BadCommand::Function)?;
    let function = names::FUNCTIONS.into_iter().find(|known| known.as_bytes() == &*function);
    let function = function.ok_or(BadCommand::Function)?;
    let count = words.pop_front().and_then(|word| number::<usize>(&word)).ok_or(BadCommand::Names)?;
    if count == 0 || count > words.len() {
        return Err(BadCommand::Names);
    }
    let listed: Vec<Word> = words.drain(..count).collect();
    let (partition, _) = names::split(&listed[0]).ok_or(BadCommand::Names)?;
    let of_partition = |name: &Word| names::split(name).is_some_and(|(other, _)| other == partition);
    if !listed.iter().all(of_partition) {
        return Err(BadCommand::Partition);
    }
    let mut arguments = Arguments { words, key: None };
    let first = listed.into_iter().next().unwrap_or_default();
    let rest = &first[names::PREFIX..];
    let poll = match function {
        names::COUNT => Some(rest.strip_prefix(names::VOTES.as_bytes()).ok_or(BadCommand::Names)?),
        names::DUE | names::OWNED_BY | names::LIST => named(rest, names::WAKEUPS)?,
        names::FIND => named(rest, names::NAMES)?,
        names::MARK => named(rest, names::MARKS)?,
        names::DRAIN | names::DRAINED => named(rest, names::OUT)?,
        _ => {
            let key = rest.strip_prefix(names::RECORD.as_bytes()).ok_or(BadCommand::Names)?;
            let key = Key(key.try_into().map_err(|_| BadCommand::Names)?);
            if key.partition() != partition {
                return Err(BadCommand::Partition);
            }
            arguments.key = Some(key);
            None
        }
    };
    let command = arguments.command(function, poll)?;
    if arguments.words.is_empty() { Ok((partition, command)) } else { Err(BadCommand::Arguments) }
}

/// No poll, if the name is the right one.
fn named<'a>(rest: &[u8], name: &str) -> Result<Option<&'a [u8]>, BadCommand> {
    if rest == name.as_bytes() { Ok(None) } else { Err(BadCommand::Names) }
}

struct Arguments {
    words: VecDeque<Word>,
    key: Option<Key>,
}

impl Arguments {
    fn command(&mut self, function: &str, poll: Option<&[u8]>) -> Result<Command, BadCommand> {
        Ok(match function {
            names::CREATE => {
                let (wake, record) = (self.time()?, self.word()?);
                Command::Create(Create { key: self.key()?, record, wake, also: self.also()? })
            }
            names::PUT => {
                let (expected, record) = (self.stamp()?, self.word()?);
                let wake = if self.has(names::WAKE_AT) { Some(self.time()?) } else { None };
                Command::Put(Put { key: self.key()?, expected, record, wake, also: self.also()? })
            }
            names::DEL => {
                let expected = self.stamp()?;
                let tombstone = if self.has(names::TOMBSTONE) { Some(self.word()?) } else { None };
                Command::Del(Del { key: self.key()?, expected, tombstone, also: self.also()? })
            }
            names::PEEK => {
                let cached = if self.words.is_empty() { None } else { Some(self.stamp()?) };
                Command::Peek { key: self.key()?, cached }
            }
            names::WAKE => Command::Wake { key: self.key()?, expected: self.stamp()?, at: self.time()? },
            names::DUE => {
                let (now, lease) = self.leased()?;
                Command::Due(Due { now, lease, limit: self.number()? })
            }
            names::OWNED_BY => {
                let (engine, after, until) = (self.number()?, self.time()?, self.time()?);
                Command::OwnedBy(OwnedBy { engine, after, until, limit: self.number()? })
            }
            names::LIST => Command::List(List { after: self.time()?, limit: self.number()? }),
            names::FIND => Command::Find { name: self.word()? },
            names::COUNT => {
                let poll = poll.ok_or(BadCommand::Names)?.into();
                Command::Count { poll, choice: self.word()?, voter: self.word()? }
            }
            names::MARK => {
                Command::Mark(Mark { engine: self.number()?, address: self.word()?, at: self.time()? })
            }
            names::DRAIN => {
                let engine = self.number()?;
                let (now, lease) = self.leased()?;
                Command::Drain { engine, now, lease, limit: self.number()? }
            }
            names::DRAINED => Command::Drained { engine: self.number()?, last: self.number()? },
            _ => return Err(BadCommand::Function),
        })
    }

    fn key(&self) -> Result<Key, BadCommand> {
        self.key.ok_or(BadCommand::Names)
    }

    fn word(&mut self) -> Result<Word, BadCommand> {
        self.words.pop_front().ok_or(BadCommand::Arguments)
    }

    /// Takes the next word, if it is this one.
    fn has(&mut self, word: &[u8]) -> bool {
        let has = self.words.front().is_some_and(|next| **next == *word);
        if has {
            self.words.pop_front();
        }
        has
    }

    fn number<T: FromStr>(&mut self) -> Result<T, BadCommand> {
        number(&self.word()?).ok_or(BadCommand::Arguments)
    }

    fn time(&mut self) -> Result<Millis, BadCommand> {
        let time = self.number()?;
        if time <= TIME_MAX { Ok(time) } else { Err(BadCommand::Time) }
    }

    /// A time and a lease, which ends in time too.
    fn leased(&mut self) -> Result<(Millis, Millis), BadCommand> {
        let (now, lease) = (self.time()?, self.time()?);
        if now + lease <= TIME_MAX { Ok((now, lease)) } else { Err(BadCommand::Time) }
    }

    fn stamp(&mut self) -> Result<Stamp, BadCommand> {
        let word = self.word()?;
        let bytes = word.as_ref().try_into().map_err(|_| BadCommand::Arguments)?;
        Ok(Stamp::from_bytes(bytes))
    }

    fn also(&mut self) -> Result<Also, BadCommand> {
        let mut also = Also::default();
        if self.has(names::COUNTER) {
            also.counter = Some((self.word()?, self.signed()?));
        }
        if self.has(names::NAME) {
            also.name = Some(self.word()?);
        }
        while self.has(names::EFFECT) {
            also.effects.push(Effect { key: self.word()?, body: self.word()? });
        }
        Ok(also)
    }

    fn signed(&mut self) -> Result<i64, BadCommand> {
        let word = self.word()?;
        let digits = word.strip_prefix(b"-").unwrap_or(&word);
        let text = std::str::from_utf8(&word).ok().filter(|_| plain(digits));
        text.and_then(|text| text.parse().ok()).ok_or(BadCommand::Arguments)
    }
}

/// A number that is written as a server of records writes it: Lua would take others too.
fn number<T: FromStr>(word: &[u8]) -> Option<T> {
    std::str::from_utf8(word).ok().filter(|_| plain(word))?.parse().ok()
}

/// Digits, the first of several not zero.
fn plain(digits: &[u8]) -> bool {
    !digits.is_empty() && digits.iter().all(u8::is_ascii_digit) && (digits.len() == 1 || digits[0] != b'0')
}
