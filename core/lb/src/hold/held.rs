//! Held requests, in one table of all workers: how each event changes the request concerned.

mod asked_again;
mod cancels;
mod passed;
mod stored;

use base::Time;
use transaction::table::{Bounds, Next, SharedTable};

use super::entry::{After, Entry, Loss, Phase, Step};
use super::{
    Action, Alarms, Class, Counts, GoesTo, HoldCounters, Kept, Limits, NotKept, Speaker, Tried, Verdict,
    What, Why,
};
use crate::farm::server::ServerId;

/// A CANCEL has the branch, hence the key, of its INVITE. This moves the CANCEL to a slot of its own: any constant does,
/// since keys are keyed hashes.
const CANCEL: u64 = 0xC3A5_C85C_97CB_3127;

/// `key` is the branch that the router gives the request, as 64 bits: the same for a request and its copies, and for an
/// INVITE, its CANCEL and the ACK to its failure.
///
/// ```text
/// request   ─▶ keep ──────────▶ send it
/// copy, ACK ─▶ place ─────────▶ send it there
/// CANCEL    ─▶ cancel ────────▶ answer it
/// response  ─▶ response ──────▶ pass, drop, or drop and acknowledge or cancel
/// failure   ─▶ failure_passed, where it came from a stream and went to a client over UDP
/// deadline  ─▶ next_due, until it says None ─▶ send, or choose another server and say `moved`, or answer
/// server is gone ─▶ server_failed, then as for a deadline
/// connection is gone ─▶ connection_lost, or unsent, then as for a deadline
/// ```
#[derive(Debug)]
pub struct Held {
    table: SharedTable<Entry>,
    limits: Limits,
    counters: HoldCounters,
}

impl Held {
    pub fn new(limits: Limits) -> Held {
        let bounds = Bounds { entries_max: limits.entries_max, bytes_max: limits.bytes_max };
        Held { table: SharedTable::new(bounds), limits, counters: HoldCounters::default() }
    }

    pub fn limits(&self) -> &Limits {
        &self.limits
    }

    pub fn len(&self) -> usize {
        self.table.len()
    }

    /// One relaxed load: asked first for every message.
    pub fn is_empty(&self) -> bool {
        self.table.is_empty()
    }

    /// Bytes of messages, their remnants, and entries.
    pub fn bytes(&self) -> usize {
        self.table.bytes()
    }

    pub fn counts(&self) -> Counts {
        self.counters.read()
    }

    /// Takes in a request that is about to be sent. `Err`: the request is sent all the same, unheld. A CANCEL comes here only
    /// if its INVITE is not held.
    pub fn keep(&self, now: Time, alarms: &mut Alarms, key: u64, kept: &Kept<'_>) -> Result<(), NotKept> {
        self.insert(now, alarms, key, kept, Entry::new)
    }

    fn insert(
        &self,
        now: Time,
        alarms: &mut Alarms,
        key: u64,
        kept: &Kept<'_>,
        make: fn(Time, &Kept<'_>, &Limits) -> Option<Entry>,
    ) -> Result<(), NotKept> {
        let slot = slot(key, kept.class);
        let mut shard = self.table.lock(slot);
        if shard.contains(slot) {
            return Err(NotKept::Present);
        }
        let inserted = make(now, kept, &self.limits).ok_or(NotKept::Full).and_then(|mut entry| {
            entry.is_sent(now, alarms.worker());
            shard.insert(now, alarms, slot, entry)
        });
        match inserted {
            Ok(()) => self.counters.kept.add(),
            Err(_) => self.counters.full.add(),
        }
        inserted
    }

    /// Where a copy of a held request goes.
    pub fn place(&self, key: u64, class: Class) -> GoesTo {
        let slot = slot(key, class);
        let shard = self.table.lock(slot);
        shard.get(slot).filter(|entry| entry.class == class).map_or(GoesTo::NotHeld, place_of)
    }

    /// When a held request was first sent. `None`: it is not held.
    pub fn since(&self, key: u64, class: Class) -> Option<Time> {
        let slot = slot(key, class);
        let shard = self.table.lock(slot);
        shard.get(slot).filter(|entry| entry.class == class).map(|entry| entry.born)
    }

    /// An ACK to a failure has come from the client. If the failure was our answer, the ACK ends its copies.
    pub fn acknowledged(&self, now: Time, alarms: &mut Alarms, key: u64) -> GoesTo {
        let place = self.at(now, alarms, key, Class::Invite, |entry| {
            let place = place_of(entry);
            entry.acknowledged(now, &self.limits.timers);
            Next::Keep(place)
        });
        place.unwrap_or(GoesTo::NotHeld)
    }

    /// A response whose Via says that its request is held. `class`: by the method in its CSeq.
    pub fn response<'a>(
        &self,
        now: Time,
        alarms: &mut Alarms,
        key: u64,
        class: Class,
        status: u16,
        speaker: impl Into<Speaker<'a>>,
    ) -> Verdict {
        let speaker = &speaker.into();
        let (verdict, after) = match class {
            Class::Cancel => (self.cancel_response(now, alarms, key, status, speaker), After::Keep),
            Class::Invite => self.judge(now, alarms, key, class, |entry| {
                entry.invite_response(now, status, speaker, &self.limits.timers)
            }),
            Class::Other => self.judge(now, alarms, key, class, |entry| {
                entry.other_response(now, status, &self.limits.timers)
            }),
        };
        match after {
            After::Keep | After::Remove => {}
            After::SendCancel => self.send_cancel(now, alarms, key, speaker.server),
            After::Silence { server, invite } => self.silence(now, alarms, key, server, &invite),
        }
        match &verdict {
            Verdict::Pass => {}
            Verdict::Drop => self.counters.absorbed.add(),
            Verdict::Acknowledge(..) => {
                self.counters.absorbed.add();
                self.counters.acknowledged.add();
            }
            Verdict::Cancel { .. } => {
                self.counters.absorbed.add();
                self.counters.cancelled.add();
            }
        }
        verdict
    }

