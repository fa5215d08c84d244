//! Who lives, what time it is, and what is asked next: an engine's view of the state tier.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use base::{Duration, Time};
use state::wakeup::{DEAD_AFTER, Living, Polls};
use state::{Key, Millis};

use crate::settings::Settings;

/// A primary is out of reach when it has left marks unanswered for so long. New calls that come later are refused at once; those that
/// came before wait longer, since a primary may be replaced.
const SILENT_FOR: Duration = Duration::from_millis(850);
/// When nothing at all was answered for so long, each primary gets a mark at once: under calls, silence is known within a second.
const DOUBTED_AFTER: Duration = Duration::from_millis(100);
/// Owners without a mark that are remembered.
const UNNAMED_MAX: usize = 64;

#[derive(Clone, Debug)]
pub(super) enum Asked {
    Mark {
        primary: u32,
    },
    Due,
    Owned {
        partition: u8,
        engine: u32,
    },
    Wake,
    /// For an engine of an older build, which may know that the owner is dead.
    Look {
        key: Key,
        hops: u8,
        dead: Option<u32>,
    },
}

/// An engine that a notice says is gone.
#[derive(Debug)]
pub(super) struct Suspect {
    pub(super) address: SocketAddr,
    /// Of the question: no answer to an older one counts.
    pub(super) number: u64,
    pub(super) asked: u8,
    /// When it is asked again, or counts as dead.
    pub(super) next: Time,
}

#[derive(Debug)]
pub(super) struct Tier {
    pub(super) living: Living,
    pub(super) polls: Polls,
    /// A moment, and the time of the state tier at it, in microseconds.
    clock: (Time, u64),
    pub(super) next_mark: Time,
    pub(super) next_poll: Time,
    /// The number of each primary, and one of its partitions: marks are written there.
    pub(super) primaries: Vec<(u32, u8)>,
    /// Primaries that have not answered the last mark, and when the first mark was asked that is without an answer.
    pub(super) silent: BTreeMap<u32, Time>,
    /// When the first question was asked after the last answer of any primary.
    unanswered: Option<Time>,
    /// Since then each primary got a mark.
    is_doubted: bool,
    /// What was said last.
    pub(super) was_within_reach: bool,
    /// Engines that died a short time ago, and when this engine heard of it.
    pub(super) mourned: Vec<(u32, Time)>,
    /// The living engines, as they were when their calls were looked for last.
    pub(super) looked_with: Vec<u32>,
    /// When the calls in progress are looked at once more, because this engine stood still.
    pub(super) doubts_again: Option<Time>,
    /// Looks for calls of dead engines that the store did not answer: partition and engine.
    pub(super) owned_again: Vec<(u8, u32)>,
    /// Engines that are asked whether they live.
    pub(super) suspects: Vec<Suspect>,
    /// Owners of records that no mark has named, and since when they are known.
    unnamed: BTreeMap<u32, Time>,
    now: Time,
}

impl Tier {
    pub(super) fn new(settings: &Settings, clock: (Time, u64)) -> Tier {
        let now = clock.0;
        Tier {
            living: Living::new(settings.engine),
            polls: Polls::new(settings.engine, now),
            clock,
            next_mark: now,
            next_poll: now,
            // One node has all partitions.
            primaries: vec![(0, 0)],
            silent: BTreeMap::new(),
            unanswered: None,
            is_doubted: false,
            was_within_reach: true,
            mourned: Vec::new(),
            looked_with: Vec::new(),
            doubts_again: None,
            owned_again: Vec::new(),
            suspects: Vec::new(),
            unnamed: BTreeMap::new(),
            now,
        }
    }

    pub(super) fn set_clock(&mut self, at: Time, micros: u64) {
        self.clock = (at, micros);
    }

    pub(super) fn set_primaries(&mut self, primaries: &[(u32, u8)]) {
        let is_gone = |(old, _): &&(u32, u8)| !primaries.iter().any(|(new, _)| new == old);
        self.primaries.iter().filter(is_gone).for_each(|(gone, _)| self.living.lost(*gone));
        self.primaries = primaries.to_vec();
        self.silent.retain(|silent, _| primaries.iter().any(|(number, _)| number == silent));
    }

    /// A question leaves for the state tier.
    pub(super) fn asked(&mut self) {
        self.unanswered.get_or_insert(self.now);
    }

    /// A primary has answered, or may have while nobody listened.
    pub(super) fn answered(&mut self) {
        (self.unanswered, self.is_doubted) = (None, false);
    }

    /// Whether the primaries get their marks before the time: true once in a silence.
    pub(super) fn doubts(&mut self) -> bool {
        let is_due = self.doubted_at().is_some_and(|at| at <= self.now);
        self.is_doubted |= is_due;
        is_due
    }

    fn doubted_at(&self) -> Option<Time> {
        self.unanswered.filter(|_| !self.is_doubted).map(|since| since + DOUBTED_AFTER)
    }

    /// When the last primary is out of reach, if none answers until then.
    fn silent_at(&self) -> Option<Time> {
        let is_awaited = self.was_within_reach && self.silent.len() >= self.primaries.len();
        self.silent.values().max().filter(|_| is_awaited).map(|since| *since + SILENT_FOR)
    }

    /// Whether any primary answers: while one is replaced, the others go on.
    pub(super) fn within_reach(&self) -> bool {
        let silent = self.silent.values().filter(|since| self.now.since(**since) >= SILENT_FOR);
        silent.count() < self.primaries.len()
    }

    pub(super) fn set_now(&mut self, now: Time) {
        self.now = now;
    }

    pub(super) fn now(&self) -> Time {
        self.now
    }

    /// The time of the state tier, in microseconds.
    pub(super) fn micros(&self, now: Time) -> u64 {
        let (at, micros) = self.clock;
        (micros + now.since(at).as_micros() as u64).saturating_sub(at.since(now).as_micros() as u64)
    }

    pub(super) fn millis(&self, now: Time) -> Millis {
        self.micros(now) / 1000
    }

    pub(super) fn lives(&self, engine: u32) -> bool {
        self.living.lives(engine)
    }

    /// Whether an engine may have started so lately that no mark has named it yet.
    pub(super) fn may_be_new(&mut self, engine: u32) -> bool {
        if self.living.last_address(engine).is_some() {
            return false;
        }
        if self.unnamed.len() >= UNNAMED_MAX {
            let now = self.now;
            self.unnamed.retain(|_, since| now.since(*since) < DEAD_AFTER);
        }
        if self.unnamed.len() >= UNNAMED_MAX {
            return false;
        }
        self.now.since(*self.unnamed.entry(engine).or_insert(self.now)) < DEAD_AFTER
    }

    /// The living engine that got its number last, this one not among them.
    pub(super) fn last_started(&self) -> Option<u32> {
        self.living.engines().into_iter().filter(|engine| self.address_of(*engine).is_some()).max()
    }

    pub(super) fn address_of(&self, engine: u32) -> Option<&str> {
        std::str::from_utf8(self.living.address(engine)?).ok()
    }

    /// See [`Living::last_address`].
    pub(super) fn last_address(&self, engine: u32) -> Option<&str> {
        std::str::from_utf8(self.living.last_address(engine)?).ok()
    }

    pub(super) fn deadline(&self) -> Option<Time> {
        let asked = self.suspects.iter().map(|suspect| suspect.next);
        let silence = self.doubted_at().into_iter().chain(self.silent_at());
        asked.chain([self.next_mark, self.next_poll]).chain(self.doubts_again).chain(silence).min()
    }
}
