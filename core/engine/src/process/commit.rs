//! One event of a call after the other: each waits until what the one before has written is in the store (SPEC E2).

use base::{Duration, Time};
use sip::Reject;
use state::planted::{self, Bug};
use state::{Answer, Command, Header, Key, Stamp, Unanswered};

use super::apply::{kept_hops, leaves_early};
use super::call::{Busy, Cause, Known, Owned, Waits, Writing};
use super::stand_in::is_in_progress;
use super::{Asked, Engine, Outbox};
use crate::letter;
use crate::record::{Phase, Record, RecordError, Tombstone};
use crate::step::{self, Change, Event, Step, Timer};

/// When a timer whose write was refused runs out once more.
const TIMER_AGAIN: Duration = Duration::from_millis(100);

/// Seconds in Retry-After while the store does not answer.
const RETRY_AFTER: u32 = 2;

impl Engine {
    /// Something happened to a call. `owned` makes what must be kept of the event if it has to wait.
    pub(super) fn event(
        &mut self,
        now: Time,
        key: Key,
        event: &Event<'_>,
        owned: &dyn Fn() -> Owned,
        out: &mut Outbox,
    ) {
        match self.calls.wake(key) {
            Some(call) if call.busy.is_some() => match call.wait(owned()) {
                Waits::Yes => {}
                Waits::Copy => self.counters.copies.add(1),
                Waits::Full => self.counters.dropped.add(1),
            },
            Some(_) => {
                self.run(now, key, event, owned, false, out);
                self.settle(now, key, out);
            }
            None => self.first(now, key, event, owned, out),
        }
    }

    /// The first event of a call that is not in memory.
    fn first(&mut self, now: Time, key: Key, event: &Event<'_>, owned: &dyn Fn() -> Owned, out: &mut Outbox) {
        let begins = step::begins(event);
        if matches!(event, Event::Timer(_)) {
            return;
        }
        // No call begins that could not be written.
        if begins && (self.draining || !self.tier.within_reach()) {
            let counters = &self.counters;
            let counter =
                if self.draining { &counters.refused_draining } else { &counters.refused_out_of_reach };
            counter.add(1);
            return self.refuse(event, &Reject::no_server(RETRY_AFTER), out);
        }
        if begins
            && let Event::Request { request, .. } = event
            && self.merged.is_known(&self.settings.secret, request, key, &self.calls)
        {
            self.counters.merged.add(1);
            return self.refuse(event, &Reject::loop_detected(), out);
        }
        let mut place = None;
        if begins && let Event::Request { request, flow, .. } = event {
            place = self.shares.take(request, *flow, self.calls.len());
            if place.is_none() {
                self.counters.refused_share.add(1);
                return self.refuse(event, &Reject::no_server(RETRY_AFTER), out);
            }
        }
        let Some(call) = self.calls.add(key) else {
            self.counters.refused_memory.add(1);
            return self.refuse(event, &Reject::no_server(RETRY_AFTER), out);
        };
        call.place = place;
        if begins {
            // The write itself finds out whether there is a record: most INVITEs are no copies.
            self.run(now, key, event, owned, false, out);
            self.settle(now, key, out);
        } else {
            self.read(key, owned(), out);
        }
    }

    fn read(&mut self, key: Key, event: Owned, out: &mut Outbox) {
        if let Some(call) = self.calls.get_mut(key) {
            call.busy = Some(Busy::Reads(event));
            let peek = Command::Peek { key, cached: None };
            self.ask(Asked::Call(key), key.partition(), peek, false, out);
        }
    }

