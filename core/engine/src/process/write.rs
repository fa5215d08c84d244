//! The write of a record: what goes to the store, and what its answer leads to (SPEC E2).

use base::Time;
use state::planted::{self, Bug};
use state::{Also, Answer, Command, Create, Del, Key, Put, Stamp, Unanswered};

use super::call::{Busy, Known, Owed, Owned, Writing};
use super::owed::del_of;
use super::{Asked, Engine, Outbox};
use crate::step::Change;

/// An event that meets another record so often is given up.
const ATTEMPTS_MAX: u8 = 5;

impl Engine {
    pub(super) fn write(&mut self, key: Key, mut writing: Writing, out: &mut Outbox) {
        let fence = state::Fence { engine: self.settings.engine, worker: self.settings.worker.into() };
        let Some(call) = self.calls.get(key) else { return };
        let before = match &call.known {
            Known::Up(record) => Some(record.header),
            _ => None,
        };
        let expected = before.map(|header| header.stamp).unwrap_or_default();
        let mut bytes = std::mem::take(&mut self.scratch);
        bytes.clear();
        let also = Also { effects: writing.emitted.clone(), ..Also::default() };
        let (command, stamp, replicated) = match &mut writing.change {
            Change::Create { record, wake } => {
                // Versions start at the birth, so a late write never fits the next record of a name.
                let stamp = Stamp { fence, version: record.birth };
                record.header.stamp = stamp;
                record.write(&mut bytes);
                let wake = *wake;
                let create = Create { key, record: bytes[..].into(), wake, also };
                (Command::Create(create), stamp, true)
            }
            Change::Put { record, wake } => {
                let stamp = Stamp { fence, version: expected.version + 1 };
                record.header.stamp = stamp;
                record.write(&mut bytes);
                let wake = *wake;
                let put = Put { key, expected, record: bytes[..].into(), wake, also };
                (Command::Put(put), stamp, true)
            }
            Change::Del { tombstone } => {
                // What happens once outside of the call must not be lost with a primary.
                let replicated = !also.effects.is_empty();
                let (del, stamp) = del_of(key, fence, &before.unwrap_or_default(), Some(tombstone));
                (Command::Del(Del { also, ..del }), stamp, replicated)
            }
        };
        self.scratch = bytes;
        self.counters.commits.add(1);
        if let Some(call) = self.calls.get_mut(key) {
            call.busy = Some(Busy::Writes(Box::new(Writing { stamp, before, ..writing })));
        }
        let replicated = replicated && !planted::is(Bug::NoWait);
        self.ask(Asked::Call(key), key.partition(), command, replicated, out);
    }

    /// The end of a call does not wait for a store that is out of reach: its parties go, and the write comes later.
    pub(super) fn let_go(&mut self, now: Time, key: Key, out: &mut Outbox) {
        let Some(call) = self.calls.get_mut(key) else { return };
        let Some(Busy::Writes(writing)) = &mut call.busy else { return };
        if matches!(writing.change, Change::Del { .. }) {
            let then = std::mem::take(&mut writing.then);
            self.apply(now, key, then, out);
        }
    }

    pub(super) fn written(
        &mut self,
        now: Time,
        key: Key,
        writing: Writing,
        answer: &Result<Answer, Unanswered>,
        out: &mut Outbox,
    ) {
        let Some(call) = self.calls.get_mut(key) else { return };
        match answer {
            Ok(Answer::Done) => self.took_effect(now, key, writing, out),
            Ok(Answer::Refused(there)) => {
                // A write that was sent again finds itself.
                let is_own = there.as_deref().and_then(Stamp::of) == Some(writing.stamp);
                let is_own = is_own && !planted::is(Bug::OwnStampForgotten);
                if is_own || planted::is(Bug::RefusalIgnored) {
                    return self.took_effect(now, key, writing, out);
                }
                let event = writing.event();
                self.counters.conflicts.add(1);
                call.attempts += 1;
                let attempts = call.attempts;
                self.known(key, there.as_deref());
                if attempts <= ATTEMPTS_MAX {
                    self.again(now, key, event, false, out);
                } else {
                    self.give_up(key, &event, out);
                }
            }
            Ok(Answer::Full) => {
                self.counters.refused_full.add(1);
                self.give_up(key, &writing.event(), out);
            }
            _ if let Change::Del { tombstone } = writing.change => {
                // The end of a call does not wait for the store.
                let Writing { before, then, emitted, .. } = writing;
                let (header, tombstone) = (before.unwrap_or_default(), Some(tombstone));
                self.owe(now, key, Owed { header, tombstone, emitted, at: now });
                self.apply(now, key, then, out);
            }
            _ => {
                // Nobody knows whether the write took effect.
                if let Some(call) = self.calls.get_mut(key) {
                    call.known = Known::Unread;
                }
                self.give_up(key, &writing.event(), out);
                if let Change::Create { record, .. } = writing.change {
                    // Else the call would ring when its wake-up comes, long after its caller was refused.
                    let (header, emitted) = (record.header, Vec::new());
                    self.owe(now, key, Owed { header, tombstone: None, emitted, at: now });
                }
            }
        }
    }

    /// The store has what was written.
    fn took_effect(&mut self, now: Time, key: Key, writing: Writing, out: &mut Outbox) {
        let Some(call) = self.calls.get_mut(key) else { return };
        call.attempts = 0;
        let doubted = std::mem::take(&mut call.doubted);
        let former = writing.before.map(|header| header.owner);
        call.known = match writing.change {
            Change::Create { record, .. } | Change::Put { record, .. } => Known::Up(Box::new(record)),
            Change::Del { tombstone } => Known::Gone(tombstone),
        };
        if let Some(former) = former {
            self.tell_former_owner(key, former, out);
        }
        let Some(call) = self.calls.get_mut(key) else { return };
        if doubted {
            // What the write allowed to leave is too old; what the other side needs is sent anew.
            call.waiting.push_front(Owned::TakeOver);
            call.known = Known::Unread;
        } else {
            self.apply(now, key, writing.then, out);
        }
    }
}
