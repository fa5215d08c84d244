//! A small SIP server that answers calls: the user agent server of RFC 3261 §8.2, §13.3 and §15, as a core that a worker
//! drives. It is there to try a farm with; it plays no media.
//!
//! What it keeps is bounded: so many calls at most, each gone some seconds after its end.

mod book;
mod bye;
mod call;
mod counters;
mod due;
mod encapsulating;
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

/// What the server does with a call.
#[derive(Clone, Debug)]
pub struct Behaviour {
    /// From the INVITE to the 180.
    pub ring_after: Duration,
    /// From the 180 to the final answer, and by chance up to so much more.
    pub answer_after: Duration,
    pub answer_spread: Duration,
    /// Of its processor for each call before the 200, one call after the other. Zero: none.
    pub work: Duration,
    /// From the ACK to a BYE of its own; `None`: the caller hangs up.
    pub hang_up_after: Option<Duration>,
    /// In so many of a thousand calls.
    pub hang_up_permille: u32,
    /// A call that nobody ends is hung up so long after its ACK, so that it does not hold its room for ever.
    pub abandon_after: Duration,
    /// So many of a thousand calls are refused.
    pub failure_permille: u32,
    pub failure_status: u16,
    /// They ring first, as long as those that are answered.
    pub fails_after_ringing: bool,
    /// Calls at once; one more gets `full_status`.
    pub calls_max: usize,
    pub full_status: u16,
    /// Answer requests of calls it does not know as if it knew them: it takes over the calls of a server that died (SPEC A9).
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

/// Where a listener of the server is reached.
#[derive(Clone, Copy, Debug)]
pub struct Address {
    pub transport: Transport,
    pub address: SocketAddr,
}

pub struct Answerer {
    behaviour: Behaviour,
    /// By listener.
    addresses: Vec<Address>,
    book: Book,
    byes_on_streams: ByesOnStreams,
    timers: Timers,
    chance: Chance,
    processor: Processor,
    /// Makes To tags: the same for a repeated request, and not to be guessed.
    tags: HashKey,
    parser: Parser,
    counters: Arc<Counters>,
    /// The group that it shifts workload in, if any.
    shifting: Option<Shifting>,
    /// Set: responses leave encapsulated, authenticated with it.
    encapsulating_key: Option<Key>,
}

impl Answerer {
    pub fn new(behaviour: Behaviour, addresses: Vec<Address>, mut chance: Chance) -> Answerer {
        // One key for both: what tags show of it tells nothing of its other hashes.
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

    /// Makes it a member of a group.
    pub fn with_shifting(self, shifting: Shifting) -> Answerer {
        Answerer { shifting: Some(shifting), ..self }
    }

    /// Has responses leave encapsulated, authenticated with this key.
    pub fn with_encapsulation(self, key: Option<Key>) -> Answerer {
        Answerer { encapsulating_key: key, ..self }
    }

    pub fn counters(&self) -> Arc<Counters> {
        Arc::clone(&self.counters)
    }

    /// What its processor does.
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
            // A member that is not there: its silence says so.
            Input::SendFailed { to } | Input::Returned { to, .. } if self.is_to_group(to) => {}
            Input::SendFailed { to } => {
                self.counters.unsent.add(1);
                self.stream_lost(now, to);
            }
            Input::NoRoom { .. } | Input::Returned { .. } => self.counters.unsent.add(1),
            // The call lives on; what was on its way and nobody repeats is sent again.
            Input::Closed { peer, .. } => self.connection_lost(now, peer),
            Input::Judged { .. } | Input::FellBack { .. } => {}
            Input::Answer(never) | Input::Letter(never) => match *never {},
        }
        self.encapsulate(before, out);
        self.counters.live.set(self.book.live() as u64);
    }

    fn handle_timeout(&mut self, now: Time, out: &mut Outbox) {
        let before = out.sends.len();
        self.run_due(now, out);
        self.group_timeout(now, out);
        self.encapsulate(before, out);
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
