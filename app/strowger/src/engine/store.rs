//! The way of a worker to the state tier: its links, and what its core hears of them.

use std::io;
use std::os::fd::RawFd;
use std::sync::Arc;

use base::{Duration, Time};
use engine::Answer;
use net::worker::Beside;
use state::{Ask, Reply};
use state_redis::link::{Settings, Start, Store};

use super::core::Core;
use super::seen::{Look, Seen};

/// How often the core is told the time of the state tier, and operators are told how the way looks.
const CLOCK_EVERY: Duration = Duration::from_millis(500);

/// See the head of this module.
pub(crate) struct Way {
    store: Store,
    replies: Vec<Reply>,
    clock_at: Time,
    primaries: Vec<(u32, u8)>,
    seen: Seen,
}

impl Way {
    pub(crate) fn to(settings: &Settings, start: &Start) -> io::Result<Way> {
        let store = Store::connect(settings, start)?;
        let seen = Seen::default();
        Ok(Way { store, replies: Vec::new(), clock_at: Time::ZERO, primaries: Vec::new(), seen })
    }

    pub(crate) fn seen(&self) -> Seen {
        Seen::clone(&self.seen)
    }
}

impl Beside<Core> for Way {
    fn ask(&mut self, now: Time, asks: &mut Vec<Ask>) {
        self.store.ask(now, asks);
    }

    fn record(&mut self, _now: Time, events: &mut Vec<engine::Event>) {
        events.drain(..).for_each(super::events::log);
    }

    fn source(&self) -> Option<RawFd> {
        Some(self.store.source())
    }

    fn answers(&mut self, now: Time, answers: &mut Vec<Answer>) {
        self.store.answers(now, &mut self.replies);
        if self.clock_at <= now {
            self.clock_at = now + CLOCK_EVERY;
            let micros = self.store.state_micros(now);
            answers.push(Answer::Clock { at: now, micros });
            self.seen.store(Some(Arc::new(Look { status: self.store.status(now), at: now, micros })));
            let primaries: Vec<(u32, u8)> = self.store.primaries().collect();
            if !primaries.is_empty() && primaries != self.primaries {
                self.primaries.clone_from(&primaries);
                answers.push(Answer::Primaries(primaries));
            }
        }
        answers.extend(self.replies.drain(..).map(Answer::Reply));
    }

    fn next_deadline(&self) -> Option<Time> {
        Some(self.store.next_deadline().map_or(self.clock_at, |deadline| deadline.min(self.clock_at)))
    }
}
