//! The one table of held requests: shared by all workers, bounded in entries and bytes.

mod cancels;

use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use base::Time;

use super::alarms::{HORIZON, HORIZON_MIN};
use super::entry::{After, Entry, Loss, Phase, Step};
use super::shards::{ENTRY_BYTES, Shard, Shards, slot};
use super::{
    Action, Alarms, Class, Counts, GoesTo, HoldCounters, Kept, Limits, NotKept, Tried, Verdict, What, Why,
};
use crate::farm::server::ServerId;

/// `key` is the branch that the router gives the request, as 64 bits: the same for a request and its copies, and for an
/// INVITE, its CANCEL and the ACK to its failure.
///
/// ```text
/// request   ─▶ keep ──────────▶ send it
/// copy, ACK ─▶ place ─────────▶ send it there
/// CANCEL    ─▶ cancel ────────▶ answer it
/// response  ─▶ response ──────▶ pass, drop, or drop and acknowledge or cancel
/// deadline  ─▶ next_due, until it says None ─▶ send, or choose another server and say `moved`, or answer
/// server is gone ─▶ server_failed, then as for a deadline
/// connection is gone ─▶ connection_lost, or unsent, then as for a deadline
/// ```
#[derive(Debug)]
pub struct Held {
    shards: Shards,
    limits: Limits,
    len: AtomicUsize,
    bytes: AtomicUsize,
    counters: HoldCounters,
}

impl Held {
    pub fn new(limits: Limits) -> Held {
        let (len, bytes) = (AtomicUsize::new(0), AtomicUsize::new(0));
        Held { shards: Shards::new(), limits, len, bytes, counters: HoldCounters::default() }
    }

    pub fn limits(&self) -> &Limits {
        &self.limits
    }

    pub fn len(&self) -> usize {
        self.len.load(Relaxed)
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Bytes of messages, their remnants, and entries.
    pub fn bytes(&self) -> usize {
        self.bytes.load(Relaxed)
    }

    pub fn counts(&self) -> Counts {
        self.counters.read()
    }

    /// Takes in a request that is about to be sent. `Err`: it is sent all the same, unheld. A CANCEL comes here only when
    /// its INVITE is not held.
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
        let mut shard = self.shards.lock(slot);
        if shard.contains_key(&slot) {
            return Err(NotKept::Present);
        }
        // Room is taken first and given back if there was none, so that the bounds hold with any number of workers.
        let entry = make(now, kept, &self.limits).filter(|_| !alarms.is_full());
        let Some(mut entry) = entry.filter(|entry| self.take_room(entry.bytes())) else {
            self.counters.full.add();
            return Err(NotKept::Full);
        };
        entry.is_sent(now, alarms.worker());
        arm(&mut entry, now, alarms, slot);
        shard.insert(slot, entry);
        self.counters.kept.add();
        Ok(())
    }

    /// Where a copy of a held request goes.
    pub fn place(&self, key: u64, class: Class) -> GoesTo {
        let slot = slot(key, class);
        let shard = self.shards.lock(slot);
        shard.get(&slot).filter(|entry| entry.class == class).map_or(GoesTo::NotHeld, place_of)
    }

    /// An ACK to a failure has come from the client. Where we answered, it ends the copies of our answer.
    pub fn acknowledged(&self, now: Time, alarms: &mut Alarms, key: u64) -> GoesTo {
        let slot = slot(key, Class::Invite);
        let mut shard = self.shards.lock(slot);
        let Some(entry) = shard.get_mut(&slot).filter(|entry| entry.class == Class::Invite) else {
            return GoesTo::NotHeld;
        };
        let place = place_of(entry);
        self.change(entry, |entry| entry.acknowledged(now, &self.limits.timers));
        arm(entry, now, alarms, slot);
        place
    }

