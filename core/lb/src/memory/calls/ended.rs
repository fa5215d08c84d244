//! What a response says of its call, and how the memory changes: how long the call is remembered and counted, what other load
//! managers are told, and whether the response says anything new.

use base::{Duration, Time};
use heartbeat::notice::What;

use super::Calls;
use super::flags::{ANSWERED, ENDED, FAILED, OVER, RANG, REFUSED, REFUSED_ALL, TO_CLIENT};
use crate::memory::expiring::Entry;
use crate::signed::branch::branch_key;
use crate::signed::keyring::CallKey;
use crate::signed::stamp::RINGING_TIME;

/// What a response says about its call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ended {
    Nothing,
    Ringing,
    Answered,
    Failed,
    /// Its set-up failed by the server's fault.
    Broken,
    Over,
}

/// How new the statement of a response is, for a remembered call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum News {
    /// The first that says anything of the call.
    First,
    /// The first of its kind.
    Further,
    /// The same was said before.
    Repeated,
    /// The call is not remembered.
    Unknown,
}

impl News {
    /// `before`: the flags of the entry; `kind`: the flag that this response sets, shifted up by `shift`.
    fn of(before: Option<u32>, kind: u32, shift: u32) -> News {
        match before.map(|flags| flags >> shift) {
            None => News::Unknown,
            Some(flags) if flags & kind != 0 => News::Repeated,
            Some(flags) if flags & (RANG | ANSWERED | FAILED) != 0 => News::Further,
            Some(_) => News::First,
        }
    }
}

impl Calls {
    /// A final response passed; `branch` is the text in our Via.
    pub(crate) fn transaction_ended(&self, now: Time, branch: &[u8], what: Ended) {
        let (Some(ledger), Some(key)) = (&self.ledger, branch_key(branch)) else { return };
        if what == Ended::Broken {
            return ledger.count_until(now, key.0, now + self.new_call_time, Time::NEVER);
        }
        ledger.end(now, key.0);
    }

    /// A server refused the set-up by its own fault, and another server gets it. True: the refusal counts. It counts once for
    /// each server that one held set-up can be taken away from, so that nobody makes a server look bad with one call that is
    /// repeated without end.
    pub(crate) fn refused(&self, now: Time, call: CallKey) -> bool {
        let changed = self.known.update(now, call.0, |entry| {
            if entry.flags & REFUSED_ALL != REFUSED_ALL {
                entry.flags += REFUSED;
            }
        });
        changed.is_some_and(|(before, after)| before.flags != after.flags)
    }

    /// Returns what other load managers should be told, and whether the response says anything new. `of_server`: the response
    /// is of the passage to a client of a call that a server began.
    pub(crate) fn ended(
        &self,
        now: Time,
        call: CallKey,
        what: Ended,
        of_server: bool,
    ) -> (Option<What>, News) {
        let shift = if of_server { TO_CLIENT } else { 0 };
        let calls = self.census.as_ref();
        let flags = |changed: Option<(Entry, Entry)>| changed.map(|(before, _)| before.flags);
        match what {
            Ended::Nothing => (None, News::Unknown),
            Ended::Ringing => {
                let until = now + RINGING_TIME;
                let changed = self.known.update(now, call.0, |entry| {
                    entry.until = entry.until.max(until);
                    entry.flags |= RANG << shift;
                });
                if let Some(ledger) = calls {
                    ledger.extend(now, call.0, now + RINGING_TIME);
                }
                // Told once: with the first response that says so.
                let told = changed.filter(|(before, _)| !self.is_long(now, *before)).map(|_| What::Ringing);
                (told, News::of(flags(changed), RANG, shift))
            }
            Ended::Answered if self.keeps_sessions => {
                let until = now + self.idle;
                let changed = self.known.update(now, call.0, |entry| {
                    entry.until = entry.until.max(until);
                    entry.flags |= ANSWERED << shift;
                });
                if let Some(ledger) = calls {
                    ledger.extend(now, call.0, now + self.idle);
                }
                (Some(What::Answered), News::of(flags(changed), ANSWERED, shift))
            }
            Ended::Answered => {
                let until = now + self.new_call_time;
                let changed = self.known.update(now, call.0, |entry| {
                    entry.until = entry.until.min(until);
                    entry.flags |= ANSWERED << shift;
                });
                if let Some(ledger) = calls {
                    ledger.extend(now, call.0, now + self.idle);
                }
                // A call that never rang is remembered no longer anyway.
                let told = changed.filter(|(before, _)| self.is_long(now, *before)).map(|_| What::Answered);
                (told, News::of(flags(changed), ANSWERED, shift))
            }
            // A proxy that forks sends several set-ups with one Call-ID: if one fails, another may ring on, and its CANCEL
            // must find the server. So a failure shortens nothing.
            Ended::Failed | Ended::Broken => {
                if let Some(ledger) = calls {
                    // A call that is counted for longer than it may ring was answered on another branch. A second for
                    // rounding.
                    let after = now + RINGING_TIME + Duration::from_secs(1);
                    if what == Ended::Broken {
                        // A server that fails its calls at once has nothing in progress, and would get every call.
                        ledger.count_until(now, call.0, now + self.new_call_time, after);
                    } else {
                        ledger.end_unless_after(now, call.0, after);
                    }
                }
                let changed = self.known.update(now, call.0, |entry| entry.flags |= FAILED << shift);
                (None, News::of(flags(changed), FAILED, shift))
            }
            Ended::Over => {
                let until = now + self.new_call_time;
                let changed = self.known.update(now, call.0, |entry| {
                    entry.until = entry.until.min(until);
                    entry.flags |= OVER | ENDED << shift;
                });
                if let Some(ledger) = calls {
                    ledger.end(now, call.0);
                }
                (self.keeps_sessions.then_some(What::Over), News::of(flags(changed), ENDED, shift))
            }
        }
    }

    /// Whether the entry is remembered for longer than a new call is.
    fn is_long(&self, now: Time, entry: Entry) -> bool {
        // A step of the map's clock for rounding.
        entry.until > now + self.new_call_time + Duration::from_millis(100)
    }
}
