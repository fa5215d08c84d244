//! A connection to a server of records that waits for each answer.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::{Duration, Instant};

use state::{Answer, Command};

use super::{PARTITION, Server};
use crate::resp::{Limits, Reader, Value, write_words};
use crate::wire::{Unread, read_answer, write_command};

pub(crate) struct Client {
    stream: UnixStream,
    reader: Reader,
}

impl Client {
    /// Tries for ten seconds: a server that starts is not there at once.
    pub(crate) fn connect(socket: &Path) -> Client {
        let begin = Instant::now();
        loop {
            match UnixStream::connect(socket) {
                Ok(stream) => {
                    stream.set_read_timeout(Some(Duration::from_secs(10))).expect("a timeout");
                    return Client { stream, reader: Reader::new(Limits::REPLIES) };
                }
                Err(error) if begin.elapsed() > Duration::from_secs(10) => {
                    panic!("no server at {}: {error}", socket.display())
                }
                Err(_) => std::thread::sleep(Duration::from_millis(5)),
            }
        }
    }

    pub(crate) fn call(&mut self, words: &[&[u8]]) -> Value {
        let mut bytes = Vec::new();
        write_words(words, &mut bytes);
        self.send(&bytes)
    }

    pub(crate) fn send(&mut self, bytes: &[u8]) -> Value {
        self.stream.write_all(bytes).expect("a server that reads");
        self.value()
    }

    /// The next value.
    pub(crate) fn value(&mut self) -> Value {
        let mut piece = [0; 1 << 16];
        loop {
            if let Some(value) = self.reader.read().expect("RESP") {
                return value;
            }
            let length = self.stream.read(&mut piece).expect("an answer");
            assert!(length > 0, "the server closed the connection");
            self.reader.feed(&piece[..length]);
        }
    }

    /// Forty digits that change with anything that the server holds.
    pub(crate) fn digest(&mut self) -> Box<str> {
        match self.call(&[b"DEBUG", b"DIGEST"]) {
            Value::Status(digest) => digest,
            other => panic!("{other:?}"),
        }
    }

    /// The same connection, for bytes.
    pub(crate) fn stream(&self) -> UnixStream {
        self.stream.try_clone().expect("a descriptor")
    }

    /// The answer of a server that has one.
    pub(crate) fn ask(&mut self, command: &Command) -> Answer {
        self.ask_in(PARTITION, command)
    }

    pub(crate) fn ask_in(&mut self, partition: u8, command: &Command) -> Answer {
        self.try_ask(partition, command).unwrap_or_else(|failure| panic!("{failure:?} to {command:?}"))
    }

    fn try_ask(&mut self, partition: u8, command: &Command) -> Result<Answer, Unread> {
        let mut bytes = Vec::new();
        write_command(partition, command, &mut bytes);
        let value = self.send(&bytes);
        read_answer(command, value)
    }

    fn number(&mut self, name: &[u8], field: &[u8]) -> i64 {
        let name = [b"{p3f}", name].concat();
        match self.call(&[b"HGET", &name, field]) {
            Value::Nil => 0,
            Value::Bytes(digits) => String::from_utf8_lossy(&digits).parse().expect("a number"),
            other => panic!("{other:?}"),
        }
    }
}

impl Server for Client {
    fn apply(&mut self, command: &Command) -> Result<Answer, Unread> {
        self.try_ask(PARTITION, command)
    }

    fn counter(&mut self, name: &[u8]) -> i64 {
        self.number(b"counters", name)
    }

    fn votes(&mut self, poll: &[u8], choice: &[u8]) -> u64 {
        self.number(&[b"choices:", poll].concat(), choice).unsigned_abs()
    }
}
