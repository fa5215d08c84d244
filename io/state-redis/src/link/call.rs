//! A connection that waits for each answer, for the start of an engine.

use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::os::unix::net::UnixStream;

use base::Duration;

use super::address::Place;
use super::greeting::Login;
use crate::resp::{Limits, Reader, Value, write_words};

/// A node that says nothing for so long is not there.
const PATIENCE: Duration = Duration::from_secs(2);
const PIECE: usize = 1 << 16;

trait Stream: Read + Write {}

impl Stream for UnixStream {}
impl Stream for TcpStream {}

pub(super) struct Call {
    address: Box<str>,
    stream: Box<dyn Stream>,
    reader: Reader,
}

impl Call {
    pub(super) fn connect(address: &str, login: &Login) -> io::Result<Call> {
        let stream =
            open(address).map_err(|error| io::Error::new(error.kind(), format!("{address}: {error}")))?;
        let mut call = Call { address: address.into(), stream, reader: Reader::new(Limits::REPLIES) };
        let mut out = Vec::new();
        if login.write(&mut out)
            && let Value::Error(text) = call.exchange(&out)?
        {
            return Err(call.error(io::ErrorKind::PermissionDenied, &text));
        }
        Ok(call)
    }

    pub(super) fn address(&self) -> &str {
        &self.address
    }

    /// An error of the node is a value.
    pub(super) fn call(&mut self, words: &[&[u8]]) -> io::Result<Value> {
        let mut out = Vec::new();
        write_words(words, &mut out);
        self.exchange(&out)
    }

    /// An error of the node is an error.
    pub(super) fn value(&mut self, words: &[&[u8]]) -> io::Result<Value> {
        let value = self.call(words)?;
        self.good(value)
    }

    /// The same for many commands, which leave together.
    pub(super) fn values(&mut self, commands: &[[&[u8]; 2]]) -> io::Result<Vec<Value>> {
        let mut out = Vec::new();
        commands.iter().for_each(|words| write_words(words, &mut out));
        let values = self.exchanges(&out, commands.len())?;
        values.into_iter().map(|value| self.good(value)).collect()
    }

    fn good(&self, value: Value) -> io::Result<Value> {
        match value {
            Value::Error(text) => Err(self.error(io::ErrorKind::Other, &text)),
            value => Ok(value),
        }
    }

    pub(super) fn error(&self, kind: io::ErrorKind, text: &str) -> io::Error {
        io::Error::new(kind, format!("{}: {text}", self.address))
    }

    pub(super) fn exchange(&mut self, bytes: &[u8]) -> io::Result<Value> {
        let value = self.exchanges(bytes, 1)?.pop();
        value.ok_or_else(|| self.error(io::ErrorKind::UnexpectedEof, "no answer"))
    }

    /// Writes commands, and reads so many answers.
    fn exchanges(&mut self, bytes: &[u8], count: usize) -> io::Result<Vec<Value>> {
        let values = self.try_exchanges(bytes, count);
        values.map_err(|error| self.error(error.kind(), &error.to_string()))
    }

    fn try_exchanges(&mut self, bytes: &[u8], count: usize) -> io::Result<Vec<Value>> {
        self.stream.write_all(bytes)?;
        let mut piece = [0; PIECE];
        let mut values = Vec::with_capacity(count);
        loop {
            match self.reader.read() {
                Ok(Some(Value::Push(_))) => continue,
                Ok(Some(value)) => {
                    values.push(value);
                    if values.len() == count {
                        return Ok(values);
                    }
                    continue;
                }
                Ok(None) => {}
                Err(malformed) => {
                    return Err(io::Error::new(io::ErrorKind::InvalidData, format!("{malformed:?}")));
                }
            }
            match self.stream.read(&mut piece)? {
                0 => return Err(io::ErrorKind::UnexpectedEof.into()),
                length => self.reader.feed(&piece[..length]),
            }
        }
    }
}

fn open(address: &str) -> io::Result<Box<dyn Stream>> {
    match Place::of(address).ok_or(io::ErrorKind::InvalidInput)? {
        Place::Unix(path) => {
            let stream = UnixStream::connect(path)?;
            stream.set_read_timeout(Some(PATIENCE))?;
            stream.set_write_timeout(Some(PATIENCE))?;
            Ok(Box::new(stream))
        }
        Place::Tcp(address) => {
            let stream = TcpStream::connect_timeout(&address, PATIENCE)?;
            stream.set_read_timeout(Some(PATIENCE))?;
            stream.set_write_timeout(Some(PATIENCE))?;
            Ok(Box::new(stream))
        }
    }
}
