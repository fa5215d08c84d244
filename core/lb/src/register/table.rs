//! The one table of registrations in progress: shared by all workers, bounded in entries and bytes.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU8, AtomicUsize, Ordering::Relaxed};
use std::sync::{Mutex, MutexGuard};

use base::Time;
use transaction::Timers;

use super::building::{self, Built};
use super::challenge::Round;
use super::fanout::{Fanout, State, Step};
use super::settings::{Accept, RegisterSettings};
use super::{Due, RegisterRepeat, What};
use crate::farm::server::ServerId;
use crate::hold::Alarms;

/// As of held set-ups: two workers meet in one shard seldom, and for the time of one step.
const SHARDS: usize = 64;

/// What one entry occupies beside its bytes.
const ENTRY_BYTES: usize = (size_of::<(u64, Fanout)>() + 1) * 8 / 7;

#[derive(Debug, Default)]
struct Shard {
    fanouts: HashMap<u64, Fanout>,
    rounds: HashMap<u64, Round>,
}

#[derive(Debug)]
pub struct Registrations {
    shards: Box<[Mutex<Shard>]>,
    entries_max: usize,
    bytes_max: usize,
    /// May change while running.
    accept: AtomicU8,
    timers: Timers,
    len: AtomicUsize,
    bytes: AtomicUsize,
}

impl Registrations {
    pub fn new(settings: &RegisterSettings) -> Registrations {
        Registrations {
            shards: (0..SHARDS).map(|_| Mutex::default()).collect(),
            entries_max: settings.in_progress_max,
            bytes_max: settings.bytes_max,
            accept: AtomicU8::new(settings.accept as u8),
            timers: Timers::default(),
            len: AtomicUsize::new(0),
            bytes: AtomicUsize::new(0),
        }
    }

    fn accept(&self) -> Accept {
        let present = self.accept.load(Relaxed);
        let all = [Accept::Any, Accept::Majority, Accept::All];
        all.into_iter().find(|accept| *accept as u8 == present).unwrap_or(Accept::Any)
    }

    /// From the next answer on; bounds stay as they are.
    pub(crate) fn set(&self, settings: &RegisterSettings) {
        self.accept.store(settings.accept as u8, Relaxed);
    }

