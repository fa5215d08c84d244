//! Answers: what a server of records sends back.
//!
//! | answer | RESP |
//! |---|---|
//! | done; full; unchanged | `+OK`; `+FULL`; `+UNCHANGED` |
//! | refused | an array of one: what lies there, or nil |
//! | record; found | byte string or nil |
//! | due | key, record, … |
//! | owned | where to go on (decimal, or empty), key, … |
//! | listed | where to go on (decimal, or empty), key, record, … |
//! | counted | 1; 0 |
//! | marks | engine, address, at, … |
//! | effects | number, key, body, … |

use std::str::FromStr;

use state::{Answer, Command, Effect, Key, Mark};

use crate::resp::{Value, write_array, write_bytes, write_integer, write_nil, write_status};

/// What came back is no answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Unread {
    /// The server refuses: the first word says the kind, as `MOVED`, `ASK`, `TRYAGAIN`, `CLUSTERDOWN`, `LOADING`, `READONLY`,
    /// `OOM`, `ERR`. A command that is refused had no effect.
    Error(Box<str>),
    /// No server of records answers like that.
    Strange,
}

/// Reads what a server sent back to this command.
pub fn read_answer(command: &Command, value: Value) -> Result<Answer, Unread> {
    if let Value::Error(text) = value {
        return Err(Unread::Error(text));
    }
    read(command, value).ok_or(Unread::Strange)
}

fn read(command: &Command, value: Value) -> Option<Answer> {
    match (command, value) {
        (Command::Peek { .. }, Value::Status(text)) => (&*text == "UNCHANGED").then_some(Answer::Unchanged),
        (Command::Peek { .. }, Value::Nil) => Some(Answer::Record(None)),
        (Command::Peek { .. }, Value::Bytes(record)) => Some(Answer::Record(Some(record))),
        (Command::Due(_), Value::Array(values)) => {
            let of = |[key, record]: [Value; 2]| Some((key_of(&bytes(key)?)?, bytes(record)?));
            Some(Answer::Due(each(values, of)?))
        }
        (Command::OwnedBy(_), Value::Array(values)) => {
            let mut values = values.into_iter();
            let next = bytes(values.next()?)?;
            let next = if next.is_empty() { None } else { Some(number(&next)?) };
            let keys = values.map(|key| key_of(&bytes(key)?)).collect::<Option<_>>()?;
            Some(Answer::Owned { keys, next })
        }
        (Command::List(_), Value::Array(mut values)) => {
            let records = values.split_off(values.len().min(1));
            let next = bytes(values.pop()?)?;
            let next = if next.is_empty() { None } else { Some(number(&next)?) };
            let of = |[key, record]: [Value; 2]| Some((key_of(&bytes(key)?)?, bytes(record)?));
            Some(Answer::Listed { records: each(records, of)?, next })
        }
        (Command::Find { .. }, Value::Nil) => Some(Answer::Found(None)),
        (Command::Find { .. }, Value::Bytes(key)) => Some(Answer::Found(Some(key_of(&key)?))),
        (Command::Count { .. }, Value::Integer(counts @ 0..=1)) => Some(Answer::Counted(counts == 1)),
        (Command::Count { .. }, Value::Status(text)) => (&*text == "FULL").then_some(Answer::Full),
        (Command::Mark(_), Value::Array(values)) => {
            let of = |[engine, address, at]: [Value; 3]| {
                let (engine, at) = (number(&bytes(engine)?)?, number(&bytes(at)?)?);
                Some(Mark { engine, address: bytes(address)?, at })
            };
            let mut marks = each(values, of)?;
            marks.sort_by_key(|mark| mark.engine);
            Some(Answer::Marks(marks))
        }
        (Command::Drain { .. }, Value::Array(values)) => {
            let of = |[at, key, body]: [Value; 3]| {
                Some((number(&bytes(at)?)?, Effect { key: bytes(key)?, body: bytes(body)? }))
            };
            Some(Answer::Effects(each(values, of)?))
        }
        (Command::Create(_), Value::Status(text)) if &*text == "FULL" => Some(Answer::Full),
        (_, Value::Status(text)) if writes(command) => (&*text == "OK").then_some(Answer::Done),
        (_, Value::Array(values)) if writes(command) => {
            let [there] = <[Value; 1]>::try_from(values).ok()?;
            Some(Answer::Refused(if there == Value::Nil { None } else { Some(bytes(there)?) }))
        }
        _ => None,
    }
}