    /// The server of an INVITE refuses it as full or by its own fault. If there is `another` server beside those that were
    /// tried, [`Held::next_due`] says at once to give it the INVITE, and the refusal is acknowledged. `None`: the refusal is
    /// a response like any other.
    pub fn refused(
        &self,
        now: Time,
        alarms: &mut Alarms,
        key: u64,
        server: ServerId,
        why: Why,
        another: impl FnOnce(&Tried) -> bool,
    ) -> Option<Verdict> {
        let verdict = self.at(now, alarms, key, Class::Invite, |entry| {
            Next::Keep(entry.refused(now, server, why, another, &self.limits))
        })??;
        self.counters.absorbed.add();
        self.counters.acknowledged.add();
        Some(verdict)
    }

    /// This server is gone: takes from it every request that it has not answered. [`Held::next_due`] says at once, to the
    /// worker that called this, what becomes of them. Every worker may call it; the first takes all.
    pub fn server_failed(&self, now: Time, alarms: &mut Alarms, server: ServerId) {
        self.each(now, alarms, |entry| entry.server_failed(now, (server, Why::Failed), &self.limits));
    }

    /// The same for a server with a state tier.
    pub fn server_failed_in_tier(&self, now: Time, alarms: &mut Alarms, server: ServerId) {
        self.each(now, alarms, |entry| entry.server_failed(now, (server, Why::FailedInTier), &self.limits));
    }

    /// A connection of this worker to this server is gone, perhaps with what was written to it. Returns the number of
    /// requests that are sent again, at once or after a pause.
    pub fn connection_lost(&self, now: Time, alarms: &mut Alarms, server: ServerId) -> usize {
        let by = (server, alarms.worker());
        self.each(now, alarms, |entry| entry.connection_lost(now, by, Loss::Closed, &self.limits))
    }

    /// This worker finds no connection for what it sends to this server at this moment: the requests are sent again after
    /// a pause.
    pub fn unsent(&self, now: Time, alarms: &mut Alarms, server: ServerId) -> usize {
        let by = (server, alarms.worker());
        self.each(now, alarms, |entry| entry.connection_lost(now, by, Loss::Unsent, &self.limits))
    }

    /// Changes all entries. Returns the number of entries that `change` concerned.
    fn each(
        &self,
        now: Time,
        alarms: &mut Alarms,
        mut change: impl FnMut(&mut Entry) -> Option<Step>,
    ) -> usize {
        let mut concerned = 0;
        self.table.change_each(now, alarms, |entry| match change(entry) {
            None => Next::Keep(()),
            Some(step) => {
                concerned += 1;
                self.count_end(step);
                match step {
                    Step::Remove | Step::Unanswered => Next::Remove(()),
                    _ => Next::Keep(()),
                }
            }
        });
        concerned
    }

    /// The next thing to do, with the received message in `message` (which is overwritten). To be called until it returns
    /// `None`, or until the caller's own bound on a turn: the rest keeps [`Alarms::next_deadline`] in the past.
    pub fn next_due(&self, now: Time, alarms: &mut Alarms, message: &mut Vec<u8>) -> Option<Action> {
        let worker = alarms.worker();
        self.table.next_due(now, alarms, |slot, entry| {
            let step = entry.step(now, &self.limits);
            self.count_end(step);
            let what = match step {
                Step::Wait => return Next::Keep(None),
                Step::Unanswered | Step::LetGo | Step::Remove => return Next::Remove(None),
                Step::Act(what) => what,
                Step::Repeat(server) => {
                    self.counters.repeated.add();
                    What::Send { server }
                }
                Step::Resend(server) => {
                    self.counters.resent.add();
                    What::Send { server }
                }
            };
            message.clear();
            message.extend_from_slice(&entry.message);
            let action = Action {
                key: key_of(slot, entry.class),
                class: entry.class,
                flow: entry.flow,
                since: entry.born,
                to_client: entry.to_client.is_some(),
                what,
            };
            self.count(what);
            match what {
                What::Send { .. } => entry.is_sent(now, worker),
                What::Answer { .. } => entry.answered(),
                What::Reroute { .. } | What::Passed => {}
            }
            Next::Keep(Some(action))
        })
    }

