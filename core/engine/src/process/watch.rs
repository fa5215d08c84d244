//! The engine's part in the state tier: it marks itself alive, polls wake-ups, and finds the calls of dead engines (SPEC E3, E5).

use base::{Duration, Time};
use state::planted::{self, Bug};
use state::{
    Answer, Command, Due, Header, HeaderError, Key, Mark, Millis, OwnedBy, Stamp, Unanswered, wakeup,
};

use super::call::{Known, Owned};
use super::stand_in::is_in_progress;
use super::tier::Asked;
use super::{Engine, Outbox};
use crate::record::{Record, RecordError};
use crate::step::{Event, asked_at};

/// Whoever dies within this time after another may have had to take over that one's calls.
const MOURNED_FOR: Duration = Duration::from_secs(10);

/// When a mark is written again that was not answered.
const MARK_AGAIN: Duration = Duration::from_millis(100);

/// A record that was handed out for its wake-up comes again after this time.
const LEASE_MS: Millis = 2_000;

/// Partitions that are due within this time are polled together: a turn for each would be most of what an idle engine costs.
const POLL_EVERY: Duration = Duration::from_millis(20);

/// Records that one poll brings.
const DUE_MAX: u32 = 256;

/// Records of a dead engine that one look brings.
const OWNED_MAX: u32 = 256;

/// A record without a timer of its own is looked at after this time.
const QUIET_MS: Millis = 12 * 3_600_000;

/// A call whose owner works on it is looked at again after this time.
const BUSY_MS: Millis = 30_000;

impl Engine {
    pub(super) fn run_tier(&mut self, now: Time, out: &mut Outbox) {
        self.tier.set_now(now);
        self.ask_suspects(now, out);
        if self.tier.doubts() || self.tier.next_mark <= now {
            self.tier.next_mark = now + wakeup::MARK_EVERY;
            for (partition, engine) in std::mem::take(&mut self.tier.owned_again) {
                self.ask_owned(now, partition, engine, 0, out);
            }
            let mark = Mark {
                engine: self.settings.engine,
                address: self.settings.letters.clone(),
                at: self.tier.millis(now),
            };
            for (primary, partition) in self.tier.primaries.clone() {
                self.tier.silent.entry(primary).or_insert(now);
                let asked = super::Asked::Tier(Asked::Mark { primary });
                self.ask(asked, partition, Command::Mark(mark.clone()), false, out);
            }
        }
        if self.tier.next_poll <= now {
            let living = self.tier.living.engines();
            let due = Due { now: self.tier.millis(now), lease: LEASE_MS, limit: DUE_MAX };
            for partition in self.tier.polls.take(now, &living) {
                self.ask(super::Asked::Tier(Asked::Due), partition, Command::Due(due), false, out);
            }
            self.tier.next_poll = self.tier.polls.deadline().max(now + POLL_EVERY);
        }
        self.tell_reach(out);
    }

    pub(crate) fn told_dead(&mut self, now: Time, engine: u32, out: &mut Outbox) {
        if self.tier.living.told_dead(now, engine) {
            self.mourn(now, &[engine], out);
        }
    }

    /// Engines are dead: the survivor of each partition's rank takes over what they had there. Others may have died before, whose
    /// calls were left to one of these.
    fn mourn(&mut self, now: Time, dead: &[u32], out: &mut Outbox) {
        self.tier.mourned.retain(|(_, at)| now.since(*at) < MOURNED_FOR);
        for engine in dead {
            self.counters.deaths.add(1);
            out.events.push(super::Event::EngineDied { engine: *engine });
            self.tier.mourned.push((*engine, now));
        }
        self.look_for_calls(now, |_| true, out);
    }

    /// Engines may have mourned with different shares: one that started meanwhile has changed them, or one that was not known yet.
    /// Who has got another share of the partitions looks there as well.
    fn look_for_new_share(&mut self, now: Time, out: &mut Outbox) {
        self.tier.mourned.retain(|(_, at)| now.since(*at) < MOURNED_FOR);
        let before = std::mem::take(&mut self.tier.looked_with);
        if !self.tier.mourned.is_empty() && before != self.tier.living.engines() {
            let engine = self.settings.engine;
            self.look_for_calls(now, |partition| wakeup::polled_by(partition, &before) != Some(engine), out);
        } else {
            self.tier.looked_with = before;
        }
    }

    /// Looks for the calls of all that died a short time ago, in the partitions of this engine's share that `is_asked` names.
    fn look_for_calls(&mut self, now: Time, is_asked: impl Fn(u8) -> bool, out: &mut Outbox) {
        let living = self.tier.living.engines();
        let dead = self.tier.mourned.iter().map(|(engine, _)| *engine);
        let dead: Vec<u32> = dead.filter(|engine| !self.tier.lives(*engine)).collect();
        for partition in (0..=u8::MAX).filter(|partition| is_asked(*partition)) {
            if wakeup::polled_by(partition, &living) == Some(self.settings.engine) {
                dead.iter().for_each(|engine| self.ask_owned(now, partition, *engine, 0, out));
            }
        }
        self.tier.looked_with = living;
    }

    fn ask_owned(&mut self, now: Time, partition: u8, engine: u32, after: Millis, out: &mut Outbox) {
        let until = self.tier.millis(now) + 2 * QUIET_MS;
        let command = Command::OwnedBy(OwnedBy { engine, after, until, limit: OWNED_MAX });
        self.ask(super::Asked::Tier(Asked::Owned { partition, engine }), partition, command, false, out);
    }

