//! What the load manager remembers of calls, and nothing more: the new-call database (SPEC C2) or, with session
//! affinity, the session list (SPEC B5), and the ledger where the selection counts what is in progress.
//!
//! One map serves both affinities, because an entry's life has the same stages: new, ringing, answered, over. With tag
//! and hash affinity an answered call is forgotten 64·T1 later; with session affinity it stays until it ends or is idle.

use crate::signed::branch::{BranchKey, branch_key};
use crate::signed::stamp::RINGING_TIME;
use std::collections::HashMap;
use std::sync::Arc;

use base::{Duration, Time};
use heartbeat::notice::{Notice, What};
use sip::Method;

use crate::farm::server::{Seat, Server, ServerId};
use crate::farm::server_counters::ServerCounters;
use crate::memory::expiring::{Entry, Expiring, Remembered};
use crate::memory::large_invites::LargeInvites;
use crate::memory::ledger::{Ledger, Unit};
use crate::memory::mark::Mark;
use crate::settings::{Affinity, Settings};
use crate::signed::keyring::CallKey;

/// A transaction whose final response never passes is counted no longer than this.
const TRANSACTION_TIME: Duration = RINGING_TIME;

/// Flag of an entry: the call is over, and nothing prolongs it.
const OVER: u32 = 1;
/// Flags: a provisional response, a success, a failure of its set-up, an answer to its BYE has passed, so that a repeated one
/// counts no more.
const RANG: u32 = 1 << 1;
const ANSWERED: u32 = 1 << 2;
const FAILED: u32 = 1 << 3;
const ENDED: u32 = 1 << 6;
/// The same flags, so much higher, of the passage to a client: a call may pass twice, from a client to a server and from that to
/// another client, and each response of it passes twice.
const TO_CLIENT: u32 = 8;
/// Two bits: how many servers refused the set-up by their own fault, and it was given to another.
const REFUSED: u32 = 1 << 4;
const REFUSED_ALL: u32 = 3 << 4;
/// Flag: the server was on trial when the call was given to it.
const TRIED: u32 = 1 << 7;
/// No two of them share a bit.
const _: () = assert!(OVER + RANG + ANSWERED + FAILED + REFUSED_ALL + ENDED + TRIED == u8::MAX as u32);

/// The call was given to a server on trial.
pub(crate) fn is_tried(entry: Entry) -> bool {
    entry.flags & TRIED != 0
}

/// What became of a notice of another load manager.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Told {
    Learnt,
    /// We knew of that call.
    Known,
    /// We knew of that call, at another server: it is to be feared that both have it.
    Otherwise,
    /// There is no room.
    Full,
}

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

/// What a response was to a call that is remembered.
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
    /// `before`: the flags of the entry, `kind`: what this response sets, higher by `shift`.
    fn of(before: Option<u32>, kind: u32, shift: u32) -> News {
        match before.map(|flags| flags >> shift) {
            None => News::Unknown,
            Some(flags) if flags & kind != 0 => News::Repeated,
            Some(flags) if flags & (RANG | ANSWERED | FAILED) != 0 => News::Further,
            Some(_) => News::First,
        }
    }
}

#[derive(Debug)]
pub struct Calls {
    known: Arc<Expiring>,
    large_invites: Arc<LargeInvites>,
    /// Transactions, where the selection counts them.
    ledger: Option<Arc<Ledger>>,
    /// Calls, where they are counted.
    census: Option<Arc<Ledger>>,
    keeps_sessions: bool,
    new_call_time: Duration,
    idle: Duration,
}

impl Calls {
    /// `counters`: where calls and transactions are counted, if they are.
    pub fn new(settings: &Settings, counters: &ServerCounters) -> Calls {
        let keeps_sessions = settings.affinity == Affinity::Session;
        let max = if keeps_sessions { settings.sessions_max } else { settings.new_calls_max };
        Calls::over(Arc::new(Expiring::new(max)), Arc::new(LargeInvites::new()), settings, counters)
    }

    /// The same memory under other settings. Its affinity and its bounds are those that it was made with.
    pub fn renewed(&self, settings: &Settings, counters: &ServerCounters) -> Calls {
        Calls::over(self.known.clone(), self.large_invites.clone(), settings, counters)
    }

    fn over(
        known: Arc<Expiring>,
        large_invites: Arc<LargeInvites>,
        settings: &Settings,
        counters: &ServerCounters,
    ) -> Calls {
        Calls {
            known,
            large_invites,
            ledger: counters.ledger.clone().filter(|ledger| ledger.unit() != Unit::Calls),
            census: counters.census.clone(),
            keeps_sessions: settings.affinity == Affinity::Session,
            new_call_time: settings.new_call_time,
            idle: settings.session_idle,
        }
    }

