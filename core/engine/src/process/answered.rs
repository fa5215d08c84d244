//! Answers that a proxy has passed, and that the store does not know of so far: nobody sends them again, so this engine looks
//! once more. Else the branches of an answered call would be called anew when its wake-up comes.

use base::{Duration, Time};
use sip::headers::{cseq, via};
use sip::{Message, Method, Name};
use state::Key;

use super::Engine;
use super::call::{Owned, WAITING_MAX};
use crate::names::OwnVia;

/// When an answer that the store did not take is written once more.
const AGAIN: Duration = Duration::from_secs(1);

/// In this time the owner of a call has written that it is answered, or its death is known.
const OWNER_WRITES: Duration = Duration::from_millis(2_500);

impl Engine {
    /// The message was handed to another engine, which may be dead already.
    pub(super) fn look_whether_written(&mut self, now: Time, key: Key, message: &Message<'_>, owned: Owned) {
        if self.has_passed(message) {
            self.later(key, now + OWNER_WRITES, owned);
        }
    }

    /// The store did not take what a message does.
    pub(super) fn write_answer_later(&mut self, key: Key, message: &Message<'_>, owned: Owned) {
        if self.has_passed(message) {
            self.later(key, self.tier.now() + AGAIN, owned);
        }
    }

    fn has_passed(&self, message: &Message<'_>) -> bool {
        let is_ours = || {
            let top = via::top(message)?.ok()?;
            self.way_back(message, OwnVia::read(&top)?, &top)
        };
        self.is_proxy() && is_answer(message) && is_ours().is_some()
    }

    fn later(&mut self, key: Key, at: Time, event: Owned) {
        if self.calls.wake(key).is_none() && self.calls.add(key).is_none() {
            return;
        }
        let Some(call) = self.calls.get_mut(key) else { return };
        let waits = call.again.iter().any(|(_, other)| *other == event);
        if !waits && call.again.len() < WAITING_MAX {
            call.again.push((at, event));
        }
        self.calls.arm(key);
    }
}

/// A 2xx to an INVITE.
pub(super) fn is_answer(message: &Message<'_>) -> bool {
    let sequence = message.first_value(Name::CSeq).and_then(cseq::parse);
    let is_success = message.status().is_some_and(|status| (200..300).contains(&status));
    is_success && sequence.is_some_and(|sequence| sequence.method == Method::Invite)
}
