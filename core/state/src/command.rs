//! What may be asked of one partition, and what it answers. Each command takes effect whole or not at all.

use crate::header::Stamp;
use crate::key::Key;

/// Milliseconds since 1970 by the clock that the engines of a farm agree on.
pub type Millis = u64;

/// A command for one partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    Create(Create),
    Put(Put),
    Del(Del),
    /// Reads a record, unless it still has the stamp that the asker knows.
    Peek {
        key: Key,
        cached: Option<Stamp>,
    },
    Due(Due),
    /// The wake-up of a record comes at this time instead, if the record has not changed: only whoever has read the record
    /// knows that nothing in it is due.
    Wake {
        key: Key,
        expected: Stamp,
        at: Millis,
    },
    OwnedBy(OwnedBy),
    List(List),
    /// Which record has this name in the index.
    Find {
        name: Box<[u8]>,
    },
    /// Adds one to a choice of a poll, once for each voter. A vote needs room, as a new call does.
    Count {
        poll: Box<[u8]>,
        choice: Box<[u8]>,
        voter: Box<[u8]>,
    },
    /// An engine lives. The answer names all engines that have ever said so.
    Mark(Mark),
    /// Lends effects to the engine that brings them to the long-lived store. Nobody else gets any until the lease ends.
    Drain {
        engine: u32,
        now: Millis,
        lease: Millis,
        limit: u32,
    },
    /// Effects up to this number are in the long-lived store.
    Drained {
        engine: u32,
        last: u64,
    },
}

/// A call begins. Refused if there is a record or a tombstone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Create {
    pub key: Key,
    pub record: Box<[u8]>,
    pub wake: Millis,
    pub also: Also,
}

/// A record changes. Refused if it has another stamp than the expected one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Put {
    pub key: Key,
    pub expected: Stamp,
    pub record: Box<[u8]>,
    /// The wake-up comes at this time, unless it would come earlier: a record is looked at too early rather than too late.
    pub wake: Option<Millis>,
    pub also: Also,
}

/// A record ends. Refused if it has another stamp than the expected one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Del {
    pub key: Key,
    pub expected: Stamp,
    /// What lies under the key for [`Del::TOMBSTONE_MS`]: its header has the flag [`crate::TOMBSTONE`].
    pub tombstone: Option<Box<[u8]>>,
    pub also: Also,
}

impl Del {
    /// As long as a message of the call may come late: 64·T1 (RFC 3261 §17.1.1.2).
    pub const TOMBSTONE_MS: Millis = 32_000;
}

/// What happens in the same step as a write, and only with it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Also {
    /// A counter, and what is added to it.
    pub counter: Option<(Box<[u8]>, i64)>,
    /// A name by which the record is found. A [`Del`] takes the name out of the index, unless another record has it now.
    pub name: Option<Box<[u8]>>,
    pub effects: Vec<Effect>,
}

/// Something that must happen once outside the call: a call record, a charge, a mail. Who carries it out does so once for each
/// key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Effect {
    pub key: Box<[u8]>,
    pub body: Box<[u8]>,
}

/// Takes records whose wake-up has come. Each comes again after the lease, unless a command moves its wake-up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Due {
    pub now: Millis,
    pub lease: Millis,
    pub limit: u32,
}

/// Which records have this owner. Records are looked at in the order of their wake-ups, from `after` (not included) to `until`
/// (included): at most `limit`, and those that wake at the same time as the last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OwnedBy {
    pub engine: u32,
    pub after: Millis,
    pub until: Millis,
    pub limit: u32,
}

/// All records, for operators: in the order of their wake-ups, from `after` (not included) on, at most `limit`, and those that
/// wake at the same time as the last. A record whose wake-up moves meanwhile comes twice or not at all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct List {
    pub after: Millis,
    pub limit: u32,
}

/// An engine said that it lives.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mark {
    pub engine: u32,
    /// Where it takes letters of other engines, as text.
    pub address: Box<[u8]>,
    pub at: Millis,
}

impl Mark {
    /// A mark older than this is forgotten when another engine marks itself.
    pub const FORGOTTEN_MS: Millis = 600_000;
}

/// What a partition answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    Done,
    /// The command had no effect. What lies there, if anything.
    Refused(Option<Box<[u8]>>),
    /// The command had no effect: there is no room for another call or vote.
    Full,
    /// The record has the stamp that the asker knows.
    Unchanged,
    Record(Option<Box<[u8]>>),
    Due(Vec<(Key, Box<[u8]>)>),
    /// `next`: where to go on; `None`: there are no more.
    Owned {
        keys: Vec<Key>,
        next: Option<Millis>,
    },
    /// `next`: where to go on; `None`: there are no more.
    Listed {
        records: Vec<(Key, Box<[u8]>)>,
        next: Option<Millis>,
    },
    Found(Option<Key>),
    /// Whether this voter counts; false: it has voted before.
    Counted(bool),
    Marks(Vec<Mark>),
    /// Effects with their numbers, in their order.
    Effects(Vec<(u64, Effect)>),
}
