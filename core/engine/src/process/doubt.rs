//! An engine that stood still does not know what others did meanwhile: it looks anew before it sends (SPEC E2).

use base::{Duration, Time};
use state::Key;
use state::planted::{self, Bug};
use state::wakeup::{DEAD_AFTER, MARK_EVERY};

use super::call::{Known, Owned};
use super::stand_in::is_in_progress;
use super::{Engine, Outbox};

/// A turn that comes so much later than its deadline is late.
const LATE: Duration = Duration::from_millis(300);

impl Engine {
    /// Called at the start of every turn.
    pub(super) fn look_at_clock(&mut self, now: Time, out: &mut Outbox) {
        // Marks alone make a turn this often.
        let is_late = now.since(self.tier.now()) > MARK_EVERY + LATE;
        self.tier.set_now(now);
        if is_late {
            // The store may have answered all the time.
            self.tier.silent.clear();
            self.tier.answered();
            // Their answers may wait in the socket.
            self.tier.suspects.clear();
        }
        let is_again = self.tier.doubts_again.is_some_and(|at| at <= now);
        if !(is_late || is_again) {
            return;
        }
        // Others may have taken it for dead until they had seen its marks, and have taken over what it had just gone on with.
        self.tier.doubts_again = is_late.then_some(now + DEAD_AFTER);
        if self.calls.len() > 0 && !planted::is(Bug::NoDoubt) {
            self.counters.stood_still.add(u64::from(is_late));
            self.doubt(now, out);
        }
    }

    /// Forgets what repetitions were due. A call in progress is read anew: its owner goes on with it, this engine or another.
    fn doubt(&mut self, now: Time, out: &mut Outbox) {
        self.calls.doubt_packed();
        let mut waiting: Vec<Key> = Vec::new();
        for (key, call) in self.calls.all_mut() {
            let is_waiting = matches!(&call.known, Known::Up(record) if is_in_progress(record));
            call.soft.forget();
            call.again.clear();
            if call.busy.is_some() {
                call.doubted = true;
            } else if call.owed.is_none() {
                call.known = Known::Unread;
                if is_waiting {
                    waiting.push(key);
                }
            }
        }
        for key in waiting {
            self.happens(now, key, Owned::TakeOver, out);
        }
    }
}