    /// A response whose Via says that its request is held. `class` is of its CSeq method, `server` of its hop.
    pub fn response(
        &self,
        now: Time,
        alarms: &mut Alarms,
        key: u64,
        class: Class,
        status: u16,
        server: ServerId,
    ) -> Verdict {
        let (verdict, after) = match class {
            Class::Cancel => (self.cancel_response(now, alarms, key, status, server), After::Keep),
            Class::Invite | Class::Other => self.at(now, alarms, key, class, |entry| match class {
                Class::Invite => entry.invite_response(now, status, server, &self.limits.timers),
                Class::Cancel | Class::Other => entry.other_response(now, status, &self.limits.timers),
            }),
        };
        match after {
            After::Keep | After::Remove => {}
            After::SendCancel => self.send_cancel(now, alarms, key, server),
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

    /// The server of an INVITE refuses it as full or by its own fault. Where there is `another` beside those that were tried, that
    /// one gets it, as [`Held::next_due`] says
    /// at once, and the refusal is acknowledged. `None`: it is a response like any other.
    pub fn refused(
        &self,
        now: Time,
        alarms: &mut Alarms,
        key: u64,
        server: ServerId,
        why: Why,
        another: impl FnOnce(&Tried) -> bool,
    ) -> Option<Verdict> {
        let slot = slot(key, Class::Invite);
        let mut shard = self.shards.lock(slot);
        let entry = shard.get_mut(&slot).filter(|entry| entry.class == Class::Invite)?;
        let verdict = self.change(entry, |entry| entry.refused(now, server, why, another, &self.limits))?;
        arm(entry, now, alarms, slot);
        self.counters.absorbed.add();
        self.counters.acknowledged.add();
        Some(verdict)
    }

    /// This server is gone: takes from it every request that it has not answered. What becomes of them
    /// [`Held::next_due`] says at once, to the worker that called this. Every worker may call it; the first takes all.
    pub fn server_failed(&self, now: Time, alarms: &mut Alarms, server: ServerId) {
        self.each(now, alarms, |entry| entry.server_failed(now, server, &self.limits));
    }

    /// A connection of this worker to this server is gone, and perhaps what was written into it: the number of requests
    /// that are sent again, at once or after a pause.
    pub fn connection_lost(&self, now: Time, alarms: &mut Alarms, server: ServerId) -> usize {
        let by = (server, alarms.worker());
        self.each(now, alarms, |entry| entry.connection_lost(now, by, Loss::Closed, &self.limits))
    }

    /// What this worker sends to this server in this moment finds no connection: it is sent again after a pause.
    pub fn unsent(&self, now: Time, alarms: &mut Alarms, server: ServerId) -> usize {
        let by = (server, alarms.worker());
        self.each(now, alarms, |entry| entry.connection_lost(now, by, Loss::Unsent, &self.limits))
    }

    /// Changes all entries; the number of those that `change` concerned.
    fn each(
        &self,
        now: Time,
        alarms: &mut Alarms,
        mut change: impl FnMut(&mut Entry) -> Option<Step>,
    ) -> usize {
        let mut concerned = 0;
        for mut shard in self.shards.each() {
            shard.retain(|slot, entry| {
                let Some(step) = self.change(entry, &mut change) else { return true };
                concerned += 1;
                let kept = !matches!(step, Step::Remove | Step::Unanswered);
                if kept {
                    arm(entry, now, alarms, *slot);
                } else {
                    self.forget(entry, step);
                }
                kept
            });
        }
        concerned
    }

    /// The next thing to do, with the received message in `message` (which is overwritten). To be called until it says
    /// `None`, or until the caller's own bound on a turn: what is left keeps [`Alarms::next_deadline`] in the past.
    pub fn next_due(&self, now: Time, alarms: &mut Alarms, message: &mut Vec<u8>) -> Option<Action> {
        while let Some((at, slot)) = alarms.pop(now) {
            let mut shard = self.shards.lock(slot);
            let Some(entry) = shard.get_mut(&slot) else { continue };
            if entry.armed != (at, alarms.worker()) {
                continue;
            }
            entry.armed = (Time::NEVER, 0);
            let step = if entry.deadline() <= now {
                self.change(entry, |entry| entry.step(now, &self.limits))
            } else {
                Step::Wait
            };
            let what = match step {
                Step::Wait => None,
                Step::Act(what) => Some(what),
                Step::Repeat(server) => {
                    self.counters.repeated.add();
                    Some(What::Send { server })
                }
                Step::Resend(server) => {
                    self.counters.resent.add();
                    Some(What::Send { server })
                }
                Step::Unanswered | Step::LetGo | Step::Remove => {
                    if let Some(entry) = shard.remove(&slot) {
                        self.forget(&entry, step);
                    }
                    continue;
                }
            };
            let action = what.map(|what| {
                message.clear();
                message.extend_from_slice(&entry.message);
                self.count(what);
                let to_client = entry.to_client.is_some();
                Action {
                    key: key_of(slot, entry.class),
                    class: entry.class,
                    flow: entry.flow,
                    since: entry.born,
                    to_client,
                    what,
                }
            });
            if matches!(what, Some(What::Send { .. })) {
                entry.is_sent(now, alarms.worker());
            }
            if matches!(what, Some(What::Answer { .. })) {
                self.change(entry, Entry::answered);
            }
            arm(entry, now, alarms, slot);
            if action.is_some() {
                return action;
            }
        }
        None
    }

    /// The answer to [`What::Reroute`]: the request is being sent to this server. False: it has ended meanwhile.
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

    /// The other answer to [`What::Reroute`]: there is no server that was not tried. An INVITE whose server failed is
    /// answered with 503 by the next [`Held::next_due`]: any other request would get that now, so it may be 503 (RFC 3261
    /// §16.7 step 6). One whose server is silent stays there until timer B. Another request is forgotten; its client
    /// is told nothing, as RFC 4320 §4.2 asks of a timeout.
    pub fn no_server(&self, now: Time, alarms: &mut Alarms, key: u64, class: Class) {
        if class == Class::Invite {
            let mut ended = false;
            self.sought(now, alarms, key, class, |entry| {
                ended = entry.no_server(now, &self.limits) != Step::Wait;
            });
            if !ended {
                return;
            }
        }
        self.let_go(key, class);
    }

    /// It cannot be sent any more: it is forgotten without any answer from a server.
    pub fn let_go(&self, key: u64, class: Class) {
        let slot = slot(key, class);
        if let Some(entry) = self.shards.lock(slot).remove(&slot) {
            self.forget(&entry, Step::Unanswered);
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
        let slot = slot(key, class);
        let mut shard = self.shards.lock(slot);
        let Some(entry) = shard.get_mut(&slot) else { return false };
        if !matches!(entry.phase, Phase::Seeking { .. }) {
            return false;
        }
        self.change(entry, change);
        arm(entry, now, alarms, slot);
        true
    }

    /// Lets an entry judge a response, if there is one.
    fn at(
        &self,
        now: Time,
        alarms: &mut Alarms,
        key: u64,
        class: Class,
        judge: impl FnOnce(&mut Entry) -> (Verdict, After),
    ) -> (Verdict, After) {
        let slot = slot(key, class);
        let mut shard = self.shards.lock(slot);
        let Some(entry) = shard.get_mut(&slot).filter(|entry| entry.class == class) else {
            return (Verdict::Pass, After::Keep);
        };
        let (verdict, after) = self.change(entry, judge);
        match after {
            After::Remove => remove(self, &mut shard, slot),
            _ => arm(entry, now, alarms, slot),
        }
        (verdict, after)
    }

    fn take_room(&self, bytes: usize) -> bool {
        let cost = bytes + ENTRY_BYTES;
        let entries = self.len.fetch_add(1, Relaxed) + 1;
        let total = self.bytes.fetch_add(cost, Relaxed) + cost;
        let fits = entries <= self.limits.entries_max && total <= self.limits.bytes_max;
        if !fits {
            self.len.fetch_sub(1, Relaxed);
            self.bytes.fetch_sub(cost, Relaxed);
        }
        fits
    }

    /// Changes an entry and accounts for what it lets go. No change makes it larger.
    fn change<R>(&self, entry: &mut Entry, change: impl FnOnce(&mut Entry) -> R) -> R {
        let before = entry.bytes();
        let result = change(entry);
        self.bytes.fetch_sub(before - entry.bytes(), Relaxed);
        result
    }

    fn forget(&self, entry: &Entry, step: Step) {
        self.len.fetch_sub(1, Relaxed);
        self.bytes.fetch_sub(entry.bytes() + ENTRY_BYTES, Relaxed);
        match step {
            Step::Unanswered => self.counters.unanswered.add(),
            Step::LetGo => self.counters.let_go.add(),
            Step::Wait | Step::Act(_) | Step::Repeat(_) | Step::Resend(_) | Step::Remove => {}
        }
    }

    fn count(&self, what: What) {
        match what {
            What::Send { .. } => {}
            What::Reroute { why: super::Why::Failed, .. } => self.counters.rerouted_failed.add(),
            What::Reroute { why: super::Why::Silent, .. } => self.counters.rerouted_silent.add(),
            What::Reroute { why: super::Why::Full, .. } => self.counters.rerouted_full.add(),
            What::Reroute { why: super::Why::Refused, .. } => self.counters.rerouted_refused.add(),
            What::Answer { .. } => self.counters.answered.add(),
        }
    }
}

fn remove(held: &Held, shard: &mut Shard, slot: u64) {
    if let Some(entry) = shard.remove(&slot) {
        held.forget(&entry, Step::Remove);
    }
}

/// [`slot`] undone: moving a CANCEL twice moves it back.
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

/// Sees to it that an alarm lies no later than the entry's deadline. One that lies earlier is renewed when it comes.
fn arm(entry: &mut Entry, now: Time, alarms: &mut Alarms, slot: u64) {
    let horizon = now.since(entry.born).clamp(HORIZON_MIN, HORIZON);
    let at = entry.deadline().min(now + horizon);
    if at < entry.armed.0 {
        entry.armed = (at, alarms.worker());
        alarms.set(at, slot);
    }
}