    /// Calls of each server that the memory holds: with session affinity all of them, else those that are being set up or
    /// were answered within the last 64·T1. One that is over does not count.
    pub fn remembered(&self, now: Time) -> HashMap<ServerId, u32> {
        let mut servers = HashMap::new();
        self.known.visit(now, |_, entry| {
            if entry.flags & OVER == 0 {
                *servers.entry(ServerId(entry.server)).or_default() += 1;
            }
        });
        servers
    }

    /// Calls in progress at the server of this seat; `None`: they are not counted.
    pub fn counted(&self, seat: Seat) -> Option<u32> {
        self.census.as_ref().map(|census| census.count(seat.slot) / u32::from(crate::memory::ledger::ONE))
    }

    /// Some memory holds the call under this hash.
    pub(crate) fn remembers(&self, now: Time, call: CallKey) -> bool {
        let counted = |census: &Arc<Ledger>| census.entries().get(now, call.0).is_some();
        self.known.get(now, call.0).is_some() || self.census.as_ref().is_some_and(counted)
    }

    /// There is no room for one more.
    pub(crate) fn is_full(&self) -> bool {
        self.known.len() >= self.known.entries_max()
    }

    /// The map behind, for status: entries, bytes, bound, refusals.
    pub fn known_calls(&self) -> &Expiring {
        &self.known
    }

    pub(crate) fn large_invites(&self) -> &LargeInvites {
        &self.large_invites
    }

    pub(crate) fn server_of(&self, now: Time, call: CallKey) -> Option<ServerId> {
        self.known.get(now, call.0).map(|entry| ServerId(entry.server))
    }

    /// What is remembered of a call, for a request of its dialog; a session that is heard of is not idle.
    pub(crate) fn of_dialog(&self, now: Time, call: CallKey) -> Option<Entry> {
        if !self.keeps_sessions {
            return self.known.get(now, call.0);
        }
        let until = now + self.idle;
        let prolonged = self.known.update(now, call.0, |entry| {
            if entry.flags & OVER == 0 {
                entry.until = entry.until.max(until);
            }
        });
        prolonged.map(|(entry, _)| entry)
    }

    /// Who began the call, as far as that is remembered.
    pub(crate) fn mark(&self, now: Time, call: CallKey) -> Option<Mark> {
        self.known.get(now, call.0).and_then(|entry| Mark::in_flags(entry.flags))
    }

    /// The server of a call was heard of: it answered, or it rang where that is enough. A call that is over says nothing of the next
    /// one with its Call-ID.
    pub(crate) fn was_heard(&self, now: Time, call: CallKey, ringing_is_enough: bool) -> bool {
        let said = if ringing_is_enough { RANG | ANSWERED } else { ANSWERED };
        let is_heard = |entry: Entry| entry.flags & OVER == 0 && entry.flags & said != 0;
        self.known.get(now, call.0).is_some_and(is_heard)
    }

    /// What is ended by a response, or counted, is told from what a stranger sends: by the tags.
    pub(crate) fn keeps_anything(&self) -> bool {
        self.keeps_sessions || self.census.is_some()
    }

    /// The server of this call, chosen by `choose` if the call is new, with whether it is on trial; the call, which who has this From tag begins. Of two workers one chooses.
    pub(crate) fn server_or(
        &self,
        now: Time,
        call: CallKey,
        from_tag: &[u8],
        choose: impl FnOnce() -> Option<(ServerId, bool)>,
    ) -> Remembered {
        self.known.get_or_insert_with(now, call.0, now + self.new_call_time, || {
            choose().map(|(server, tried)| {
                (server.0, Mark::of(from_tag).to_flags() | if tried { TRIED } else { 0 })
            })
        })
    }

    /// A dialog that the session list did not know (it was lost, or another load manager began it) is listed.
    pub(crate) fn adopt(&self, now: Time, call: CallKey, server: ServerId) {
        if self.keeps_sessions {
            let _ = self.known.get_or_insert_with(now, call.0, now + self.idle, || Some((server.0, 0)));
        }
    }

    /// Another server has the call from now on.
    pub(crate) fn moved(&self, now: Time, call: CallKey, to: &Server) {
        self.known.update(now, call.0, |entry| {
            entry.server = to.id.0;
            entry.flags &= !TRIED;
        });
        if let Some(ledger) = &self.census {
            ledger.move_to(now, call.0, to.seat);
        }
    }

    /// A new call was given to a server: it counts, where calls are counted.
    pub(crate) fn begun(&self, now: Time, call: CallKey, to: &Server) {
        if let Some(ledger) = &self.census {
            let _ = ledger.begin(now, call.0, to.seat, true, now + RINGING_TIME);
        }
    }

    /// The set-up of a known call goes to another server than before, which had moved it there itself, as by a 302.
    pub(crate) fn begun_elsewhere(&self, now: Time, call: CallKey, to: &Server) {
        self.begun(now, call, to);
        if let Some(ledger) = &self.census {
            ledger.begin_elsewhere(now, call.0, to.seat, true, now + RINGING_TIME);
        }
    }

