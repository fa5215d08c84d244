//! The TLS of connections that another process has taken over: this process decrypts what the peer sends, hands it through a
//! pair of sockets, and encrypts what comes back. It reads no message. It goes on until the last of these connections has
//! ended; those that last too long are closed in turn, so that their clients do not all come back at once.

use std::io::{self, ErrorKind, Read as _, Write as _};

use base::{Duration, Time};
use mio::net::UnixStream;
use mio::{Events, Interest, Poll, Token};
use os::Clock;

use super::Connections;
use super::handed::Pairs;
use crate::tcp::Stream;

/// Bytes that wait in one direction of one connection.
const WAITING_MAX: usize = 64 << 10;
/// Rounds with one connection before another has its turn.
const ROUNDS: usize = 8;
/// How long connections are served before they are closed in turn, and how long closing all of them takes.
pub(super) const SERVED: Duration = Duration::from_secs(3600);
pub(super) const CLOSING: Duration = Duration::from_secs(600);
const EVENTS: usize = 256;
const LOOK: Duration = Duration::from_millis(200);

struct Pump {
    peer: Stream,
    /// The other process.
    other: UnixStream,
    to_peer: Vec<u8>,
    to_other: Vec<u8>,
    peer_ended: bool,
    other_ended: bool,
}

/// What a round has done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Round {
    Progress,
    Idle,
    Over,
}

/// See the head of this module.
pub(crate) struct Relay {
    poll: Poll,
    pumps: Vec<Option<Pump>>,
}

impl Connections {
    /// Makes the relay of the connections with TLS; the others end here, without an end on the wire.
    pub(crate) fn into_relay(mut self, pairs: Pairs) -> io::Result<Relay> {
        let poll = Poll::new()?;
        let mut pumps = Vec::new();
        for (key, kept) in pairs.kept {
            let Some(connection) = self.slots.remove(key) else { continue };
            let mut peer = connection.stream;
            let mut other = UnixStream::from_std(kept);
            peer.deregister(&self.registry)?;
            peer.register(poll.registry(), Token(2 * pumps.len()))?;
            let token = Token(2 * pumps.len() + 1);
            poll.registry().register(&mut other, token, Interest::READABLE | Interest::WRITABLE)?;
            let (to_peer, to_other) = (Vec::new(), Vec::new());
            pumps.push(Some(Pump { peer, other, to_peer, to_other, peer_ended: false, other_ended: false }));
        }
        Ok(Relay { poll, pumps })
    }
}

impl Relay {
    pub(super) fn len(&self) -> usize {
        self.pumps.iter().flatten().count()
    }

    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Until the last connection has ended.
    pub(crate) fn run(mut self, clock: Clock) -> io::Result<()> {
        let mut events = Events::with_capacity(EVENTS);
        let (began, all) = (clock.now(), self.len());
        let mut scratch = vec![0; WAITING_MAX];
        // What was received before has no event.
        let mut ready: Vec<usize> = (0..self.pumps.len()).collect();
        while !self.is_empty() {
            let now = clock.now();
            let again = std::mem::take(&mut ready);
            ready.extend(again.into_iter().filter(|at| self.go_on(*at, now, &mut scratch)));
            self.close_in_turn(now.since(began), all);
            let wait = if ready.is_empty() { LOOK } else { Duration::ZERO };
            match self.poll.poll(&mut events, Some(wait)) {
                Err(error) if error.kind() != ErrorKind::Interrupted => return Err(error),
                _ => {}
            }
            for event in &events {
                let Token(token) = event.token();
                if let (0, Some(Some(pump))) = (token % 2, self.pumps.get_mut(token / 2)) {
                    pump.peer.ready();
                }
                ready.push(token / 2);
            }
            ready.sort_unstable();
            ready.dedup();
        }
        Ok(())
    }

    /// True: there is more to do at once.
    fn go_on(&mut self, at: usize, now: Time, scratch: &mut [u8]) -> bool {
        let Some(place) = self.pumps.get_mut(at) else { return false };
        for _ in 0..ROUNDS {
            let Some(pump) = place else { return false };
            match pump.round(now, scratch) {
                Round::Progress => {}
                Round::Idle => return false,
                Round::Over => *place = None,
            }
        }
        place.is_some()
    }

    /// How many are still served after this time, and closes the others.
    pub(super) fn close_in_turn(&mut self, age: Duration, all: usize) {
        let Some(closing) = age.checked_sub(SERVED) else { return };
        let left = CLOSING.saturating_sub(closing).as_millis() * all as u128 / CLOSING.as_millis();
        let mut served = self.len() as u128;
        for place in &mut self.pumps {
            if served <= left {
                return;
            }
            if let Some(mut pump) = place.take() {
                pump.peer.end();
                served -= 1;
            }
        }
    }
}

impl Pump {
    fn round(&mut self, now: Time, scratch: &mut [u8]) -> Round {
        self.try_round(now, scratch).unwrap_or(Round::Over)
    }

    fn try_round(&mut self, now: Time, scratch: &mut [u8]) -> io::Result<Round> {
        let mut moved = 0;
        if !self.peer_ended && self.to_other.len() < WAITING_MAX {
            match waiting(self.peer.read(scratch, true, now))? {
                Some(0) => self.peer_ended = true,
                Some(length) => {
                    self.to_other.extend_from_slice(&scratch[..length]);
                    moved += length;
                }
                None => {}
            }
        }
        if !self.to_other.is_empty() {
            let written = waiting(self.other.write(&self.to_other))?.unwrap_or(0);
            self.to_other.drain(..written);
            moved += written;
        }
        if !self.other_ended && self.to_peer.is_empty() {
            match waiting(self.other.read(scratch))? {
                Some(0) => self.other_ended = true,
                Some(length) => {
                    self.to_peer.extend_from_slice(&scratch[..length]);
                    moved += length;
                }
                None => {}
            }
        }
        if !self.to_peer.is_empty() && self.peer.is_established() {
            let written = waiting(self.peer.write(&self.to_peer))?.unwrap_or(0);
            self.to_peer.drain(..written);
            moved += written;
        }
        waiting(self.peer.flush())?;
        if self.peer_ended && self.to_other.is_empty() {
            return Ok(Round::Over);
        }
        if self.other_ended && self.to_peer.is_empty() && !self.peer.is_waiting() {
            self.peer.end();
            return Ok(Round::Over);
        }
        Ok(if moved > 0 { Round::Progress } else { Round::Idle })
    }
}

/// `None`: the socket must be waited for. One that is still being opened must be waited for, too.
fn waiting<T>(outcome: io::Result<T>) -> io::Result<Option<T>> {
    match outcome {
        Ok(done) => Ok(Some(done)),
        Err(error) => match error.kind() {
            ErrorKind::WouldBlock | ErrorKind::Interrupted | ErrorKind::NotConnected => Ok(None),
            _ => Err(error),
        },
    }
}