/// Whether the answer is that it was done, or refused.
fn writes(command: &Command) -> bool {
    match command {
        Command::Create(_) | Command::Put(_) | Command::Del(_) => true,
        Command::Wake { .. } | Command::Drained { .. } => true,
        Command::Peek { .. } | Command::Due(_) | Command::OwnedBy(_) | Command::List(_) => false,
        Command::Find { .. } | Command::Count { .. } | Command::Mark(_) | Command::Drain { .. } => false,
    }
}

fn bytes(value: Value) -> Option<Box<[u8]>> {
    if let Value::Bytes(bytes) = value { Some(bytes) } else { None }
}

fn key_of(bytes: &[u8]) -> Option<Key> {
    bytes.try_into().ok().map(Key)
}

fn number<T: FromStr>(bytes: &[u8]) -> Option<T> {
    std::str::from_utf8(bytes).ok()?.parse().ok()
}

/// Reads values that come in groups of `N`.
fn each<T, const N: usize>(values: Vec<Value>, of: impl Fn([Value; N]) -> Option<T>) -> Option<Vec<T>> {
    if !values.len().is_multiple_of(N) {
        return None;
    }
    let mut values = values.into_iter();
    let mut all = Vec::with_capacity(values.len() / N);
    while values.len() > 0 {
        let group = std::array::from_fn(|_| values.next().unwrap_or(Value::Nil));
        all.push(of(group)?);
    }
    Some(all)
}

/// Writes an answer as [`read_answer`] reads it.
pub fn write_answer(answer: &Answer, out: &mut Vec<u8>) {
    match answer {
        Answer::Done => write_status("OK", out),
        Answer::Full => write_status("FULL", out),
        Answer::Unchanged => write_status("UNCHANGED", out),
        Answer::Refused(there) => {
            write_array(1, out);
            write_or_nil(there.as_deref(), out);
        }
        Answer::Record(record) => write_or_nil(record.as_deref(), out),
        Answer::Found(key) => write_or_nil(key.as_ref().map(|key| &key.0[..]), out),
        Answer::Due(records) => {
            write_array(records.len() * 2, out);
            for (key, record) in records {
                write_bytes(&key.0, out);
                write_bytes(record, out);
            }
        }
        Answer::Owned { keys, next } => {
            write_array(1 + keys.len(), out);
            write_bytes(next.map(|next| next.to_string()).unwrap_or_default().as_bytes(), out);
            keys.iter().for_each(|key| write_bytes(&key.0, out));
        }
        Answer::Listed { records, next } => {
            write_array(1 + records.len() * 2, out);
            write_bytes(next.map(|next| next.to_string()).unwrap_or_default().as_bytes(), out);
            for (key, record) in records {
                write_bytes(&key.0, out);
                write_bytes(record, out);
            }
        }
        Answer::Counted(counts) => write_integer(i64::from(*counts), out),
        Answer::Marks(marks) => {
            write_array(marks.len() * 3, out);
            for mark in marks {
                write_bytes(mark.engine.to_string().as_bytes(), out);
                write_bytes(&mark.address, out);
                write_bytes(mark.at.to_string().as_bytes(), out);
            }
        }
        Answer::Effects(effects) => {
            write_array(effects.len() * 3, out);
            for (number, effect) in effects {
                write_bytes(number.to_string().as_bytes(), out);
                write_bytes(&effect.key, out);
                write_bytes(&effect.body, out);
            }
        }
    }
}

fn write_or_nil(bytes: Option<&[u8]>, out: &mut Vec<u8>) {
    match bytes {
        Some(bytes) => write_bytes(bytes, out),
        None => write_nil(out),
    }
}