    /// The selection counts transactions: every request to a server is to be told to [`Calls::transaction_begun`].
    pub(crate) fn counts_transactions(&self) -> bool {
        self.ledger.is_some()
    }

    /// A request goes to a server, of a new call or of a known one; a retransmission does not count again. An ACK is no
    /// transaction, and a CANCEL has the branch of its INVITE.
    pub(crate) fn transaction_begun(&self, now: Time, branch: BranchKey, to: &Server, method: Method) {
        if let Some(ledger) = self.ledger.as_ref().filter(|_| !matches!(method, Method::Ack | Method::Cancel))
        {
            let _ = ledger.begin(now, branch.0, to.seat, method == Method::Invite, now + TRANSACTION_TIME);
        }
    }

    /// A final response passed; `branch` is the text in our Via.
    pub(crate) fn transaction_ended(&self, now: Time, branch: &[u8], what: Ended) {
        let (Some(ledger), Some(key)) = (&self.ledger, branch_key(branch)) else { return };
        if what == Ended::Broken {
            return ledger.count_until(now, key.0, now + self.new_call_time, Time::NEVER);
        }
        ledger.end(now, key.0);
    }

    /// A server refused the set-up by its own fault, and another gets it. True: this counts, as it does once for each server that
    /// one held set-up can be taken away from. So nobody makes a server look bad by one call that is repeated without end.
    pub(crate) fn refused(&self, now: Time, call: CallKey) -> bool {
        let changed = self.known.update(now, call.0, |entry| {
            if entry.flags & REFUSED_ALL != REFUSED_ALL {
                entry.flags += REFUSED;
            }
        });
        changed.is_some_and(|(before, after)| before.flags != after.flags)
    }

    /// Gives what other load managers should know of it, and whether it is news. `of_server`: it is said of the passage of a call
    /// that a server began.
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
                // Once: with the first that says it.
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
                // One that never rang is remembered no longer anyway.
                let told = changed.filter(|(before, _)| self.is_long(now, *before)).map(|_| What::Answered);
                (told, News::of(flags(changed), ANSWERED, shift))
            }
            // A proxy that forks sends several set-ups with one Call-ID: where one fails, another may ring on, and its
            // CANCEL must find the server. So a failure shortens nothing.
            Ended::Failed | Ended::Broken => {
                if let Some(ledger) = calls {
                    // What is counted longer than a call rings was answered on another branch. A second for rounding.
                    let after = now + RINGING_TIME + Duration::from_secs(1);
                    if what == Ended::Broken {
                        // A server that fails at once what it is given has nothing in progress, and would get everything.
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

    /// The entry is remembered for longer than a new call is.
    fn is_long(&self, now: Time, entry: Entry) -> bool {
        // A step of the map's clock for rounding.
        entry.until > now + self.new_call_time + Duration::from_millis(100)
    }

    /// Another load manager tells of a call. What we know ourselves stands, but for a move: the other had the reason. A
    /// quarter of the memory is kept for our own calls.
    pub fn told(&self, now: Time, notice: Notice) -> Told {
        let long = match notice.what {
            What::Begun | What::Moved | What::Over => self.new_call_time,
            What::Ringing => RINGING_TIME,
            What::Answered if self.keeps_sessions => self.idle,
            What::Answered => self.new_call_time,
        };
        let until = now + long;
        let known = self.known.update(now, notice.call, |entry| match notice.what {
            What::Begun => {}
            What::Moved => entry.server = notice.server,
            What::Ringing => entry.until = entry.until.max(until),
            What::Answered if self.keeps_sessions => entry.until = entry.until.max(until),
            What::Answered => entry.until = entry.until.min(until),
            What::Over => {
                entry.until = entry.until.min(until);
                entry.flags |= OVER;
            }
        });
        match known {
            Some((before, _)) if notice.what != What::Moved && before.server != notice.server => {
                Told::Otherwise
            }
            Some(_) => Told::Known,
            None if notice.what == What::Over => Told::Known,
            None if self.known.len() >= self.known.entries_max() / 4 * 3 => Told::Full,
            None => match self.known.get_or_insert_with(now, notice.call, until, || Some((notice.server, 0)))
            {
                Remembered::Full => Told::Full,
                Remembered::New { .. } | Remembered::Known(_) | Remembered::Declined => Told::Learnt,
            },
        }
    }

    /// To be called ten times a second or more often by one thread: ends what has expired.
    pub fn sweep(&self, now: Time) {
        self.known.sweep_paced(now, |_, _| {});
        self.large_invites.sweep(now);
        for ledger in self.ledger.iter().chain(&self.census) {
            ledger.sweep(now);
        }
    }
}
