//! All that the load manager remembers of calls: the new-call database (SPEC C2) or, with session affinity, the session
//! list (SPEC B5), and the ledger if the selection counts what is in progress.
//!
//! One map serves both affinities, because an entry's life has the same stages: new, ringing, answered, over. With tag
//! and hash affinity an answered call is forgotten 64·T1 later; with session affinity it stays until it ends or is idle.

use std::collections::HashMap;
use std::sync::Arc;

use base::{Duration, Time};
use sip::Method;

use crate::farm::server::{Seat, Server, ServerId};
use crate::farm::server_counters::ServerCounters;
use crate::memory::expiring::{Entry, Expiring, Remembered};
use crate::memory::large_invites::LargeInvites;
use crate::memory::ledger::{Ledger, Unit};
use crate::memory::mark::Mark;
use crate::settings::{Affinity, Settings};
use crate::signed::branch::BranchKey;
use crate::signed::keyring::CallKey;
use crate::signed::stamp::RINGING_TIME;

/// A transaction whose final response never passes is counted no longer than this.
const TRANSACTION_TIME: Duration = RINGING_TIME;

pub(crate) mod ended;
pub(crate) mod flags;
pub mod told;
use flags::{ANSWERED, OVER, RANG, TRIED};

#[derive(Debug)]
pub struct Calls {
    known: Arc<Expiring>,
    large_invites: Arc<LargeInvites>,
    /// Transactions, if the selection counts them.
    ledger: Option<Arc<Ledger>>,
    /// Calls, if they are counted.
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

    /// The same memory under other settings. Its affinity and its bounds stay as they were.
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
    /// were answered within the last 64·T1. Calls that are over do not count.
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

    /// Whether some memory holds the call under this hash.
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

    /// The seat of the server of a call in progress, if calls are counted.
    pub(crate) fn seat_of(&self, now: Time, call: CallKey) -> Option<Seat> {
        self.census.as_ref().and_then(|census| census.seat_of(now, call.0))
    }

    pub(crate) fn server_of(&self, now: Time, call: CallKey) -> Option<ServerId> {
        self.known.get(now, call.0).map(|entry| ServerId(entry.server))
    }

    /// The entry of a call, for a request of its dialog; the request prolongs the session, which is not idle.
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

    /// The server of a call was heard of: it answered, or it rang if ringing is enough. A call that is over says nothing of
    /// the next call with its Call-ID.
    pub(crate) fn was_heard(&self, now: Time, call: CallKey, ringing_is_enough: bool) -> bool {
        let said = if ringing_is_enough { RANG | ANSWERED } else { ANSWERED };
        let is_heard = |entry: Entry| entry.flags & OVER == 0 && entry.flags & said != 0;
        self.known.get(now, call.0).is_some_and(is_heard)
    }

    /// Whether a response may end something that is kept of a call, or a count: then tags must tell a stranger's requests
    /// apart.
    pub(crate) fn keeps_anything(&self) -> bool {
        self.keeps_sessions || self.census.is_some()
    }

    /// The server of this call. If the call is new, `choose` gives its server and whether that is on trial, and the sender
    /// with this From tag is noted as beginning the call. Of two workers, one chooses.
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

    /// Lists a dialog that the session list did not know (it was lost, or another load manager began it).
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

    /// A new call was given to a server: it counts, if calls are counted.
    pub(crate) fn begun(&self, now: Time, call: CallKey, to: &Server) {
        if let Some(ledger) = &self.census {
            let _ = ledger.begin(now, call.0, to.seat, true, now + RINGING_TIME);
        }
    }

    /// The set-up of a known call goes to another server; the server before had moved it there itself, as by a 302.
    pub(crate) fn begun_elsewhere(&self, now: Time, call: CallKey, to: &Server) {
        self.begun(now, call, to);
        if let Some(ledger) = &self.census {
            ledger.begin_elsewhere(now, call.0, to.seat, true, now + RINGING_TIME);
        }
    }

    /// The selection counts transactions: [`Calls::transaction_begun`] must be called for every request to a server.
    pub(crate) fn counts_transactions(&self) -> bool {
        self.ledger.is_some()
    }

    /// A request goes to a server, of a new call or a known one; a retransmission does not count again. An ACK is no
    /// transaction, and a CANCEL has the branch of its INVITE.
    pub(crate) fn transaction_begun(&self, now: Time, branch: BranchKey, to: &Server, method: Method) {
        if let Some(ledger) = self.ledger.as_ref().filter(|_| !matches!(method, Method::Ack | Method::Cancel))
        {
            let _ = ledger.begin(now, branch.0, to.seat, method == Method::Invite, now + TRANSACTION_TIME);
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
