//! Ends of calls that the store has not taken: the call is over for its parties, and the record goes as soon as the store answers. So
//! does the record of a call that was refused because the store did not answer: it may have it nonetheless.

use base::{Duration, Time};
use state::{Also, Answer, Command, Del, Fence, Header, Key, Stamp, Unanswered};

use super::call::{Busy, Known, Owed};
use super::{Asked, Engine, Outbox};
use crate::record::Tombstone;

/// Time between two attempts.
const EVERY: Duration = Duration::from_secs(1);

/// Ends that are kept. Beyond them, the wake-up of the record finds that nobody is there.
const OWED_MAX: u64 = 10_000;

impl Engine {
    pub(super) fn owe(&mut self, now: Time, key: Key, owed: Owed) {
        let kept = self.counters.owed.get() < OWED_MAX;
        let Some(call) = self.calls.get_mut(key) else { return };
        if let Some(tombstone) = owed.tombstone {
            call.known = Known::Gone(tombstone);
        }
        if kept && call.owed.is_none() {
            call.owed = Some(Box::new(Owed { at: now + EVERY, ..owed }));
            self.counters.owed.add(1);
        }
    }

    /// Tries once more, if it is time.
    pub(super) fn write_owed(&mut self, now: Time, key: Key, out: &mut Outbox) {
        let fence = Fence { engine: self.settings.engine, worker: self.settings.worker.into() };
        let Some(call) = self.calls.get_mut(key) else { return };
        if call.busy.is_some() {
            return;
        }
        let Some(owed) = call.owed.as_mut().filter(|owed| owed.at <= now) else { return };
        owed.at = now + EVERY;
        let (del, _) = del_of(key, fence, &owed.header, owed.tombstone.as_ref());
        let also = Also { effects: owed.emitted.clone(), ..Also::default() };
        let replicated = !also.effects.is_empty();
        call.busy = Some(Busy::Owes);
        self.ask(Asked::Call(key), key.partition(), Command::Del(Del { also, ..del }), replicated, out);
    }

    pub(super) fn owed_written(&mut self, now: Time, key: Key, answer: &Result<Answer, Unanswered>) {
        let Some(call) = self.calls.get_mut(key) else { return };
        match answer {
            // Refused: the record is not the one that ended. Its owner goes on with it.
            Ok(_) => {
                call.owed = None;
                self.counters.owed.set(self.counters.owed.get().saturating_sub(1));
            }
            Err(_) => {
                if let Some(owed) = &mut call.owed {
                    owed.at = now + EVERY;
                }
            }
        }
    }
}

/// The command that ends a record, and the stamp of what it leaves.
pub(super) fn del_of(key: Key, fence: Fence, header: &Header, tombstone: Option<&Tombstone>) -> (Del, Stamp) {
    let expected = header.stamp;
    let stamp = Stamp { fence, version: expected.version + 1 };
    let tombstone = tombstone.map(|tombstone| {
        let mut bytes = Vec::with_capacity(64);
        tombstone.write(&Header { stamp, ..*header }, &mut bytes);
        bytes.into()
    });
    (Del { key, expected, tombstone, also: Default::default() }, stamp)
}
