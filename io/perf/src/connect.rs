//! A stream that is opened without waiting: the poll says when it is writable, then [`Link::is_open`] says whether it is
//! open.

use std::io::{self, ErrorKind, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::os::fd::{AsRawFd, RawFd};

use socket2::{Domain, Protocol, Socket, Type};

/// Bytes read at once: one greedy place must not delay the others.
const READ_BYTES_MAX: usize = 64 * 1024;

/// Our end of a connection to a polled place.
#[derive(Debug)]
pub(crate) struct Link {
    stream: TcpStream,
    open: bool,
    /// The bytes still to be written: at most one question.
    pending: Vec<u8>,
}

impl Link {
    pub(crate) fn connect(to: SocketAddr) -> io::Result<Link> {
        let socket = Socket::new(Domain::for_address(to), Type::STREAM, Some(Protocol::TCP))?;
        socket.set_nonblocking(true)?;
        socket.set_tcp_nodelay(true)?;
        match socket.connect(&to.into()) {
            Ok(()) => {}
            Err(error) if error.raw_os_error() == Some(libc::EINPROGRESS) => {}
            Err(error) => return Err(error),
        }
        Ok(Link { stream: socket.into(), open: false, pending: Vec::new() })
    }

    pub(crate) fn fd(&self) -> RawFd {
        self.stream.as_raw_fd()
    }

    /// The events for the poll.
    pub(crate) fn events(&self) -> i16 {
        if self.open && self.pending.is_empty() { libc::POLLIN } else { libc::POLLIN | libc::POLLOUT }
    }

    /// Writes as soon as that is possible.
    pub(crate) fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.pending = bytes.to_vec();
        self.flush()
    }

    pub(crate) fn flush(&mut self) -> io::Result<()> {
        if !self.open && !self.is_open()? {
            return Ok(());
        }
        while !self.pending.is_empty() {
            match self.stream.write(&self.pending) {
                Ok(0) => return Err(ErrorKind::WriteZero.into()),
                Ok(written) => drop(self.pending.drain(..written)),
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    fn is_open(&mut self) -> io::Result<bool> {
        if let Some(error) = self.stream.take_error()? {
            return Err(error);
        }
        self.open = match self.stream.peer_addr() {
            Ok(_) => true,
            Err(error) if error.kind() == ErrorKind::NotConnected => false,
            Err(error) => return Err(error),
        };
        Ok(self.open)
    }

    /// Hands over the received bytes. `Ok(false)`: the other end closed the connection.
    pub(crate) fn read(&mut self, mut take: impl FnMut(&[u8])) -> io::Result<bool> {
        if !self.open {
            return Ok(true);
        }
        let mut buffer = [0; 4096];
        let mut left = READ_BYTES_MAX;
        while left > 0 {
            match self.stream.read(&mut buffer) {
                Ok(0) => return Ok(false),
                Ok(length) => {
                    take(&buffer[..length]);
                    left = left.saturating_sub(length);
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(true),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(true)
    }
}
