//! A small SIP server that answers calls: the user agent server of RFC 3261 §8.2, §13.3 and §15, as a core that a worker
//! drives. It serves to try a farm; it plays no media.
//!
//! Its memory is bounded: the number of calls is limited, and a call is forgotten some seconds after its end.

mod book;
mod bye;
mod call;
mod counters;
mod due;
mod invite;
mod meters;
mod on_streams;
mod passing_on;
mod processor;
mod request;
mod session;
mod shifting;
mod text;

use std::net::SocketAddr;
use std::sync::Arc;

use base::{Chance, Duration, HashKey, Key, Time};
use lb::way::encapsulating::encapsulate;
use sip::{Parser, Start, Transport};
use transaction::Timers;
use turn::Input;
use turn::Outbox;

use book::Book;
pub use counters::Counters;
use on_streams::ByesOnStreams;
use processor::Processor;
pub use processor::{Load, Meter};
pub use shifting::{Desk, Shifting};
use turn::Core;

/// How the server treats a call.
#[derive(Clone, Debug)]
pub struct Behaviour {
    /// Time from the INVITE to the 180.
    pub ring_after: Duration,
    /// Time from the 180 to the final answer, plus a random part of at most `answer_spread`.
    pub answer_after: Duration,
    pub answer_spread: Duration,
    /// Processor time that each call takes before its 200; the calls take it one after the other. Zero: none.
    pub work: Duration,
    /// Time from the ACK to the server's own BYE; `None`: the caller hangs up.
    pub hang_up_after: Option<Duration>,
    /// Calls of a thousand that the server hangs up.
    pub hang_up_permille: u32,
    /// The server hangs up an open call this long after its ACK, so that a call without an end does not stay for ever.
    pub abandon_after: Duration,
    /// Calls of a thousand that the server refuses.
    pub failure_permille: u32,
    pub failure_status: u16,
    /// Refused calls ring first, as long as answered calls.
    pub fails_after_ringing: bool,
    /// Most calls at once; further calls get `full_status`.
    pub calls_max: usize,
    pub full_status: u16,
    /// Answer requests within unknown calls as if the calls were known: the server takes over the calls of a server that died
    /// (SPEC A9).
    pub take_over: bool,
}

impl Default for Behaviour {
    fn default() -> Behaviour {
        Behaviour {
            ring_after: Duration::ZERO,
            answer_after: Duration::ZERO,
            answer_spread: Duration::ZERO,
            work: Duration::ZERO,
            hang_up_after: None,
            hang_up_permille: 1000,
            abandon_after: Duration::from_secs(4 * 3600),
            failure_permille: 0,
            failure_status: 503,
            fails_after_ringing: false,
            calls_max: 100_000,
            full_status: 503,
            take_over: false,
        }
    }
}

/// The address of one of the server's listeners.
#[derive(Clone, Copy, Debug)]
pub struct Address {
    pub transport: Transport,
    pub address: SocketAddr,
}

pub struct Answerer {
    behaviour: Behaviour,
    /// Indexed by listener.
    addresses: Vec<Address>,
    book: Book,
    byes_on_streams: ByesOnStreams,
    timers: Timers,
    chance: Chance,
    processor: Processor,
    /// Makes To tags: a repeated request gets the same tag, and strangers cannot guess tags.
    tags: HashKey,
    parser: Parser,
    counters: Arc<Counters>,
    /// The group in which the server shifts workload, if any.
    shifting: Option<Shifting>,
    /// Set: responses leave encapsulated, authenticated with this key.
    encapsulating_key: Option<Key>,
}

impl Answerer {
    pub fn new(behaviour: Behaviour, addresses: Vec<Address>, mut chance: Chance) -> Answerer {
        // One key for both: the tags reveal nothing about the key's other hashes.
        let tags = chance.hash_key();
        Answerer {
            behaviour,
            addresses,
            book: Book::new(tags.clone()),
            byes_on_streams: ByesOnStreams::default(),
            timers: Timers::default(),
            tags,
            chance,
            processor: Processor::default(),
            parser: Parser::new(),
            counters: Arc::default(),
            shifting: None,
            encapsulating_key: None,
        }
    }

    /// Makes the server a member of a group.
    pub fn with_shifting(self, shifting: Shifting) -> Answerer {
        Answerer { shifting: Some(shifting), ..self }
    }

    /// Has responses leave encapsulated, authenticated with `key`.
    pub fn with_encapsulation(self, key: Option<Key>) -> Answerer {
        Answerer { encapsulating_key: key, ..self }
    }

    pub fn counters(&self) -> Arc<Counters> {
        Arc::clone(&self.counters)
    }

    /// The load of the server's processor.
    pub fn load(&self) -> Arc<Load> {
        self.processor.load()
    }
}

impl Core for Answerer {
    type Ask = turn::None;
    type Answer = turn::None;
    type Letter = turn::None;
    type Event = turn::None;

    fn handle(&mut self, now: Time, input: Input<'_>, out: &mut Outbox) {
        let before = out.sends.len();
        match input {
            Input::Message { bytes, flow } if self.is_of_group(flow) => self.group_datagram(now, bytes, out),
            Input::Message { bytes, flow } => {
                if let Some(shifting) = &mut self.shifting {
                    shifting.meters.message(now, bytes.len(), flow.remote);
                }
                let mut parser = std::mem::take(&mut self.parser);
                match parser.parse(bytes) {
                    Ok(message) => match message.start() {
                        Start::Request { .. } => self.request(now, &message, flow, out),
                        Start::Response { status, .. } => self.response(now, &message, status, flow, out),
                    },
                    Err(_) => self.counters.malformed.add(1),
                }
                self.parser = parser;
            }
            Input::BrokenFrame { .. } => self.counters.malformed.add(1),
            // The member is not there; the group learns that from its silence.
            Input::SendFailed { to } | Input::Returned { to, .. } if self.is_to_group(to) => {}
            Input::SendFailed { to } => {
                self.counters.unsent.add(1);
                self.stream_lost(now, to);
            }
            Input::NoRoom { .. } | Input::Returned { .. } => self.counters.unsent.add(1),
            // The call lives on; our unanswered BYE is sent again.
            Input::Closed { peer, .. } => self.connection_lost(now, peer),
            Input::Judged { .. } | Input::FellBack { .. } => {}
            Input::Answer(never) | Input::Letter(never) => match *never {},
        }
        if let Some(key) = &self.encapsulating_key {
            encapsulate(key, before, out);
        }
        self.counters.live.set(self.book.live() as u64);
    }

    fn handle_timeout(&mut self, now: Time, out: &mut Outbox) {
        let before = out.sends.len();
        self.run_due(now, out);
        self.group_timeout(now, out);
        if let Some(key) = &self.encapsulating_key {
            encapsulate(key, before, out);
        }
        self.counters.live.set(self.book.live() as u64);
    }

    fn next_deadline(&self) -> Option<Time> {
        let group = self.shifting.as_ref().and_then(Shifting::next_deadline);
        self.book.next_deadline().into_iter().chain(group).min()
    }
}

#[cfg(test)]
mod matching_tests;
#[cfg(test)]
mod shifting_tests;
#[cfg(test)]
mod tests;
