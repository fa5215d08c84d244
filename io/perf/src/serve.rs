//! The server socket of "get data" (SPEC B3, FIG. 13): persistent connections. Each query is answered from the kept figures,
//! and every client that has asked before gets notifications. Connections are bounded in number, in unread bytes, and in the
//! time without a question.

use std::io::{self, ErrorKind, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::fd::AsRawFd;

use base::{Duration, Time};
use heartbeat::Ignored;
use heartbeat::stream::{Frame, FrameReader};

/// Clients of an agent: a performance server, perhaps a second one, load managers that poll by themselves, an operator.
pub const CONNECTIONS_MAX: usize = 64;
/// A connection without a question for this long is closed. Polls come at least once a minute.
const IDLE_MAX: Duration = Duration::from_secs(180);
/// A new connection must have asked within this time; a frame must be complete within this time.
const PATIENCE: Duration = Duration::from_secs(5);
/// An answer for the largest farm has some 750 KB. A client that leaves more unread does not read.
const UNREAD_BYTES_MAX: usize = 1024 * 1024;
/// Bytes read from one connection in one turn.
const READ_BYTES_MAX: usize = 16 * 1024;
/// Connections accepted in one turn.
const ACCEPT_MAX: usize = 16;

/// The counts of connections and queries.
#[derive(Clone, Copy, Debug, Default)]
pub struct Counts {
    pub connections: u64,
    /// Refused because there were [`CONNECTIONS_MAX`].
    pub connections_refused: u64,
    /// Closed because they were silent, slow, or did not read.
    pub connections_given_up: u64,
    pub answered: u64,
    pub notified: u64,
    /// Frames that were not believed, by reason; each ended its connection.
    pub ignored: [u64; Ignored::ALL.len()],
}

#[derive(Debug)]
struct Connection {
    stream: TcpStream,
    reader: FrameReader,
    unsent: Vec<u8>,
    /// The connection is closed at this time.
    until: Time,
    /// The client has sent a good query: it gets notifications.
    asked: bool,
}

/// See the head of this module.
#[derive(Debug)]
pub struct Server {
    listener: TcpListener,
    connections: Vec<Connection>,
    pub counts: Counts,
}

impl Server {
    pub fn open(address: SocketAddr) -> io::Result<Server> {
        Server::over(TcpListener::bind(address)?)
    }

    /// At a socket that is there already.
    pub fn over(listener: TcpListener) -> io::Result<Server> {
        listener.set_nonblocking(true)?;
        Ok(Server { listener, connections: Vec::new(), counts: Counts::default() })
    }

    pub fn address(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    pub fn connections(&self) -> usize {
        self.connections.len()
    }

    /// The descriptors for the poll.
    pub fn watch(&self, fds: &mut Vec<libc::pollfd>) {
        fds.push(os::poll::watched(self.listener.as_raw_fd(), libc::POLLIN));
        for connection in &self.connections {
            let out = if connection.unsent.is_empty() { 0 } else { libc::POLLOUT };
            fds.push(os::poll::watched(connection.stream.as_raw_fd(), libc::POLLIN | out));
        }
    }

    /// The time when [`Server::turn`] has something to do.
    pub fn next_deadline(&self) -> Option<Time> {
        self.connections.iter().map(|connection| connection.until).min()
    }

    /// Accepts connections, reads queries, writes answers, and closes clients that are too slow. `answer` makes the frames
    /// of an answer from the query's nonce. Never waits.
    pub fn turn(&mut self, now: Time, key: Option<&[u8]>, mut answer: impl FnMut(u64) -> Vec<u8>) {
        self.accept(now);
        let counts = &mut self.counts;
        self.connections.retain_mut(|connection| match connection.turn(now, key, &mut answer, counts) {
            Ok(()) if now < connection.until => true,
            Ok(()) => {
                counts.connections_given_up += 1;
                false
            }
            Err(Closed::Gone) => false,
            Err(Closed::NotReading) => {
                counts.connections_given_up += 1;
                false
            }
            Err(Closed::Ignored(reason)) => {
                counts.ignored[reason.index()] += 1;
                false
            }
        });
    }

    /// Sends a frame to every client that has asked before (the notification loop).
    pub fn notify(&mut self, frame: &[u8]) {
        for connection in self.connections.iter_mut().filter(|connection| connection.asked) {
            connection.unsent.extend_from_slice(frame);
            // A failed send shows in the next turn.
            let _ = connection.send();
            self.counts.notified += 1;
        }
    }

    fn accept(&mut self, now: Time) {
        for _ in 0..ACCEPT_MAX {
            let Ok((stream, _)) = self.listener.accept() else { return };
            if self.connections.len() >= CONNECTIONS_MAX || stream.set_nonblocking(true).is_err() {
                self.counts.connections_refused += 1;
                continue;
            }
            let _ = stream.set_nodelay(true);
            self.counts.connections += 1;
            self.connections.push(Connection {
                stream,
                reader: FrameReader::default(),
                unsent: Vec::new(),
                until: now + PATIENCE,
                asked: false,
            });
        }
    }
}

/// Why a connection ends.
enum Closed {
    Gone,
    NotReading,
    Ignored(Ignored),
}

impl Connection {
    fn turn(
        &mut self,
        now: Time,
        key: Option<&[u8]>,
        answer: &mut impl FnMut(u64) -> Vec<u8>,
        counts: &mut Counts,
    ) -> Result<(), Closed> {
        self.send()?;
        let mut buffer = [0; 2048];
        let mut left = READ_BYTES_MAX;
        while left > 0 {
            let length = match self.stream.read(&mut buffer) {
                Ok(0) => return Err(Closed::Gone),
                Ok(length) => length,
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(_) => return Err(Closed::Gone),
            };
            left = left.saturating_sub(length);
            let began = !self.reader.is_within_frame();
            self.reader.push(&buffer[..length]);
            let mut ended = false;
            while let Some(datagram) = self.reader.next().map_err(Closed::Ignored)? {
                match Frame::decode(datagram, key) {
                    Ok(Frame::Query(query)) => self.unsent.extend(answer(query.nonce)),
                    // Clients send only queries.
                    Ok(Frame::Heartbeat(_) | Frame::End(_)) => {
                        return Err(Closed::Ignored(Ignored::WrongProtocol));
                    }
                    Err(reason) => return Err(Closed::Ignored(reason)),
                }
                (ended, self.asked) = (true, true);
                counts.answered += 1;
                if self.unsent.len() > UNREAD_BYTES_MAX {
                    return Err(Closed::NotReading);
                }
            }
            match self.reader.is_within_frame() {
                false if ended => self.until = now + IDLE_MAX,
                // The time of a frame begins with its first byte; further bytes do not prolong it.
                true if began || ended => self.until = self.until.min(now + PATIENCE),
                true | false => {}
            }
        }
        self.send()
    }

    fn send(&mut self) -> Result<(), Closed> {
        while !self.unsent.is_empty() {
            match self.stream.write(&self.unsent) {
                Ok(0) => return Err(Closed::Gone),
                Ok(sent) => drop(self.unsent.drain(..sent)),
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(_) => return Err(Closed::Gone),
            }
        }
        if self.unsent.len() > UNREAD_BYTES_MAX { Err(Closed::NotReading) } else { Ok(()) }
    }
}
