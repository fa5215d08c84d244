//! Which connection is meant, and what a machine of links and the sockets below it say to each other.

use base::Time;

use crate::command::{Answer, Command};
use crate::view::Sight;

/// One connection to one node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Link {
    /// The number that [`super::Links`] gave to the node. No other node ever gets it.
    pub node: u32,
    pub role: Role,
}

/// What a connection is for. While a node waits for its replicas, it carries out nothing else from that connection: so reads have
/// a connection of their own, and writes have two in turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Role {
    /// Everything that need not be replicated, and the questions about the node itself.
    Reader,
    FirstWriter,
    SecondWriter,
}

impl Role {
    pub const ALL: [Role; 3] = [Role::Reader, Role::FirstWriter, Role::SecondWriter];
    pub(super) const WRITERS: [Role; 2] = [Role::FirstWriter, Role::SecondWriter];
}

/// What is written to a connection. Each gets one answer, in the order in which they were written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Words<'a> {
    Command {
        partition: u8,
        command: &'a Command,
    },
    /// How many replicas have all that this connection has written so far? The node answers when so many have it, and after so
    /// many milliseconds at the latest. Answered by [`Said::Replicas`], which counts for nothing: see [`Words::Progress`].
    Wait {
        replicas: u32,
        millis: u32,
    },
    /// How far is the primary, and how far are the replicas that follow it, each by its address? Answered by
    /// [`Said::Progress`].
    Progress,
    /// What does the node say about its primaries and replicas? Answered by [`Said::Sight`].
    Look,
    /// What does the node's clock say? Answered by [`Said::Micros`].
    Time,
}

/// What a node answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Said {
    Answer(Answer),
    Replicas(u32),
    Progress(Progress),
    Sight(Sight),
    /// Microseconds since 1970.
    Micros(u64),
    Fault(Fault),
    /// The answer was not read: nobody waits for it any longer ([`super::Links::expected`] is `None`).
    Unread,
}

/// How far a primary has come in what it writes to its replicas.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    pub offset: u64,
    /// Each replica that follows, and how far it says it has come.
    pub replicas: Vec<(Box<str>, u64)>,
}

/// Why a node did not do what it was asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Another node has the partition now. The address may be empty.
    Elsewhere(Box<str>),
    /// The partition is on its way, the node starts, or it is no primary: later it will be known who answers.
    NotNow,
    /// The node does not know the functions of the state tier: its reader is made anew, and brings them.
    NoFunctions,
    /// The node has no memory left, and changed nothing.
    NoRoom,
    /// The node refused the command, and would refuse it again; or nobody understands its answer.
    Refused,
}

/// The sockets below [`super::Links`].
pub trait Wires {
    /// Begins to connect. False: it failed at once. [`super::Links::up`] follows when the node takes commands, or
    /// [`super::Links::lost`]. A reader brings the functions to a node that has none.
    fn open(&mut self, link: Link, address: &str) -> bool;

    /// Ends a connection; nothing more comes from it. Nobody says that it is lost.
    fn close(&mut self, link: Link);

    /// What is written to one connection between two calls of [`Wires::flush`] leaves in one piece.
    fn write(&mut self, link: Link, words: Words<'_>);

    /// Everything for this connection has been written.
    fn flush(&mut self, link: Link);
}

/// How long it takes to try again, at first and at most.
const AGAIN_FIRST_MS: u64 = 10;
const AGAIN_MAX_MS: u64 = 500;

/// When a connection that failed so many times in a row is tried again.
pub(super) fn again(now: Time, failures: u32) -> Time {
    let millis = (AGAIN_FIRST_MS << failures.min(16)).min(AGAIN_MAX_MS);
    now + base::Duration::from_millis(millis)
}
