//! The engine as a core that a worker drives: which call a message is of, one commit in flight for each call, and what leaves.
//!
//! ```text
//! message ─▶ key ─▶ call ─▶ step ─▶ effects                    nothing is written
//!                    ▲        └──▶ ask ─▶ reply ─▶ effects       they leave when the store has the record
//!                    └────────────────────┘ refused: the record is another one; the event happens anew
//! ```

mod answered;
mod apply;
mod arrive;
mod call;
mod calls;
mod commit;
mod counters;
mod doubt;
mod gone;
mod lost;
mod merged;
mod newer;
mod notice;
mod owed;
mod pass;
mod shares;
mod spread;
mod stand_in;
mod tier;
mod timers;
mod watch;
mod write;

use std::collections::HashMap;
use std::sync::Arc;

use base::Time;
use sip::{Flow, Parser};
use state::{Ask, Key, Reply};
use turn::{Core, Input};

use crate::settings::Settings;
use crate::step::Look;
use call::Call;
use calls::Calls;
pub use counters::Counters;
use spread::Spread;
use tier::Tier;

/// What a worker brings to an engine besides messages.
#[derive(Clone, Debug)]
pub enum Answer {
    Reply(Reply),
    /// The time of the state tier at this moment, in microseconds since 1970.
    Clock {
        at: Time,
        micros: u64,
    },
    /// The primaries of the state tier that can be reached: the number of each, and one of its partitions.
    Primaries(Vec<(u32, u8)>),
    /// The engine takes no new calls from now on.
    Drain,
}

/// For the worker that has the call.
#[derive(Clone, Debug)]
pub enum Letter {
    Message {
        bytes: Box<[u8]>,
        flow: Flow,
        /// How often it was handed from engine to engine.
        hops: u8,
    },
    /// The call's owner is dead.
    TakeOver(Key),
    /// Another engine may have taken the call over.
    Lost(Key),
    /// The engine that a question asked for has answered.
    Lives { number: u64, engine: u32 },
}

/// What is worth a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// The calls of a dead engine are taken over.
    EngineDied { engine: u32 },
    /// The store does not answer, or answers again.
    Store { within_reach: bool },
}

pub(crate) type Outbox = turn::Outbox<Ask, Letter, Event>;

/// What an ask was for.
#[derive(Clone, Debug)]
enum Asked {
    Call(Key),
    Tier(tier::Asked),
}

/// See the head of this module.
pub struct Engine {
    settings: Arc<Settings>,
    counters: Arc<Counters>,
    parser: Parser,
    /// Where a record is written before its length is known.
    scratch: Vec<u8>,
    calls: Calls,
    merged: merged::Merged,
    shares: shares::Shares,
    asked: HashMap<u64, Asked, Spread>,
    next_token: u64,
    next_relay: u64,
    tier: Tier,
    draining: bool,
    /// How often the present message was handed from engine to engine.
    hops: u8,
}

impl Engine {
    /// `clock`: a moment, and the time of the state tier at it, in microseconds since 1970.
    pub fn new(settings: Settings, clock: (Time, u64)) -> Engine {
        let settings = Arc::new(settings);
        let spread = Spread::of(&settings.secret);
        Engine {
            calls: Calls::new(settings.bounds.calls_max, spread),
            merged: merged::Merged::new(spread),
            shares: shares::Shares::new(&settings),
            tier: Tier::new(&settings, clock),
            settings,
            counters: Arc::default(),
            parser: Parser::new(),
            scratch: Vec::new(),
            asked: HashMap::with_hasher(spread),
            next_token: 0,
            next_relay: 0,
            draining: false,
            hops: 0,
        }
    }

    pub fn counters(&self) -> Arc<Counters> {
        Arc::clone(&self.counters)
    }

    /// What a step may look at.
    fn look<'a>(&'a self, now: Time, key: Key, call: &'a Call, checked: bool) -> Look<'a> {
        let micros = self.tier.micros(now);
        Look { settings: &self.settings, key, micros, soft: &call.soft, checked }
    }

    fn ask(
        &mut self,
        asked: Asked,
        partition: u8,
        command: state::Command,
        replicated: bool,
        out: &mut Outbox,
    ) {
        let token = self.next_token;
        self.next_token += 1;
        self.asked.insert(token, asked);
        self.tier.asked();
        out.asks.push(Ask { token, partition, command, replicated });
    }
}

impl Core for Engine {
    type Ask = Ask;
    type Answer = Answer;
    type Letter = Letter;
    type Event = Event;

    fn handle(&mut self, now: Time, input: Input<'_, Answer, Letter>, out: &mut Outbox) {
        self.look_at_clock(now, out);
        match input {
            Input::Message { bytes, flow } => self.message(now, bytes, flow, out),
            Input::Letter(Letter::Message { bytes, flow, hops }) => {
                self.handed(now, bytes, *flow, *hops, out);
            }
            Input::Letter(Letter::TakeOver(key)) => self.letter_of_take_over(now, *key, out),
            Input::Letter(Letter::Lost(key)) => self.may_have_lost(now, *key, out),
            Input::Letter(Letter::Lives { number, engine }) => self.has_answered(now, *number, *engine, out),
            Input::Answer(Answer::Reply(reply)) => {
                if reply.answer.is_ok() {
                    self.tier.answered();
                }
                match self.asked.remove(&reply.token) {
                    Some(Asked::Call(key)) => self.replied(now, key, &reply.answer, out),
                    Some(Asked::Tier(asked)) => self.tier_replied(now, asked, &reply.answer, out),
                    None => {}
                }
            }
            Input::Answer(Answer::Clock { at, micros }) => self.tier.set_clock(*at, *micros),
            Input::Answer(Answer::Primaries(primaries)) => self.tier.set_primaries(primaries),
            Input::Answer(Answer::Drain) => self.draining = true,
            Input::BrokenFrame { .. } => self.counters.malformed.add(1),
            Input::SendFailed { to } => self.unreachable(now, &to, out),
            // The worker counts what it had no room for, and the timers send again.
            Input::Returned { .. }
            | Input::FellBack { .. }
            | Input::NoRoom { .. }
            | Input::Closed { .. }
            | Input::Judged { .. } => {}
        }
    }

    fn handle_timeout(&mut self, now: Time, out: &mut Outbox) {
        self.look_at_clock(now, out);
        self.run_timers(now, out);
        self.run_tier(now, out);
    }

    fn next_deadline(&self) -> Option<Time> {
        [self.calls.next_deadline(), self.tier.deadline()].into_iter().flatten().min()
    }
}
