//! What an engine asks the state tier, and what comes back.

use crate::command::{Answer, Command};

/// A command on its way to the node that has the partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ask {
    /// Comes back with the reply. The asker chooses it.
    pub token: u64,
    pub partition: u8,
    pub command: Command,
    /// The reply comes only when every replica in step has the write too.
    pub replicated: bool,
}

/// What became of a command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reply {
    pub token: u64,
    pub answer: Result<Answer, Unanswered>,
}

/// The reason why there is no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unanswered {
    /// No node answered in time. Nobody knows whether the command took effect.
    OutOfReach,
    /// Too many commands wait already; the command was not sent.
    Busy,
    /// The node refused the command or said what nobody understands; the command had no effect.
    Failed,
}
