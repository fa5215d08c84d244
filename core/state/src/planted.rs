//! Faults that the simulator plants in engines and in the state tier, to show that it finds them. Only with the feature
//! `planted`, which the simulator alone asks for; without it no fault is there, and nothing of them is compiled.

/// A fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bug {
    /// A put takes effect whatever was written since its record was read.
    NoFence,
    /// Nothing is left of a call for its late messages.
    NoTombstone,
    /// What is left of a call goes after a second.
    ShortTombstone,
    /// Nobody waits until the replicas have a write.
    NoWait,
    /// Each engine has branches of its own.
    BranchDrawn,
    /// Each engine has tags of its own.
    TagDrawn,
    /// A callee's failure is acknowledged before it is written.
    AckBeforePut,
    /// The caller gets a 2xx before it is written.
    AnswerBeforePut,
    /// The callee's INVITE leaves before the call is written.
    InviteBeforeCreate,
    /// The caller gets a failure before it is written.
    FailureBeforePut,
    /// Who takes a call over does not write it.
    NoTakeOverPut,
    /// A record keeps the owner that it had.
    WrongOwner,
    /// The calls of a dead engine are left alone.
    NoTakeOver,
    /// An ACK passes by whatever record is in memory.
    StaleAck,
    /// A response that another engine waits for is not handed to it.
    NoHandBack,
    /// What waits for the store forgets how often it was handed over.
    HopsForgotten,
    /// A request within a dialog passes by whatever record is in memory.
    NoCheck,
    /// A write that is sent again does not know itself.
    OwnStampForgotten,
    /// A refused write counts as done.
    RefusalIgnored,
    /// A failure is not sent again.
    LostTimer,
    /// An engine that stood still goes on as if nothing had happened.
    NoDoubt,
    /// An INVITE that is cancelled is not remembered as such by who takes the call over.
    CancelForgotten,
}

impl Bug {
    pub const ALL: [Bug; 22] = [
        Bug::NoFence,
        Bug::NoTombstone,
        Bug::ShortTombstone,
        Bug::NoWait,
        Bug::BranchDrawn,
        Bug::TagDrawn,
        Bug::AckBeforePut,
        Bug::AnswerBeforePut,
        Bug::InviteBeforeCreate,
        Bug::FailureBeforePut,
        Bug::NoTakeOverPut,
        Bug::WrongOwner,
        Bug::NoTakeOver,
        Bug::StaleAck,
        Bug::NoHandBack,
        Bug::HopsForgotten,
        Bug::NoCheck,
        Bug::OwnStampForgotten,
        Bug::RefusalIgnored,
        Bug::LostTimer,
        Bug::NoDoubt,
        Bug::CancelForgotten,
    ];
}

#[cfg(feature = "planted")]
mod present {
    use std::cell::Cell;

    use super::Bug;

    thread_local! {
        static PRESENT: Cell<Option<Bug>> = const { Cell::new(None) };
    }

    /// From now on all engines and partitions of this thread have the fault.
    pub fn plant(bug: Option<Bug>) {
        PRESENT.set(bug);
    }

    pub fn is(bug: Bug) -> bool {
        PRESENT.get() == Some(bug)
    }
}

#[cfg(feature = "planted")]
pub use present::{is, plant};

/// No fault is there.
#[cfg(not(feature = "planted"))]
pub const fn is(_: Bug) -> bool {
    false
}
