//! RESP, the protocol of Redis and Valkey: values, read as their bytes come in, and written.
//!
//! [`Reader`] takes bytes from a stranger. What it holds is bounded by its [`Limits`], and it does no work twice: an array that
//! is not complete yet goes on where it stopped.

mod reader;
#[cfg(test)]
mod tests;
mod write;

pub use reader::{Limits, Malformed, Reader};
pub use write::{write_array, write_bytes, write_error, write_integer, write_nil, write_status, write_words};

/// A value of RESP 2, or one of RESP 3 as RESP 2 would have it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value {
    Nil,
    /// A short text: `OK`, or a number of RESP 3 that is no integer.
    Status(Box<str>),
    /// What went wrong. The first word says the kind: `MOVED`, `OOM`, `ERR`.
    Error(Box<str>),
    /// Also a boolean of RESP 3.
    Integer(i64),
    Bytes(Box<[u8]>),
    /// Also a set, and a map: key and value in turn.
    Array(Vec<Value>),
    /// News that nobody asked for (RESP 3); no reply.
    Push(Vec<Value>),
}

impl Value {
    /// The words of a command. `None`: it is no array of byte strings, or an empty one.
    pub fn into_words(self) -> Option<Vec<Box<[u8]>>> {
        let Value::Array(values) = self else { return None };
        let word = |value| if let Value::Bytes(bytes) = value { Some(bytes) } else { None };
        values.into_iter().map(word).collect::<Option<Vec<_>>>().filter(|words| !words.is_empty())
    }
}