    pub(super) fn tier_replied(
        &mut self,
        now: Time,
        asked: Asked,
        answer: &Result<Answer, Unanswered>,
        out: &mut Outbox,
    ) {
        self.tier.set_now(now);
        match (asked, answer) {
            (Asked::Mark { primary }, Err(_)) => self.heard_of(primary, false, out),
            (Asked::Mark { primary }, Ok(Answer::Marks(marks))) => {
                self.heard_of(primary, true, out);
                self.tier.living.marks(now, primary, marks);
                let dead = self.tier.living.take_dead(now);
                if dead.is_empty() {
                    self.look_for_new_share(now, out);
                } else {
                    self.mourn(now, &dead, out);
                }
            }
            (Asked::Due, Ok(Answer::Due(due))) => {
                for (key, record) in due {
                    self.counters.wakeups.add(1);
                    self.woken(now, *key, record, None, out);
                }
            }
            (Asked::Look { key, hops, dead }, Ok(Answer::Record(Some(record)))) => {
                self.hops = hops;
                if Header::owner_of(record).is_some_and(|owner| owner != self.settings.engine) {
                    self.may_have_lost(now, key, out);
                }
                self.woken(now, key, record, dead, out);
                self.hops = 0;
            }
            (Asked::Owned { partition, engine }, Ok(Answer::Owned { keys, next })) => {
                keys.iter().for_each(|key| self.take_over(now, *key, out));
                if let Some(after) = next {
                    self.ask_owned(now, partition, engine, *after, out);
                }
            }
            // With the next mark: the store may refuse at once, as often as it is asked.
            (Asked::Owned { partition, engine }, Err(_)) => self.tier.owned_again.push((partition, engine)),
            _ => {}
        }
    }

    fn heard_of(&mut self, primary: u32, answered: bool, out: &mut Outbox) {
        if answered {
            self.tier.silent.remove(&primary);
        } else {
            self.tier.next_mark = self.tier.next_mark.min(self.tier.now() + MARK_AGAIN);
        }
        self.tell_reach(out);
    }

    /// Says when the store goes out of reach, and when it is back. Ends of calls wait no longer when it has gone.
    fn tell_reach(&mut self, out: &mut Outbox) {
        let within_reach = self.tier.within_reach();
        if std::mem::replace(&mut self.tier.was_within_reach, within_reach) == within_reach {
            return;
        }
        out.events.push(super::Event::Store { within_reach });
        if !within_reach {
            let now = self.tier.now();
            let busy: Vec<Key> =
                self.calls.all().filter(|(_, call)| call.busy.is_some()).map(|(key, _)| key).collect();
            busy.into_iter().for_each(|key| self.let_go(now, key, out));
        }
    }

    fn take_over(&mut self, now: Time, key: Key, out: &mut Outbox) {
        if planted::is(Bug::NoTakeOver) {
            return;
        }
        let worker = self.settings.worker_of(key);
        if worker != self.settings.worker {
            return out.letters.push((worker, super::Letter::TakeOver(key)));
        }
        self.event(now, key, &Event::TakeOver, &|| Owned::TakeOver, out);
    }

    pub(super) fn letter_of_take_over(&mut self, now: Time, key: Key, out: &mut Outbox) {
        self.event(now, key, &Event::TakeOver, &|| Owned::TakeOver, out);
    }

    /// A wake-up has come, or another engine has asked for a look, which may know that the owner is `dead`. A call in the hands of
    /// a living engine is left to it, and one that waits for nothing sleeps on.
    fn woken(&mut self, now: Time, key: Key, bytes: &[u8], dead: Option<u32>, out: &mut Outbox) {
        let (Some(owner), Some(expected)) = (Header::owner_of(bytes), Stamp::of(bytes)) else { return };
        let millis = self.tier.millis(now);
        let record = match Record::read(bytes) {
            // If there is no engine of a newer build now, one of the next looks finds it.
            Err(RecordError::Header(HeaderError::TooNew { .. })) => {
                self.ask_newer(key, owner, out);
                return;
            }
            read => read.ok(),
        };
        let timers = record.iter().flat_map(|record| &record.timers).map(|timer| timer.due);
        let asked_at = record.as_ref().and_then(|record| asked_at(&self.settings, record));
        let first = timers.chain(asked_at).min();
        let is_due = first.is_some_and(|due| due <= millis);
        let waits = record.as_ref().is_some_and(is_in_progress);
        let is_here = self.calls.get(key).is_some_and(|call| match &call.known {
            Known::Up(_) => !call.is_idle(),
            _ => true,
        });
        let lives = owner != self.settings.engine && dead != Some(owner) && self.tier.lives(owner);
        let is_left = lives || is_here;
        // A living owner may have forgotten that it has the call.
        let is_overdue = first.is_some_and(|due| !wakeup::is_left_to_owner(is_left, due, millis));
        if is_due && is_overdue || waits && !is_left {
            self.hear_of_death(key, dead);
            self.take_over(now, key, out);
            return self.hear_of_death(key, dead);
        }
        let later = millis
            + if is_due {
                wakeup::LEFT_TO_OWNER_MS
            } else if waits {
                BUSY_MS
            } else {
                QUIET_MS
            };
        let at = first.filter(|due| *due > millis).map_or(later, |due| due.min(later));
        let wake = Command::Wake { key, expected, at };
        self.ask(super::Asked::Tier(Asked::Wake), key.partition(), wake, false, out);
    }

    /// The call may be in memory already, or is by now.
    fn hear_of_death(&mut self, key: Key, dead: Option<u32>) {
        if let (Some(_), Some(call)) = (dead, self.calls.get_mut(key)) {
            call.heard_dead = dead;
        }
    }
}