    /// REGISTERs in progress or lately answered, and attempts that wait for the next.
    pub fn len(&self) -> usize {
        self.len.load(Relaxed)
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    pub fn entries_max(&self) -> usize {
        self.entries_max
    }

    pub fn bytes(&self) -> usize {
        self.bytes.load(Relaxed)
    }

    pub fn bytes_max(&self) -> usize {
        self.bytes_max
    }

    pub(super) fn timers(&self) -> &Timers {
        &self.timers
    }

    /// What a REGISTER with this branch is a copy of.
    pub(super) fn copy(&self, key: u64) -> RegisterRepeat {
        if self.is_empty() {
            return RegisterRepeat::No;
        }
        let shard = self.lock(key);
        match shard.fanouts.get(&key) {
            None => RegisterRepeat::No,
            Some(fanout) => match &fanout.answer {
                None => RegisterRepeat::InProgress,
                Some(answer) => {
                    RegisterRepeat::Answered { answer: answer.clone(), flow: fanout.flow, back: fanout.back }
                }
            },
        }
    }

    /// Takes one in whose first requests are about to be sent. False: there is no room.
    pub(super) fn keep(&self, now: Time, alarms: &mut Alarms, key: u64, mut fanout: Fanout) -> bool {
        let mut shard = self.lock(key);
        if alarms.is_full() || shard.fanouts.contains_key(&key) || !self.take_room(fanout.bytes()) {
            return false;
        }
        arm(&mut fanout, now, alarms, key);
        shard.fanouts.insert(key, fanout);
        true
    }

    /// A response of this server to the REGISTER with this key. False: nobody waits for it.
    pub(super) fn response(
        &self,
        now: Time,
        alarms: &mut Alarms,
        key: u64,
        (server, status): (ServerId, u16),
        bytes: &[u8],
    ) -> bool {
        let mut shard = self.lock(key);
        let Some(fanout) = shard.fanouts.get_mut(&key) else { return false };
        let before = fanout.bytes();
        // What there is no room for is as good as lost, and comes again.
        if status >= 200 && self.bytes() + bytes.len() > self.bytes_max {
            return false;
        }
        let wanted = fanout.heard(now, server, status, || bytes.into(), &self.timers);
        self.account(before, fanout.bytes());
        arm(fanout, now, alarms, key);
        wanted
    }

    /// This server is gone: nobody waits for it any more.
    pub(crate) fn server_failed(&self, now: Time, alarms: &mut Alarms, server: ServerId) {
        for at in 0..self.shards.len() {
            let mut shard = self.lock_at(at);
            for (key, fanout) in &mut shard.fanouts {
                if fanout.failed(server) {
                    arm(fanout, now, alarms, *key);
                }
            }
        }
    }

    /// The next thing to do, with its message in `message` (which is overwritten): the received request, or the answer.
    pub(super) fn next_due(&self, now: Time, alarms: &mut Alarms, message: &mut Vec<u8>) -> Option<Due> {
        while let Some((at, key)) = alarms.pop(now) {
            let mut shard = self.lock(key);
            self.end_round(now, &mut shard, key);
            let Some(fanout) = shard.fanouts.get_mut(&key) else { continue };
            if fanout.armed != (at, alarms.worker()) {
                continue;
            }
            fanout.armed = (Time::NEVER, 0);
            let before = fanout.bytes();
            let step = fanout.step(now, &self.timers);
            let what = match step {
                Step::Wait => None,
                Step::Send(at) => {
                    message.clear();
                    message.extend_from_slice(&fanout.message);
                    let branch = &fanout.branches[at];
                    Some(What::Send { server: branch.server, without: branch.without.clone() })
                }
                Step::Answer => {
                    let built = building::build(fanout, self.accept(), now, message);
                    Some(self.answered(now, fanout, built, message))
                }
                Step::Unanswered | Step::Remove => {
                    let early = now < fanout.born + self.timers.f();
                    message.clear();
                    message.extend_from_slice(&fanout.message);
                    let due =
                        Due { key, flow: fanout.flow, since: fanout.born, what: What::Unanswered { early } };
                    if let Some(gone) = shard.fanouts.remove(&key) {
                        self.give_room(gone.bytes().max(before));
                    }
                    if step == Step::Unanswered {
                        return Some(due);
                    }
                    continue;
                }
            };
            self.account(before, fanout.bytes());
            let (flow, since) = (fanout.flow, fanout.born);
            arm(fanout, now, alarms, key);
            if let Some(what) = what {
                return Some(Due { key, flow, since, what });
            }
        }
        None
    }

    fn answered(&self, now: Time, fanout: &mut Fanout, built: Built, answer: &[u8]) -> What {
        let asked_in_vain = fanout.branches.iter().any(|branch| !matches!(branch.state, State::Heard { .. }));
        let partial = built.accepted && (asked_in_vain || built.refused > 0);
        fanout.answered(now, answer.into(), built.accepted, &self.timers);
        What::Answer { back: fanout.back, accepted: built.accepted, partial, round: built.round }
    }

    /// What is known from this telephone's last attempt; it is known once.
    pub(super) fn take_round(&self, now: Time, key: u64) -> Option<Round> {
        let round = self.lock(key).rounds.remove(&key)?;
        self.give_room(round.bytes());
        (now < round.until).then_some(round)
    }

    /// Keeps what was heard for the next attempt; without room that one begins anew.
    pub(super) fn put_round(&self, alarms: &mut Alarms, key: u64, round: Round) -> bool {
        let mut shard = self.lock(key);
        if let Some(old) = shard.rounds.remove(&key) {
            self.give_room(old.bytes());
        }
        if alarms.is_full() || !self.take_room(round.bytes()) {
            return false;
        }
        alarms.set(round.until, key);
        shard.rounds.insert(key, round);
        true
    }

    fn end_round(&self, now: Time, shard: &mut Shard, key: u64) {
        if shard.rounds.get(&key).is_some_and(|round| round.until <= now)
            && let Some(round) = shard.rounds.remove(&key)
        {
            self.give_room(round.bytes());
        }
    }

    fn take_room(&self, bytes: usize) -> bool {
        let cost = bytes + ENTRY_BYTES;
        let entries = self.len.fetch_add(1, Relaxed) + 1;
        let total = self.bytes.fetch_add(cost, Relaxed) + cost;
        let fits = entries <= self.entries_max && total <= self.bytes_max;
        if !fits {
            self.give_room(bytes);
        }
        fits
    }

    fn give_room(&self, bytes: usize) {
        self.len.fetch_sub(1, Relaxed);
        self.bytes.fetch_sub(bytes + ENTRY_BYTES, Relaxed);
    }

    fn account(&self, before: usize, after: usize) {
        self.bytes.fetch_add(after.wrapping_sub(before), Relaxed);
    }

    /// The shard of a key, locked. No two are ever held at once. The bits are not those that the map inside uses first.
    fn lock(&self, key: u64) -> MutexGuard<'_, Shard> {
        self.lock_at((key >> 32) as usize % SHARDS)
    }

    fn lock_at(&self, at: usize) -> MutexGuard<'_, Shard> {
        // A panic while a lock was held leaves entries whole: each step changes one entry.
        self.shards[at].lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

/// Sees to it that an alarm lies no later than the entry's deadline. One that lies earlier is renewed when it comes.
fn arm(fanout: &mut Fanout, now: Time, alarms: &mut Alarms, key: u64) {
    let deadline = fanout.deadline().max(now);
    if deadline < fanout.armed.0 {
        fanout.armed = (deadline, alarms.worker());
        alarms.set(deadline, key);
    }
}