    /// Carries out one event of a call that is not busy.
    fn run(
        &mut self,
        now: Time,
        key: Key,
        event: &Event<'_>,
        owned: &dyn Fn() -> Owned,
        checked: bool,
        out: &mut Outbox,
    ) {
        if self.must_take_over(key) && self.is_left(now, key, event, owned, checked, out) {
            return;
        }
        if self.leave_to_newer(key, event, out) {
            return;
        }
        let Some(call) = self.calls.get(key) else { return };
        let look = self.look(now, key, call, checked);
        let step = match &call.known {
            Known::Up(record) if self.is_of_dead_engine(record) => {
                step::of_call(&look, record, event).on_kept_record(&look, record)
            }
            Known::Up(record) => step::of_call(&look, record, event),
            Known::Gone(tombstone) => Step::Done(super::gone::of_tombstone(&look, tombstone, event)),
            Known::Nothing => super::gone::of_nothing(&look, event, call.looked_again),
            Known::Unread if step::begins(event) => super::gone::of_nothing(&look, event, false),
            Known::Unread => return self.read(key, owned(), out),
            Known::Foreign(_) => super::gone::of_foreign(event),
        };
        match step {
            Step::Later => {
                let at = now + self.settings.timers.t1;
                if let Some(call) = self.calls.get_mut(key) {
                    (call.known, call.looked_again) = (Known::Unread, true);
                    call.again.push((at, owned()));
                }
            }
            Step::Done(effects) => self.apply(now, key, effects, out),
            // Nobody could say whether the record is another.
            Step::Check if !self.tier.within_reach() => self.run(now, key, event, owned, true, out),
            Step::Check => {
                let Known::Up(record) = &call.known else { return };
                let cached = Some(record.header.stamp);
                self.counters.looks.add(1);
                if let Some(call) = self.calls.get_mut(key) {
                    call.busy = Some(Busy::Checks(owned()));
                }
                let peek = Command::Peek { key, cached };
                self.ask(Asked::Call(key), key.partition(), peek, false, out);
            }
            Step::Write { first, change, mut then, emitted } => {
                self.apply(now, key, first, out);
                if let (Event::TakeOver, Change::Put { record, .. }) = (event, &*change)
                    && planted::is(Bug::NoTakeOverPut)
                {
                    return self.apply_unwritten(now, key, record, then, out);
                }
                let early = then.extract_if(.., |effect| leaves_early(effect)).collect();
                let stamp = Stamp::default();
                let cause = match event {
                    Event::Request { flow, .. } if matches!(*change, Change::Create { .. }) => {
                        Cause::Invite { flow: *flow, hops: self.hops }
                    }
                    _ => Cause::Event(owned()),
                };
                let writing = Writing { cause, change: *change, stamp, then, before: None, emitted };
                self.write(key, writing, out);
                self.apply(now, key, early, out);
                if !self.tier.within_reach() {
                    self.let_go(now, key, out);
                }
            }
        }
    }

    /// An event of a call that another engine had last. True: that one goes on with it, or the event waits until this one has
    /// taken the call over.
    fn is_left(
        &mut self,
        now: Time,
        key: Key,
        event: &Event<'_>,
        owned: &dyn Fn() -> Owned,
        checked: bool,
        out: &mut Outbox,
    ) -> bool {
        if self.waits_for_new_owner(now, key, owned) {
            return true;
        }
        match event {
            Event::TakeOver => !checked && self.owner_lives(key),
            // The call has timers at its owner; only for a request that this engine has passed on, nobody else waits.
            Event::Timer(timer) if !matches!(timer, Timer::Unanswered(_)) => {
                if !self.owner_lives(key) {
                    self.run(now, key, &Event::TakeOver, &|| Owned::TakeOver, true, out);
                }
                true
            }
            _ if self.hand_over(key, event, out) => {
                if let Event::Response { response } = event {
                    self.look_whether_written(now, key, response, owned());
                }
                true
            }
            _ => {
                // The owner is dead, or the message has been handed on too often.
                self.run(now, key, &Event::TakeOver, &|| Owned::TakeOver, true, out);
                let taken = self.calls.get_mut(key).filter(|call| call.busy.is_some());
                taken.map(|call| call.waiting.push_front(owned())).is_some()
            }
        }
    }

    /// The store has answered what a call waits for.
    pub(super) fn replied(
        &mut self,
        now: Time,
        key: Key,
        answer: &Result<Answer, Unanswered>,
        out: &mut Outbox,
    ) {
        let Some(call) = self.calls.get_mut(key) else { return };
        let Some(busy) = call.busy.take() else { return };
        if answer.is_err() {
            self.counters.unanswered.add(1);
        }
        match busy {
            // The engine stood still since the store said this.
            Busy::Reads(event) | Busy::Checks(event) if std::mem::take(&mut call.doubted) => {
                self.read(key, event, out);
            }
            Busy::Reads(event) => match answer {
                Ok(Answer::Record(found)) => {
                    self.known(key, found.as_deref());
                    // Another engine may have taken the call over meanwhile.
                    let checked = event != Owned::TakeOver;
                    self.again(now, key, event, checked, out);
                }
                _ => self.give_up(key, &event, out),
            },
            Busy::Checks(event) => {
                // Without an answer, a call up goes on with what this engine knows.
                if let Ok(Answer::Record(found)) = answer {
                    self.known(key, found.as_deref());
                }
                self.again(now, key, event, true, out);
            }
            Busy::Writes(writing) => self.written(now, key, *writing, answer, out),
            Busy::Owes => self.owed_written(now, key, answer),
        }
        self.settle(now, key, out);
    }