    /// The answer to [`What::Reroute`]: the request is being sent to this server. False: the request has ended meanwhile.
    pub fn moved(
        &self,
        now: Time,
        alarms: &mut Alarms,
        key: u64,
        class: Class,
        server: ServerId,
        server_reliable: bool,
    ) -> bool {
        let worker = alarms.worker();
        self.sought(now, alarms, key, class, |entry| {
            entry.moved(now, server, server_reliable, &self.limits);
            entry.is_sent(now, worker);
        })
    }

    /// The other answer to [`What::Reroute`]: no server is left to try. An INVITE whose server failed is answered with 503 by
    /// the next [`Held::next_due`]: any other request would get a 503 now, so this one may (RFC 3261 §16.7 step 6). An INVITE
    /// whose server is silent stays there until timer B. A request whose server has a state tier stays there, too. Any other
    /// is forgotten; its client is told nothing, as RFC 4320 §4.2 asks of a timeout.
    pub fn no_server(&self, now: Time, alarms: &mut Alarms, key: u64, class: Class) {
        // An INVITE that has ended meanwhile keeps its remnant.
        let mut step = if class == Class::Invite { Step::Wait } else { Step::Unanswered };
        self.sought(now, alarms, key, class, |entry| step = entry.no_server(now, &self.limits));
        if step != Step::Wait {
            self.let_go(key, class);
        }
    }

    /// The request cannot be sent any more: it is forgotten without an answer from any server.
    pub fn let_go(&self, key: u64, class: Class) {
        let slot = slot(key, class);
        if self.table.lock(slot).remove(slot).is_some() {
            self.count_end(Step::Unanswered);
        }
    }

    /// Changes an entry for which a server is being chosen.
    fn sought(
        &self,
        now: Time,
        alarms: &mut Alarms,
        key: u64,
        class: Class,
        change: impl FnOnce(&mut Entry),
    ) -> bool {
        let changed = self.table.change(now, alarms, slot(key, class), |entry| {
            let is_sought = matches!(entry.phase, Phase::Seeking { .. });
            if is_sought {
                change(entry);
            }
            Next::Keep(is_sought)
        });
        changed.unwrap_or(false)
    }

    /// Lets an entry judge a response, if there is one.
    fn judge(
        &self,
        now: Time,
        alarms: &mut Alarms,
        key: u64,
        class: Class,
        judge: impl FnOnce(&mut Entry) -> (Verdict, After),
    ) -> (Verdict, After) {
        let judged = self.at(now, alarms, key, class, |entry| match judge(entry) {
            (verdict, After::Remove) => Next::Remove((verdict, After::Remove)),
            judged => Next::Keep(judged),
        });
        judged.unwrap_or((Verdict::Pass, After::Keep))
    }

    /// Changes the entry of a request of this class, if there is one.
    fn at<T>(
        &self,
        now: Time,
        alarms: &mut Alarms,
        key: u64,
        class: Class,
        change: impl FnOnce(&mut Entry) -> Next<T>,
    ) -> Option<T> {
        let changed = self.table.change(now, alarms, slot(key, class), |entry| {
            if entry.class == class { change(entry).map(Some) } else { Next::Keep(None) }
        });
        changed.flatten()
    }

    fn count_end(&self, step: Step) {
        match step {
            Step::Unanswered => self.counters.unanswered.add(),
            Step::LetGo => self.counters.let_go.add(),
            Step::Wait | Step::Act(_) | Step::Repeat(_) | Step::Resend(_) | Step::Remove => {}
        }
    }

    fn count(&self, what: What) {
        match what {
            What::Send { .. } => {}
            What::Reroute { why: Why::Failed | Why::FailedInTier, .. } => self.counters.rerouted_failed.add(),
            What::Reroute { why: Why::Silent, .. } => self.counters.rerouted_silent.add(),
            What::Reroute { why: Why::Full, .. } => self.counters.rerouted_full.add(),
            What::Reroute { why: Why::Refused, .. } => self.counters.rerouted_refused.add(),
            What::Answer { .. } => self.counters.answered.add(),
            What::Passed => self.counters.repeated.add(),
        }
    }
}

fn slot(key: u64, class: Class) -> u64 {
    match class {
        Class::Invite | Class::Other => key,
        Class::Cancel => key ^ CANCEL,
    }
}

/// The inverse of [`slot`]: moving a CANCEL twice moves it back.
fn key_of(at: u64, class: Class) -> u64 {
    slot(at, class)
}

fn place_of(entry: &Entry) -> GoesTo {
    match (entry.phase, entry.server) {
        (Phase::Answered { status, .. } | Phase::Over { answered: Some(status) }, _) => {
            GoesTo::Answered(status)
        }
        (_, Some(server)) => GoesTo::At(server),
        (_, None) => GoesTo::Nowhere,
    }
}
