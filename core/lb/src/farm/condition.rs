//! What a server may be given and why, and its state of health: the vocabulary for the rest of the farm.

use crate::farm::failing::Share;

/// What a server may be given.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Condition {
    /// Started, current, healthy: new calls and known calls.
    Active,
    /// The server failed, and nothing shows yet that it is back: a few new calls find out. Known calls follow once it has
    /// answered.
    Trial,
    /// Known calls only: the server itself or an operator says so, or the server is full.
    KnownCallsOnly,
    /// Failed or stopped: its known calls are taken over by others.
    Failed,
}

impl Condition {
    /// The name as people and documents have it.
    pub fn name(self) -> &'static str {
        match self {
            Condition::Active => "active",
            Condition::Trial => "trial",
            Condition::KnownCallsOnly => "known calls only",
            Condition::Failed => "failed",
        }
    }
}

/// Why a row has its condition.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Cause {
    /// Its heartbeats say that it is started.
    Started,
    /// Its heartbeats say that it is draining.
    Draining,
    /// Its last heartbeat said stopped.
    Stopped,
    /// The performance server says that it is draining or stopped, and no heartbeat says otherwise.
    MeasuredDraining,
    /// No heartbeat within the decay (SPEC A4).
    Decayed,
    /// Its heartbeats come, signed with the right key, but none is newer than one received before.
    Replayed {
        /// How far their counts, which are clocks, are behind.
        behind_seconds: u32,
    },
    /// An operator drains it.
    Drained,
    /// The configuration no longer names it: it is removed when its known calls are over.
    Leaving,
    /// It said that it takes no more calls (SPEC A6), or answered OPTIONS with 503, or a call with 503 and Retry-After.
    Full,
    /// It fails its calls while its neighbours do not: it is set aside for a while.
    Failing(Share),
    /// It failed its calls, and a few calls show whether it is well again.
    FailingTrial(Share),
    /// Its health says so.
    Health(State, Reason),
}

impl std::fmt::Display for Cause {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Cause::Started => write!(f, "its heartbeats say started"),
            Cause::Draining => write!(f, "its heartbeats say draining"),
            Cause::Stopped => write!(f, "its last heartbeat said stopped"),
            Cause::MeasuredDraining => write!(f, "whoever measures it says draining"),
            Cause::Decayed => write!(f, "no heartbeat within the decay"),
            Cause::Replayed { behind_seconds } => {
                write!(f, "its heartbeats are refused as replayed: its clock is {behind_seconds} s behind")
            }
            Cause::Drained => write!(f, "drained by an operator"),
            Cause::Leaving => write!(f, "no longer named; goes when its known calls are over"),
            Cause::Full => write!(f, "it has no room for more calls"),
            Cause::Failing(Share { failed, of }) => {
                write!(f, "set aside: it failed {failed} of {of} calls, its neighbours did not")
            }
            Cause::FailingTrial(Share { failed, of }) => {
                write!(f, "on trial: it had failed {failed} of {of} calls")
            }
            Cause::Health(State::Suspect, reason) => write!(f, "suspect: {reason}"),
            Cause::Health(State::Trial, reason) => write!(f, "on trial: {reason}"),
            Cause::Health(State::Up | State::Failed, reason) => write!(f, "{reason}"),
        }
    }
}

/// What is known of a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum State {
    Up,
    /// Silent for a time; still used, but sent OPTIONS.
    Suspect,
    /// Not used.
    Failed,
    /// Was failed; a few new calls, or an OPTIONS, show whether it is back.
    Trial,
}

/// Why the state is what it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Reason {
    /// Nothing was heard of it yet, good or bad.
    Fresh,
    /// Its traffic is answered.
    Answered,
    /// It answered OPTIONS with this status.
    ProbeAnswered(u16),
    /// ICMP unreachable, or a connection refused or lost.
    Unreachable,
    /// Its requests are unanswered, and nothing else was heard from it.
    Silence,
    /// OPTIONS unanswered.
    ProbeSilence,
    /// The pause after its failure is over.
    PauseOver,
}

impl std::fmt::Display for Reason {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Reason::Fresh => write!(f, "nothing heard yet"),
            Reason::Answered => write!(f, "its traffic is answered"),
            Reason::ProbeAnswered(status) => write!(f, "answered OPTIONS with {status}"),
            Reason::Unreachable => write!(f, "unreachable or connection refused"),
            Reason::Silence => write!(f, "requests unanswered, nothing heard from it"),
            Reason::ProbeSilence => write!(f, "OPTIONS unanswered"),
            Reason::PauseOver => write!(f, "tried again after a pause"),
        }
    }
}
