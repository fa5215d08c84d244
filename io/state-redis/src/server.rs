//! A server of records on one machine: 256 partitions in memory behind RESP on a unix socket.
//!
//! It knows the calls of our functions without a library in Lua, and the few commands besides that engines send to a Redis
//! server. There is no replica and no file: engines may die, be killed or be replaced, and no call is lost; with this process
//! the calls are gone.
//!
//! One thread serves all connections from one epoll. The answers to what came in one piece leave in one write.

mod commands;
mod connection;
mod effects;
mod figures;
mod store;
#[cfg(test)]
pub(crate) mod tests;
mod values;

use std::io;
use std::os::fd::RawFd;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use mio::net::UnixListener;
use mio::unix::SourceFd;
use mio::{Events, Interest, Poll, Token};
use os::notify::Watchdog;

use connection::{Connection, Progress};
use effects::Carrier;
pub use figures::Figures;
use store::Store;

use crate::functions::EFFECTS_MAX;

/// What a server is given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// The socket. Only this user and root may connect.
    pub path: PathBuf,
    /// Bytes for records and all that belongs to them. From [`crate::functions::ROOM_PERCENT`] of it on, no call begins.
    pub memory_bytes: usize,
    /// From this number of effects on that wait in one partition, no call begins.
    pub effects_max: usize,
    /// Connections at a time. An engine has a few for each of its workers.
    pub clients_max: usize,
    /// Bytes of one command. A record has at most 64 KiB beside its effects.
    pub command_bytes_max: usize,
    /// The file to which effects are brought, a line of JSON each. `None`: they wait for an engine that fetches them.
    pub effects: Option<PathBuf>,
}

impl Settings {
    /// 1 GiB: a million calls.
    pub const MEMORY_BYTES: usize = 1 << 30;
    pub const CLIENTS_MAX: usize = 1024;
    pub const COMMAND_BYTES_MAX: usize = 1 << 20;

    pub fn new(path: &Path) -> Settings {
        Settings {
            path: path.to_owned(),
            memory_bytes: Settings::MEMORY_BYTES,
            effects_max: EFFECTS_MAX,
            clients_max: Settings::CLIENTS_MAX,
            command_bytes_max: Settings::COMMAND_BYTES_MAX,
            effects: None,
        }
    }
}

/// How long effects may wait before they are brought to the file: as engines look at their partitions, but sooner.
const EFFECTS_EVERY: Duration = Duration::from_millis(100);
/// Bytes that are read from a connection at a time, and executed before the next connection has its turn.
const PIECE_BYTES: usize = 64 << 10;

const LISTENER: Token = Token(0);
const STOP: Token = Token(1);
/// The token of the first connection.
const FIRST: usize = 2;

/// See the head of this module. The socket is removed when it is dropped.
#[derive(Debug)]
pub struct Server {
    settings: Settings,
    poll: Poll,
    listener: UnixListener,
    /// Connections, by their tokens; free places are taken again.
    connections: Vec<Option<Connection>>,
    free: Vec<usize>,
    /// Connections that have more to read than their turn allowed.
    again: Vec<usize>,
    store: Store,
    carrier: Option<Carrier>,
    piece: Box<[u8]>,
    /// Of the service manager.
    watchdog: Option<Watchdog>,
}

impl Server {
    /// Listens. Fails if another process serves this path, or the file of effects cannot be written.
    pub fn open(settings: Settings) -> io::Result<Server> {
        let carrier = settings.effects.as_deref().map(Carrier::open).transpose()?;
        let listener = os::unix::listen(&settings.path)?;
        listener.set_nonblocking(true)?;
        let mut listener = UnixListener::from_std(listener);
        let poll = Poll::new()?;
        poll.registry().register(&mut listener, LISTENER, Interest::READABLE)?;
        let store = Store::new(settings.memory_bytes, settings.effects_max, os::Clock::start())?;
        Ok(Server {
            settings,
            poll,
            listener,
            connections: Vec::new(),
            free: Vec::new(),
            again: Vec::new(),
            store,
            carrier,
            piece: vec![0; PIECE_BYTES].into(),
            watchdog: Watchdog::of_manager(),
        })
    }

    /// Serves until this descriptor is readable. Effects that wait then are brought to the file.
    pub fn run(&mut self, stop: RawFd) -> io::Result<()> {
        self.poll.registry().register(&mut SourceFd(&stop), STOP, Interest::READABLE)?;
        let mut events = Events::with_capacity(256);
        while !self.turn(&mut events)? {}
        self.poll.registry().deregister(&mut SourceFd(&stop))?;
        self.carrier.take().map_or(Ok(()), |carrier| carrier.finish(&mut self.store))
    }

    /// What it shows to operators.
    pub fn figures(&self) -> Arc<Figures> {
        Arc::clone(&self.store.figures)
    }

    /// True: it is time to stop.
    fn turn(&mut self, events: &mut Events) -> io::Result<bool> {
        let wait = match (self.again.is_empty(), &self.carrier) {
            (false, _) => Some(Duration::ZERO),
            (true, Some(_)) if self.store.effects() > 0 => Some(EFFECTS_EVERY),
            (true, _) => self.watchdog.as_ref().map(Watchdog::every),
        };
        self.watchdog.iter_mut().for_each(Watchdog::beat);
        match self.poll.poll(events, wait) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => return Ok(false),
            other => other?,
        }
        let mut stop = false;
        let again = std::mem::take(&mut self.again);
        for event in events.iter() {
            match event.token() {
                LISTENER => self.accept(),
                STOP => stop = true,
                Token(token) => {
                    let at = token - FIRST;
                    if let Some(connection) = self.connections.get_mut(at).and_then(Option::as_mut) {
                        connection.note(event.is_readable() || event.is_read_closed() || event.is_error());
                        self.serve(at);
                    }
                }
            }
        }
        again.into_iter().for_each(|at| self.serve(at));
        self.store.figures.connections.set((self.connections.len() - self.free.len()) as u64);
        if let Some(carrier) = &mut self.carrier {
            carrier.carry(&mut self.store);
        }
        Ok(stop)
    }

    fn accept(&mut self) {
        // One that fails has gone, or there are no descriptors left: the kernel keeps the others until the next event.
        while let Ok((stream, _)) = self.listener.accept() {
            let open = self.connections.len() - self.free.len();
            if open >= self.settings.clients_max {
                self.store.figures.turned_away.add(1);
                Connection::turn_away(stream);
                continue;
            }
            let at = self.free.pop().unwrap_or_else(|| {
                self.connections.push(None);
                self.connections.len() - 1
            });
            let mut connection = Connection::new(stream, self.settings.command_bytes_max);
            match connection.register(self.poll.registry(), Token(at + FIRST)) {
                Ok(()) => self.connections[at] = Some(connection),
                Err(_) => self.free.push(at),
            }
        }
    }

    /// Gives a connection its turn.
    fn serve(&mut self, at: usize) {
        let Some(connection) = self.connections.get_mut(at).and_then(Option::as_mut) else { return };
        match connection.turn(&mut self.store, &mut self.piece) {
            Progress::Waits => {}
            Progress::HasMore => {
                if !self.again.contains(&at) {
                    self.again.push(at);
                }
            }
            Progress::Gone => {
                // Closing takes it out of the epoll.
                self.connections[at] = None;
                self.free.push(at);
            }
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Somebody else may have removed it.
        let _ = std::fs::remove_file(&self.settings.path);
    }
}
