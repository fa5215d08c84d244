//! The questions that have no answer yet, bounded in number and bytes.

use base::{Duration, Time};

use crate::ask::Ask;
use crate::command::{Also, Answer, Command};

/// Bounds of what waits at one worker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    pub asks_max: usize,
    pub bytes_max: usize,
}

impl Default for Bounds {
    /// As many as a worker asks within some seconds at full load, and the records in them.
    fn default() -> Bounds {
        Bounds { asks_max: 1 << 16, bytes_max: 1 << 26 }
    }
}

/// A put waits as long as somebody may repeat the message that led to it: 64·T1 (RFC 3261 §17.1.1.2). It outlives the replacement
/// of a primary.
const PUT_PATIENCE: Duration = Duration::from_secs(32);
/// The end of a call is written whenever the state tier comes back: nobody repeats it, and its effects are charges and call records.
const DEL_PATIENCE: Duration = Duration::from_secs(3600);
/// A new call, and a record that is not in memory, wait for the replacement of a primary, which takes 2.5 to 3.6 s.
const REPLACED_PATIENCE: Duration = Duration::from_secs(5);
/// A request whose call is in memory passes by what is known there.
const PATIENCE: Duration = Duration::from_secs(2);
/// Bytes that a question takes beside those of its command.
const ASK_BYTES: usize = size_of::<Kept>();

/// Names a question. The name of one that was answered fits no other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Id {
    slot: u32,
    serial: u64,
}

#[derive(Debug)]
pub(super) struct Kept {
    pub(super) ask: Ask,
    pub(super) until: Time,
    /// It was sent before, and nobody knows what became of it.
    pub(super) repeated: bool,
    /// The node's answer to it, while its replicas are waited for.
    pub(super) answer: Option<Answer>,
    bytes: usize,
}

impl Kept {
    pub(super) fn new(now: Time, ask: Ask) -> Kept {
        let patience = match ask.command {
            Command::Put(_) => PUT_PATIENCE,
            Command::Del(_) => DEL_PATIENCE,
            Command::Create(_) | Command::Peek { cached: None, .. } => REPLACED_PATIENCE,
            _ => PATIENCE,
        };
        let bytes = ASK_BYTES + bytes_of(&ask.command);
        Kept { ask, until: now + patience, repeated: false, answer: None, bytes }
    }
}

/// See the head of this module.
#[derive(Debug)]
pub(super) struct Asks {
    bounds: Bounds,
    slots: Vec<Option<(u64, Kept)>>,
    free: Vec<u32>,
    serial: u64,
    bytes: usize,
}

impl Asks {
    pub(super) fn new(bounds: Bounds) -> Asks {
        Asks { bounds, slots: Vec::new(), free: Vec::new(), serial: 0, bytes: 0 }
    }

    /// `None`: there is no room for the question.
    pub(super) fn keep(&mut self, kept: Kept) -> Option<Id> {
        if self.len() >= self.bounds.asks_max || self.bytes + kept.bytes > self.bounds.bytes_max {
            return None;
        }
        self.bytes += kept.bytes;
        self.serial += 1;
        let slot = self.free.pop().unwrap_or_else(|| {
            self.slots.push(None);
            self.slots.len() as u32 - 1
        });
        self.slots[slot as usize] = Some((self.serial, kept));
        Some(Id { slot, serial: self.serial })
    }

    pub(super) fn get(&self, id: Id) -> Option<&Kept> {
        let (serial, kept) = self.slots.get(id.slot as usize)?.as_ref()?;
        (*serial == id.serial).then_some(kept)
    }

    pub(super) fn get_mut(&mut self, id: Id) -> Option<&mut Kept> {
        let (serial, kept) = self.slots.get_mut(id.slot as usize)?.as_mut()?;
        (*serial == id.serial).then_some(kept)
    }

    pub(super) fn take(&mut self, id: Id) -> Option<Kept> {
        self.get(id)?;
        let (_, kept) = self.slots[id.slot as usize].take()?;
        self.bytes -= kept.bytes;
        self.free.push(id.slot);
        if self.free.len() == self.slots.len() {
            // A burst is over: nobody looks through its empty places again.
            self.slots.clear();
            self.free.clear();
        }
        Some(kept)
    }

    /// Takes those whose patience is over.
    pub(super) fn take_late(&mut self, now: Time) -> Vec<Kept> {
        let late = |(slot, place): (usize, &Option<(u64, Kept)>)| match place {
            Some((serial, kept)) if kept.until <= now => Some(Id { slot: slot as u32, serial: *serial }),
            _ => None,
        };
        let late: Vec<Id> = self.slots.iter().enumerate().filter_map(late).collect();
        late.into_iter().filter_map(|id| self.take(id)).collect()
    }

    pub(super) fn len(&self) -> usize {
        self.slots.len() - self.free.len()
    }

    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }
}

fn bytes_of(command: &Command) -> usize {
    let also = |also: &Also| {
        let effects = also.effects.iter().map(|effect| effect.key.len() + effect.body.len());
        let counter = also.counter.as_ref().map_or(0, |(name, _)| name.len());
        counter + also.name.as_ref().map_or(0, |name| name.len()) + effects.sum::<usize>()
    };
    match command {
        Command::Create(create) => create.record.len() + also(&create.also),
        Command::Put(put) => put.record.len() + also(&put.also),
        Command::Del(del) => del.tombstone.as_ref().map_or(0, |stone| stone.len()) + also(&del.also),
        Command::Find { name } => name.len(),
        Command::Count { poll, choice, voter } => poll.len() + choice.len() + voter.len(),
        Command::Mark(mark) => mark.address.len(),
        Command::Peek { .. }
        | Command::Due(_)
        | Command::Wake { .. }
        | Command::OwnedBy(_)
        | Command::List(_)
        | Command::Drain { .. }
        | Command::Drained { .. } => 0,
    }
}
