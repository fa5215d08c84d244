//! The poll loop (SPEC B3, FIG. 10 and 12): it asks every place once a period, all places at a time, each over a connection
//! that stays open. The newest answers lie on the [`Board`]; clients get them from there.

use std::collections::BTreeSet;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use base::{Chance, Duration, Key, Time};
use heartbeat::measure::{Measured, Measures};
use heartbeat::stream::{End, Frame};
use heartbeat::{Heartbeat, next_count};
use os::Clock;

use crate::board::Board;
pub use crate::counts::Counts;
use crate::place::{Context, Place};
use crate::serve::{self, Server};

/// Longest sleep, so that the end of the process is noticed.
const SLEEP_MAX: Duration = Duration::from_millis(200);

/// See the head of this module.
pub struct Poller {
    measures: Measures,
    key: Option<Key>,
    places: Vec<Place>,
    server: Option<Server>,
    board: Arc<Board>,
    counts: Counts,
    count: u64,
    clock: Clock,
    /// Numbers that nobody can guess, so that an answer with such a number is an answer to us.
    chance: Chance,
}

impl Poller {
    /// Opens the port for clients. The board's times are by `clock`.
    pub fn open(measures: Measures, key: Option<Key>, clock: Clock) -> io::Result<Poller> {
        let listener = measures.listen.map(Poller::listen).transpose()?;
        Poller::over(listener, measures, key, clock)
    }

    /// The port for clients.
    pub fn listen(listen: SocketAddr) -> io::Result<TcpListener> {
        TcpListener::bind(listen).map_err(|error| {
            let remedy = "choose an address of this machine and a port that `ss -lnt` does not show";
            let what = format!("cannot listen on {listen} (perf.listen): {error}\n  remedy: {remedy}");
            io::Error::new(error.kind(), what)
        })
    }

    /// With a port that is open already.
    pub fn over(
        listener: Option<TcpListener>,
        measures: Measures,
        key: Option<Key>,
        clock: Clock,
    ) -> io::Result<Poller> {
        let chance = os::chance()?;
        let server = listener.map(Server::over).transpose()?;
        let board = Arc::new(Board::new(measures.good_for()));
        let places = measures.measured.iter().map(|measured| Place::new(*measured, clock.now())).collect();
        Ok(Poller {
            measures,
            key,
            places,
            server,
            board,
            counts: Counts::default(),
            count: 0,
            clock,
            chance,
        })
    }

    pub fn board(&self) -> Arc<Board> {
        Arc::clone(&self.board)
    }

    /// Polls these places from now on, with this key. A place that stays keeps its connection; the port for clients stays
    /// open.
    pub fn change(&mut self, measures: Measures, key: Option<Key>) {
        let now = self.now();
        let mut before = std::mem::take(&mut self.places);
        let mut kept = |measured: &Measured| {
            let at = before.iter().position(|place| place.measured() == *measured)?;
            Some(before.swap_remove(at))
        };
        let places: Vec<Option<Place>> = measures.measured.iter().map(&mut kept).collect();
        let all = places.into_iter().zip(&measures.measured);
        self.places = all.map(|(place, new)| place.unwrap_or_else(|| Place::new(*new, now))).collect();
        self.board.set_good_for(measures.good_for());
        self.measures = Measures { listen: self.measures.listen, ..measures };
        self.key = key;
    }

    /// The address for clients. If the port was set to 0, this is the port that the system chose.
    pub fn address(&self) -> Option<SocketAddr> {
        self.server.as_ref().and_then(|server| server.address().ok())
    }

    pub fn counts(&self) -> (Counts, serve::Counts) {
        (self.counts, self.server.as_ref().map(|server| server.counts).unwrap_or_default())
    }

    /// Polls and serves until `stop`. Calls `each` after each turn.
    pub fn run(mut self, stop: &AtomicBool, mut each: impl FnMut(&mut Poller)) {
        while !stop.load(Ordering::Relaxed) {
            self.turn();
            each(&mut self);
        }
    }

    /// Waits for the next event, then does everything that is due.
    pub fn turn(&mut self) {
        self.wait();
        let now = self.now();
        let mut told = BTreeSet::new();
        let mut context = Context {
            key: self.key.as_deref(),
            poll: self.measures.poll,
            answer_within: self.measures.answer_within,
            board: &self.board,
            counts: &mut self.counts,
            chance: &mut self.chance,
            told: &mut told,
        };
        for place in &mut self.places {
            place.turn(now, &mut context);
        }
        if let Some(server) = &mut self.server {
            let (board, key, count) = (&self.board, self.key.as_deref(), &mut self.count);
            for heartbeat in told.iter().filter_map(|server| board.of(now, *server)) {
                server.notify(&frame(&heartbeat, None, key, count));
            }
            server.turn(now, key, |nonce| answer(&board.all(now), nonce, key, count));
        }
    }

    #[cfg(test)]
    pub(crate) fn time(&self) -> Time {
        self.now()
    }

    fn now(&self) -> Time {
        self.clock.now()
    }

    fn wait(&self) {
        let mut fds = Vec::with_capacity(self.places.len() + 8);
        for (fd, events) in self.places.iter().filter_map(Place::watch) {
            fds.push(os::poll::watched(fd, events));
        }
        let mut deadline = self.now() + SLEEP_MAX;
        for place in &self.places {
            deadline = deadline.min(place.next_deadline(self.measures.answer_within));
        }
        if let Some(server) = &self.server {
            server.watch(&mut fds);
            deadline = server.next_deadline().map_or(deadline, |until| deadline.min(until));
        }
        os::poll::wait(&mut fds, deadline.since(self.now()));
    }
}

/// The data of one server, in answer to a query or, without a nonce, as a notification.
fn frame(heartbeat: &Heartbeat, nonce: Option<u64>, key: Option<&[u8]>, count: &mut u64) -> Vec<u8> {
    *count = next_count(*count, os::since_1970().as_micros() as u64);
    Frame::Heartbeat(Heartbeat { nonce, count: Some(*count), ..*heartbeat }).encode(key)
}

/// The frames of one answer: all servers, and the end.
fn answer(servers: &[Heartbeat], nonce: u64, key: Option<&[u8]>, count: &mut u64) -> Vec<u8> {
    let mut bytes = Vec::new();
    for heartbeat in servers {
        bytes.extend(frame(heartbeat, Some(nonce), key, count));
    }
    bytes.extend(Frame::End(End { nonce, servers: servers.len() as u32 }).encode(key));
    bytes
}
