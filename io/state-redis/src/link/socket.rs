//! One connection that never waits: bytes out, values in.

use std::io::{self, Read as _, Write as _};
use std::os::fd::{AsRawFd as _, RawFd};

use mio::net::{TcpStream, UnixStream};
use mio::{Interest, Registry, Token};

use super::address::Place;
use super::greeting::Greeting;
use crate::resp::{Limits, Reader, Value};

/// Bytes that are read at once.
const PIECE: usize = 1 << 16;
/// A buffer that one large piece has stretched beyond this is given back.
const OUT_KEPT: usize = 1 << 20;

enum Stream {
    Unix(UnixStream),
    Tcp(TcpStream),
}

/// How far a connection is.
pub(super) enum Phase {
    /// The system connects.
    Connecting,
    Greeting(Greeting),
    Up,
}

pub(super) struct Socket {
    stream: Stream,
    pub(super) phase: Phase,
    pub(super) address: Box<str>,
    /// What is written, and how much of it has left.
    pub(super) out: Vec<u8>,
    left: usize,
    reader: Reader,
    /// The earlier of two values that answer one question.
    pub(super) first: Option<Value>,
}

impl Socket {
    pub(super) fn connect(address: &str, registry: &Registry, token: Token) -> io::Result<Socket> {
        let mut socket = Socket::open(address)?;
        let both = Interest::READABLE | Interest::WRITABLE;
        match &mut socket.stream {
            Stream::Unix(stream) => registry.register(stream, token, both)?,
            Stream::Tcp(stream) => registry.register(stream, token, both)?,
        }
        Ok(socket)
    }

    /// Begins to connect, for one who watches the descriptor himself.
    pub(super) fn open(address: &str) -> io::Result<Socket> {
        let stream = match Place::of(address).ok_or(io::ErrorKind::InvalidInput)? {
            Place::Unix(path) => Stream::Unix(UnixStream::connect(path)?),
            Place::Tcp(address) => Stream::Tcp(TcpStream::connect(address)?),
        };
        Ok(Socket {
            stream,
            phase: Phase::Connecting,
            address: address.into(),
            out: Vec::new(),
            left: 0,
            reader: Reader::new(Limits::REPLIES),
            first: None,
        })
    }

    pub(super) fn fd(&self) -> RawFd {
        match &self.stream {
            Stream::Unix(stream) => stream.as_raw_fd(),
            Stream::Tcp(stream) => stream.as_raw_fd(),
        }
    }

    /// Whether something waits for the system to take it, or the system to connect.
    pub(super) fn waits(&self) -> bool {
        matches!(self.phase, Phase::Connecting) || self.left < self.out.len()
    }

    /// Whether the system has connected.
    pub(super) fn is_connected(&self) -> io::Result<bool> {
        let (error, peer) = match &self.stream {
            Stream::Unix(stream) => (stream.take_error()?, stream.peer_addr().map(drop)),
            Stream::Tcp(stream) => (stream.take_error()?, stream.peer_addr().map(drop)),
        };
        match (error, peer) {
            (Some(error), _) => Err(error),
            (None, Err(error)) if error.kind() == io::ErrorKind::NotConnected => Ok(false),
            (None, Err(error)) => Err(error),
            (None, Ok(())) => {
                if let Stream::Tcp(stream) = &self.stream {
                    // A piece is one write; the end of it must not wait for an acknowledgement of its beginning.
                    stream.set_nodelay(true)?;
                }
                Ok(true)
            }
        }
    }

    /// Sends as much as the system takes; the rest leaves when it takes more.
    pub(super) fn send(&mut self) -> io::Result<()> {
        while self.left < self.out.len() {
            let rest = &self.out[self.left..];
            let sent = match &mut self.stream {
                Stream::Unix(stream) => stream.write(rest),
                Stream::Tcp(stream) => stream.write(rest),
            };
            match sent {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(sent) => self.left += sent,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        self.left = 0;
        self.out.clear();
        if self.out.capacity() > OUT_KEPT {
            self.out.shrink_to(OUT_KEPT);
        }
        Ok(())
    }

    /// Reads once. False: nothing more has come.
    pub(super) fn receive(&mut self) -> io::Result<bool> {
        let mut piece = [0; PIECE];
        let length = match &mut self.stream {
            Stream::Unix(stream) => stream.read(&mut piece),
            Stream::Tcp(stream) => stream.read(&mut piece),
        };
        match length {
            Ok(0) => Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(length) => {
                self.reader.feed(&piece[..length]);
                Ok(true)
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(false),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => Ok(true),
            Err(error) => Err(error),
        }
    }

    /// The next value that has come whole. News that nobody asked for is passed over.
    pub(super) fn value(&mut self) -> io::Result<Option<Value>> {
        loop {
            match self.reader.read() {
                Ok(Some(Value::Push(_))) => {}
                Ok(value) => return Ok(value),
                Err(malformed) => {
                    let text = format!("{malformed:?} in an answer");
                    return Err(io::Error::new(io::ErrorKind::InvalidData, text));
                }
            }
        }
    }
}
