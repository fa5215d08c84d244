//! One call in an engine's memory: what is known of it, what is in work, and what waits.

use std::collections::VecDeque;

use base::Time;
use sip::Flow;
use state::Stamp;

use super::shares::Place;
use crate::record::{Phase, Record, Tombstone};
use crate::soft::Soft;
use crate::step::{Change, Effect, Timer};

/// Events of one call that wait while one is in work.
pub(super) const WAITING_MAX: usize = 16;

/// An event that waits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Owned {
    /// `hops`: how often it was handed from engine to engine.
    Message {
        bytes: Box<[u8]>,
        flow: Flow,
        hops: u8,
    },
    Timer(Timer),
    TakeOver,
}

impl Owned {
    fn is_copy(&self, other: &Owned) -> bool {
        match (self, other) {
            (Owned::Message { bytes, .. }, Owned::Message { bytes: new, .. }) => bytes == new,
            (one, other) => one == other,
        }
    }
}

/// What the store has under the key, as far as this engine knows.
#[derive(Debug, Default)]
pub(super) enum Known {
    #[default]
    Unread,
    Nothing,
    Gone(Tombstone),
    Up(Box<Record>),
    /// A record that only a newer build can read, and its owner.
    Foreign(u32),
}

/// What a call waits for.
#[derive(Debug)]
pub(super) enum Busy {
    /// The record, which is not in memory.
    Reads(Owned),
    /// Whether the record in memory is still that of the store.
    Checks(Owned),
    Writes(Box<Writing>),
    /// The end of a call that the store did not take before.
    Owes,
}

/// What led to a write.
#[derive(Debug)]
pub(super) enum Cause {
    Event(Owned),
    /// The INVITE that lies in the record that is written.
    Invite {
        flow: Flow,
        hops: u8,
    },
}

#[derive(Debug)]
pub(super) struct Writing {
    pub(super) cause: Cause,
    pub(super) change: Change,
    pub(super) stamp: Stamp,
    pub(super) then: Vec<Effect>,
    /// The header of the record that the write changes.
    pub(super) before: Option<state::Header>,
    /// What happens once outside of the call, if the write takes effect.
    pub(super) emitted: Vec<state::Effect>,
}

impl Writing {
    fn invite(&self) -> &[u8] {
        match &self.change {
            Change::Create { record, .. } | Change::Put { record, .. } => &record.invite,
            Change::Del { .. } => b"",
        }
    }

    /// What led to the write, to happen anew.
    pub(super) fn event(&self) -> Owned {
        match &self.cause {
            Cause::Event(event) => event.clone(),
            Cause::Invite { flow, hops } => {
                Owned::Message { bytes: self.invite().into(), flow: *flow, hops: *hops }
            }
        }
    }

    fn is_copy(&self, other: &Owned) -> bool {
        match (&self.cause, other) {
            (Cause::Event(event), other) => event.is_copy(other),
            (Cause::Invite { .. }, Owned::Message { bytes, .. }) => self.invite() == &**bytes,
            (Cause::Invite { .. }, Owned::Timer(_) | Owned::TakeOver) => false,
        }
    }
}

/// The end of a call, as it is written when the store answers again.
#[derive(Debug)]
pub(super) struct Owed {
    /// Of the record that ends.
    pub(super) header: state::Header,
    /// `None`: the call never began.
    pub(super) tombstone: Option<Tombstone>,
    pub(super) emitted: Vec<state::Effect>,
    pub(super) at: Time,
}

#[derive(Debug, Default)]
pub(super) struct Call {
    pub(super) known: Known,
    pub(super) busy: Option<Busy>,
    pub(super) waiting: VecDeque<Owned>,
    pub(super) soft: Soft,
    /// In the share of its source, until it is answered.
    pub(super) place: Option<Place>,
    /// How often the present event has met another record.
    pub(super) attempts: u8,
    /// Events that happen anew later: timers whose write was refused, a CANCEL that found no call.
    pub(super) again: Vec<(Time, Owned)>,
    /// An event has waited once already for the call to begin.
    pub(super) looked_again: bool,
    /// The engine stood still while the store was asked: others may have gone on with the call.
    pub(super) doubted: bool,
    /// An engine that another one knows to be dead: if the call is that one's, it is not left to it.
    pub(super) heard_dead: Option<u32>,
    /// The end of the call that the store has not taken: it is written later.
    pub(super) owed: Option<Box<Owed>>,
    /// When the first timer of the application runs out, if this engine has the call.
    pub(super) application_due: Option<Time>,
    pub(super) armed: Option<Time>,
    /// As what the call is counted.
    pub(super) counted: Option<Phase>,
}

impl Call {
    pub(super) fn is_idle(&self) -> bool {
        let waits = self.busy.is_some() || self.owed.is_some() || !self.waiting.is_empty();
        !waits && self.soft.is_empty() && self.again.is_empty() && self.application_due.is_none()
    }

    /// Whether this engine works on the call; not if it has refused it and only waits for the store to forget it.
    pub(super) fn runs_here(&self) -> bool {
        self.owed.is_none() && (self.busy.is_some() || matches!(self.known, Known::Up(_)))
    }

    /// False: too many wait.
    pub(super) fn wait(&mut self, owned: Owned) -> Waits {
        let is_present = match &self.busy {
            Some(Busy::Reads(event) | Busy::Checks(event)) => event.is_copy(&owned),
            Some(Busy::Writes(writing)) => writing.is_copy(&owned),
            Some(Busy::Owes) | None => false,
        };
        if is_present || self.waiting.iter().any(|waiting| waiting.is_copy(&owned)) {
            return Waits::Copy;
        }
        if self.waiting.len() >= WAITING_MAX {
            return Waits::Full;
        }
        self.waiting.push_back(owned);
        Waits::Yes
    }

    pub(super) fn deadline(&self) -> Time {
        let again = self.again.iter().map(|(at, _)| *at);
        let owed = self.owed.as_ref().map(|owed| owed.at);
        // What must be written waits for the write in work: until then nothing could be done about it.
        let written = owed.into_iter().chain(self.application_due).filter(|_| self.busy.is_none());
        again.chain(written).min().unwrap_or(Time::NEVER).min(self.soft.deadline())
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Waits {
    Yes,
    Copy,
    Full,
}
