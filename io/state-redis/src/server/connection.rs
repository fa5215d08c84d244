//! A connection to a server of records: what has come in and is not executed yet, and what has not left yet.

use std::io::{self, ErrorKind, Read, Write};

use mio::net::UnixStream;
use mio::{Interest, Registry, Token};

use super::commands;
use super::store::Store;
use crate::resp::{Limits, Malformed, Reader, write_error};

/// Answers that wait until nothing more is executed for a client that does not read. A larger answer is held whole.
const OUT_BYTES_MAX: usize = 1 << 20;
/// A buffer above this size is given back when it is empty.
const KEPT_BYTES: usize = 64 << 10;
/// Words of a command: a del with thousands of effects.
const WORDS_MAX: usize = 16 << 10;

#[derive(Debug)]
pub(super) struct Connection {
    stream: UnixStream,
    reader: Reader,
    out: Vec<u8>,
    written: usize,
    readable: bool,
    /// The last answer says why; nothing more is read.
    ends: bool,
}

/// What a turn came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Progress {
    /// For the client.
    Waits,
    HasMore,
    Gone,
}

impl Connection {
    pub(super) fn new(stream: UnixStream, command_bytes_max: usize) -> Connection {
        // A command is one array of words.
        let limits = Limits { bytes_max: command_bytes_max, values_max: WORDS_MAX, depth_max: 1 };
        Connection {
            stream,
            reader: Reader::new(limits),
            out: Vec::new(),
            written: 0,
            readable: true,
            ends: false,
        }
    }

    /// Tells a client that there are too many. It is not read from, so a client that writes first may not see it.
    pub(super) fn turn_away(mut stream: UnixStream) {
        // If it does not take the line at once, it learns by the close.
        let _ = stream.write(b"-ERR max number of clients reached\r\n");
    }

    pub(super) fn register(&mut self, registry: &Registry, token: Token) -> io::Result<()> {
        registry.register(&mut self.stream, token, Interest::READABLE | Interest::WRITABLE)
    }

    /// The epoll has news.
    pub(super) fn note(&mut self, readable: bool) {
        self.readable |= readable;
    }

    /// Executes what there is, reads one piece, executes that, and writes the answers.
    pub(super) fn turn(&mut self, store: &mut Store, piece: &mut [u8]) -> Progress {
        match self.try_turn(store, piece) {
            Ok(progress) => progress,
            Err(_) => Progress::Gone,
        }
    }

    fn try_turn(&mut self, store: &mut Store, piece: &mut [u8]) -> io::Result<Progress> {
        let mut pieces = 0;
        loop {
            let all = self.execute(store);
            if !self.write()? {
                return Ok(Progress::Waits);
            }
            if self.ends {
                return Ok(Progress::Gone);
            }
            if !all {
                continue;
            }
            if !self.readable {
                self.rest();
                return Ok(Progress::Waits);
            }
            if pieces == 1 {
                return Ok(Progress::HasMore);
            }
            match self.stream.read(piece) {
                Ok(0) => return Ok(Progress::Gone),
                Ok(length) => {
                    // A stream that gave less than it was asked for is empty now; more comes with an event.
                    self.readable = length == piece.len();
                    self.reader.feed(&piece[..length]);
                    pieces += 1;
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => self.readable = false,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// False: there is more, but the client must first take what it has.
    fn execute(&mut self, store: &mut Store) -> bool {
        while !self.ends && self.out.len() - self.written < OUT_BYTES_MAX {
            match self.reader.read() {
                Ok(Some(value)) => match value.into_words() {
                    Some(words) => commands::execute(words, store, &mut self.out),
                    None => self.end("ERR Protocol error: a command is an array of byte strings"),
                },
                Ok(None) => return true,
                Err(Malformed::TooLong) => self.end("ERR Protocol error: the command is too long"),
                Err(_) => self.end("ERR Protocol error: this is not RESP"),
            }
        }
        self.ends
    }

    fn end(&mut self, why: &str) {
        write_error(why, &mut self.out);
        self.ends = true;
    }

    /// False: the client does not take more now.
    fn write(&mut self) -> io::Result<bool> {
        while self.written < self.out.len() {
            match self.stream.write(&self.out[self.written..]) {
                Ok(length) => self.written += length,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(false),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        self.out.clear();
        self.written = 0;
        Ok(true)
    }

    fn rest(&mut self) {
        if self.out.capacity() > KEPT_BYTES {
            self.out = Vec::new();
        }
        self.reader.shrink(KEPT_BYTES);
    }
}