    /// Takes over what the store has under a key.
    pub(super) fn known(&mut self, key: Key, found: Option<&[u8]>) {
        let engine = self.settings.engine;
        let Some(call) = self.calls.get_mut(key) else { return };
        call.known = match found {
            None => Known::Nothing,
            Some(bytes) => match Record::read(bytes) {
                Ok(record) => Known::Up(Box::new(record)),
                Err(RecordError::Tombstone) => Tombstone::read(bytes).map_or(foreign(bytes), Known::Gone),
                Err(_) => foreign(bytes),
            },
        };
        match &mut call.known {
            Known::Up(record) if record.header.owner == engine => return,
            Known::Up(record) => {
                record.legs.iter_mut().filter_map(|leg| leg.flow.as_mut()).for_each(letter::foreign);
            }
            Known::Unread | Known::Nothing | Known::Gone(_) | Known::Foreign(_) => {}
        }
        // What another engine goes on with is no business of this one.
        call.soft.forget();
    }

    /// An event happens anew.
    pub(super) fn again(&mut self, now: Time, key: Key, event: Owned, checked: bool, out: &mut Outbox) {
        match &event {
            Owned::Timer(timer) => self.run(now, key, &Event::Timer(*timer), &|| event.clone(), checked, out),
            Owned::TakeOver => self.run(now, key, &Event::TakeOver, &|| event.clone(), checked, out),
            Owned::Message { bytes, flow, hops } => {
                let present = std::mem::replace(&mut self.hops, kept_hops(*hops));
                let mut parser = std::mem::take(&mut self.parser);
                if let Ok(message) = parser.parse(bytes) {
                    let read = match message.method() {
                        Some(method) => Event::Request { request: &message, flow: *flow, method },
                        None => Event::Response { response: &message },
                    };
                    self.run(now, key, &read, &|| event.clone(), checked, out);
                }
                self.parser = parser;
                self.hops = present;
            }
        }
    }

    /// Goes on with what waits, and forgets a call that nothing is known of.
    pub(super) fn settle(&mut self, now: Time, key: Key, out: &mut Outbox) {
        loop {
            let Some(call) = self.calls.get_mut(key) else { return };
            if call.busy.is_some() {
                break;
            }
            let Some(event) = call.waiting.pop_front() else { break };
            call.attempts = 0;
            self.again(now, key, event, false, out);
        }
        self.set_application_due(now, key);
        let engine = self.settings.engine;
        let rings = |record: &Record| record.header.owner == engine && is_in_progress(record);
        let Some(call) = self.calls.get_mut(key) else { return };
        if call.busy.is_none() && !matches!(&call.known, Known::Up(record) if rings(record)) {
            call.place = None;
        }
        if call.is_idle() && !matches!(call.known, Known::Up(_)) {
            self.calls.remove(key);
        } else {
            self.calls.arm(key);
            self.calls.count(key, self.settings.engine);
            self.calls.pack(key);
        }
        self.count_calls();
    }

    fn count_calls(&self) {
        let (counters, calls) = (&self.counters, &self.calls);
        counters.cached.set(calls.len() as u64);
        counters.ringing.set(calls.counted(Phase::Ringing));
        counters.up.set(calls.counted(Phase::Up));
        counters.ending.set(calls.counted(Phase::Ending));
    }

    /// The event comes to nothing: its sender may ask again.
    pub(super) fn give_up(&mut self, key: Key, event: &Owned, out: &mut Outbox) {
        match event {
            Owned::Message { bytes, flow, .. } => {
                let mut parser = std::mem::take(&mut self.parser);
                if let Ok(message) = parser.parse(bytes) {
                    match message.method() {
                        Some(method) => {
                            let request = Event::Request { request: &message, flow: *flow, method };
                            self.refuse(&request, &Reject::no_server(RETRY_AFTER), out);
                        }
                        None => self.write_answer_later(key, &message, event.clone()),
                    }
                }
                self.parser = parser;
            }
            Owned::Timer(timer) => {
                let at = self.tier.now() + TIMER_AGAIN;
                if let Some(call) = self.calls.get_mut(key) {
                    call.again.push((at, Owned::Timer(*timer)));
                }
            }
            Owned::TakeOver => {}
        }
    }

    /// A request that cannot be carried out now.
    fn refuse(&self, event: &Event<'_>, reject: &Reject, out: &mut Outbox) {
        if let Event::Request { request, flow, method } = event
            && *method != sip::Method::Ack
        {
            self.answer(request, *flow, reject, out);
        }
    }
}

fn foreign(record: &[u8]) -> Known {
    Known::Foreign(Header::owner_of(record).unwrap_or_default())
}
