//! Registrations in progress, in one table of all workers, and the answers to attempts that wait for the next attempt.

mod stored;

use std::sync::atomic::{AtomicU8, Ordering::Relaxed};

use base::Time;
use transaction::Timers;
use transaction::table::{Alarms, Bounds, Due, Next, SharedTable};

use super::building::{self, Built};
use super::challenge::Round;
use super::fanout::{Fanout, State, Step};
use super::settings::{Accept, RegisterSettings};
use super::{RegisterRepeat, ToDo, What};
use crate::farm::server::ServerId;

/// The two kinds have different keys: keyed hashes of different things.
#[derive(Debug)]
enum Entry {
    Fanout(Box<Fanout>),
    Round(Round),
}

impl Due for Entry {
    fn deadline(&self) -> Time {
        match self {
            Entry::Fanout(fanout) => fanout.deadline(),
            Entry::Round(round) => round.until,
        }
    }

    fn bytes(&self) -> usize {
        match self {
            Entry::Fanout(fanout) => size_of::<Fanout>() + fanout.bytes(),
            Entry::Round(round) => round.bytes(),
        }
    }
}

#[derive(Debug)]
pub struct Registrations {
    table: SharedTable<Entry>,
    /// The setting may change at run time.
    accept: AtomicU8,
    timers: Timers,
}

impl Registrations {
    pub fn new(settings: &RegisterSettings) -> Registrations {
        let bounds = Bounds { entries_max: settings.in_progress_max, bytes_max: settings.bytes_max };
        Registrations {
            table: SharedTable::new(bounds),
            accept: AtomicU8::new(settings.accept as u8),
            timers: Timers::default(),
        }
    }

    fn accept(&self) -> Accept {
        let present = self.accept.load(Relaxed);
        let all = [Accept::Any, Accept::Majority, Accept::All];
        all.into_iter().find(|accept| *accept as u8 == present).unwrap_or(Accept::Any)
    }

    /// Applies from the next answer on; bounds stay as they are.
    pub(crate) fn set(&self, settings: &RegisterSettings) {
        self.accept.store(settings.accept as u8, Relaxed);
    }

    /// REGISTERs in progress or lately answered, and attempts that wait for the next attempt.
    pub fn len(&self) -> usize {
        self.table.len()
    }

    pub fn is_empty(&self) -> bool {
        self.table.is_empty()
    }

    pub fn entries_max(&self) -> usize {
        self.table.bounds().entries_max
    }

    pub fn bytes(&self) -> usize {
        self.table.bytes()
    }

    pub fn bytes_max(&self) -> usize {
        self.table.bounds().bytes_max
    }

    pub(super) fn timers(&self) -> &Timers {
        &self.timers
    }

    /// Whether a REGISTER with this branch is a copy, and of what.
    pub(super) fn copy(&self, key: u64) -> RegisterRepeat {
        if self.is_empty() {
            return RegisterRepeat::No;
        }
        match self.table.lock(key).get(key) {
            None | Some(Entry::Round(_)) => RegisterRepeat::No,
            Some(Entry::Fanout(fanout)) => match &fanout.answer {
                None => RegisterRepeat::InProgress,
                Some(answer) => {
                    RegisterRepeat::Answered { answer: answer.clone(), flow: fanout.flow, back: fanout.back }
                }
            },
        }
    }

    /// Takes in a REGISTER whose first requests are about to be sent. False: there is no room.
    pub(super) fn keep(&self, now: Time, alarms: &mut Alarms, key: u64, fanout: Fanout) -> bool {
        self.table.lock(key).insert(now, alarms, key, Entry::Fanout(Box::new(fanout))).is_ok()
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
        // A response without room is as good as lost, and comes again.
        if status >= 200 && self.bytes() + bytes.len() > self.bytes_max() {
            return false;
        }
        let heard = self.table.change(now, alarms, key, |entry| match entry {
            Entry::Fanout(fanout) => {
                Next::Keep(fanout.heard(now, server, status, || bytes.into(), &self.timers))
            }
            Entry::Round(_) => Next::Keep(false),
        });
        heard.unwrap_or(false)
    }

    /// This server is gone: nobody waits for it any more.
    pub(crate) fn server_failed(&self, now: Time, alarms: &mut Alarms, server: ServerId) {
        self.table.change_each(now, alarms, |entry| {
            if let Entry::Fanout(fanout) = entry {
                fanout.failed(server);
            }
            Next::Keep(())
        });
    }

    /// The next thing to do, with its message in `message` (which is overwritten): the received request, or the answer.
    pub(super) fn next_due(&self, now: Time, alarms: &mut Alarms, message: &mut Vec<u8>) -> Option<ToDo> {
        self.table.next_due(now, alarms, |key, entry| match entry {
            Entry::Fanout(fanout) => self.step(now, key, fanout, message),
            Entry::Round(_) => Next::Remove(None),
        })
    }

    fn step(&self, now: Time, key: u64, fanout: &mut Fanout, message: &mut Vec<u8>) -> Next<Option<ToDo>> {
        let (flow, since) = (fanout.flow, fanout.born);
        let to_do = |what| Some(ToDo { key, flow, since, what });
        let mut received = |fanout: &Fanout| {
            message.clear();
            message.extend_from_slice(&fanout.message);
        };
        match fanout.step(now, &self.timers) {
            Step::Wait => Next::Keep(None),
            Step::Send(at) => {
                received(fanout);
                let branch = &fanout.branches[at];
                Next::Keep(to_do(What::Send { server: branch.server, without: branch.without.clone() }))
            }
            Step::Answer => {
                let built = building::build(fanout, self.accept(), now, message);
                Next::Keep(to_do(self.answered(now, fanout, built, message)))
            }
            Step::Unanswered => {
                received(fanout);
                Next::Remove(to_do(What::Unanswered { early: now < since + self.timers.f() }))
            }
            Step::Remove => Next::Remove(None),
        }
    }

    fn answered(&self, now: Time, fanout: &mut Fanout, built: Built, answer: &[u8]) -> What {
        let asked_in_vain = fanout.branches.iter().any(|branch| !matches!(branch.state, State::Heard { .. }));
        let partial = built.accepted && (asked_in_vain || built.refused > 0);
        fanout.answered(now, answer.into(), built.accepted, &self.timers);
        What::Answer { back: fanout.back, accepted: built.accepted, partial, round: built.round }
    }

    /// What is known from this telephone's last attempt; it is taken out.
    pub(super) fn take_round(&self, now: Time, key: u64) -> Option<Round> {
        let mut shard = self.table.lock(key);
        let Some(Entry::Round(_)) = shard.get(key) else { return None };
        match shard.remove(key) {
            Some(Entry::Round(round)) if now < round.until => Some(round),
            _ => None,
        }
    }

    /// Keeps the answers for the next attempt; without room, that attempt begins anew.
    pub(super) fn put_round(&self, now: Time, alarms: &mut Alarms, key: u64, round: Round) -> bool {
        let mut shard = self.table.lock(key);
        shard.remove(key);
        shard.insert(now, alarms, key, Entry::Round(round)).is_ok()
    }
}
