//! All connections of one worker on one epoll: what [`state::links`] has opened, closed and written.

use std::collections::BTreeMap;
use std::io;
use std::os::fd::{AsRawFd as _, RawFd};

use base::Duration;
use mio::{Events, Poll, Token};
use state::links::{Link, Role, Wires, Words};

use super::greeting::{Greeting, Login};
use super::socket::{Phase, Socket};
use crate::resp::{Value, write_words};
use crate::wire::write_command;

/// Connections that are looked at in one turn; the others keep the descriptor readable.
const EVENTS_MAX: usize = 64;

pub(super) struct Sockets {
    poll: Poll,
    events: Events,
    login: Login,
    sockets: BTreeMap<Link, Socket>,
    /// Connections that broke while something was written to them.
    pub(super) broken: Vec<Link>,
    /// The newest reason for a connection that was not made or was lost.
    pub(super) trouble: Option<Box<str>>,
}

/// What has come on a connection.
pub(super) enum News {
    /// It takes commands; the life of its node.
    Up(u64),
    Value(Value),
}

impl Sockets {
    pub(super) fn new(login: Login) -> io::Result<Sockets> {
        Ok(Sockets {
            poll: Poll::new()?,
            events: Events::with_capacity(EVENTS_MAX),
            login,
            sockets: BTreeMap::new(),
            broken: Vec::new(),
            trouble: None,
        })
    }

    pub(super) fn source(&self) -> RawFd {
        self.poll.as_raw_fd()
    }

    /// The connections where something may be done, without waiting.
    pub(super) fn ready(&mut self) -> io::Result<Vec<Link>> {
        match self.poll.poll(&mut self.events, Some(Duration::ZERO)) {
            Err(error) if error.kind() != io::ErrorKind::Interrupted => return Err(error),
            _ => {}
        }
        Ok(self.events.iter().map(|event| link(event.token())).collect())
    }

    /// Goes on with a connection: false when it has nothing more to say. `take` is given what it says; `None` of `expected`
    /// keeps the value for the second one that belongs to it.
    pub(super) fn go_on(&mut self, link: Link, take: &mut impl FnMut(&mut Socket, News)) -> io::Result<()> {
        let Some(socket) = self.sockets.get_mut(&link) else { return Ok(()) };
        if let Phase::Connecting = socket.phase {
            if !socket.is_connected()? {
                return Ok(());
            }
            let with_functions = link.role == Role::Reader;
            socket.phase = Phase::Greeting(Greeting::write(&self.login, with_functions, &mut socket.out));
        }
        socket.send()?;
        loop {
            while let Some(value) = socket.value()? {
                match &mut socket.phase {
                    Phase::Greeting(greeting) => {
                        let refused = |text: Box<str>| io::Error::other(String::from(text));
                        if let Some(life) = greeting.heard(&value).map_err(refused)? {
                            socket.phase = Phase::Up;
                            take(socket, News::Up(life));
                        }
                    }
                    Phase::Connecting | Phase::Up => take(socket, News::Value(value)),
                }
            }
            if !socket.receive()? {
                return Ok(());
            }
        }
    }

    /// A connection is gone.
    pub(super) fn remove(&mut self, link: Link, why: &io::Error) {
        if let Some(socket) = self.sockets.remove(&link) {
            self.trouble = Some(format!("{}: {why}", socket.address).into());
        }
    }
}

impl Wires for Sockets {
    fn open(&mut self, link: Link, address: &str) -> bool {
        match Socket::connect(address, self.poll.registry(), token(link)) {
            Ok(socket) => {
                self.sockets.insert(link, socket);
                true
            }
            Err(error) => {
                self.trouble = Some(format!("{address}: {error}").into());
                false
            }
        }
    }

    fn close(&mut self, link: Link) {
        self.sockets.remove(&link);
    }

    fn write(&mut self, link: Link, words: Words<'_>) {
        let Some(Socket { out, .. }) = self.sockets.get_mut(&link) else { return };
        match words {
            Words::Command { partition, command } => write_command(partition, command, out),
            Words::Wait { replicas, millis } => {
                let (replicas, millis) = (replicas.to_string(), millis.to_string());
                write_words(&[b"WAIT", replicas.as_bytes(), millis.as_bytes()], out);
            }
            Words::Progress => write_words(&[b"ROLE"], out),
            Words::Look => {
                write_words(&[b"CLUSTER", b"NODES"], out);
                write_words(&[b"INFO", b"replication"], out);
            }
            Words::Time => write_words(&[b"TIME"], out),
        }
    }

    fn flush(&mut self, link: Link) {
        let Some(socket) = self.sockets.get_mut(&link) else { return };
        if let Err(error) = socket.send() {
            self.remove(link, &error);
            self.broken.push(link);
        }
    }
}

const ROLES: usize = Role::ALL.len();

fn token(link: Link) -> Token {
    Token(link.node as usize * ROLES + link.role as usize)
}

fn link(token: Token) -> Link {
    Link { node: (token.0 / ROLES) as u32, role: Role::ALL[token.0 % ROLES] }
}
