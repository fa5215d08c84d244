//! What a member is told when it starts.

use std::net::SocketAddr;

use base::{Chance, Duration, Key};
use heartbeat::Transport;

use crate::choice::{Criterion, ServiceState};
use crate::workload::Model;

/// How members learn each other's workload (SPEC D1).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Sharing {
    /// Each tells all others, period by period.
    #[default]
    Push,
    /// Whoever has a call to pass on asks all others first.
    Poll,
    /// Each keeps asking those it has nothing fresh of, and each answer goes to all.
    Collect,
}

/// How the client learns who takes its call (SPEC D2).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Identity {
    /// Back over the members that passed the call on; the one that the client asked answers it.
    #[default]
    Chain,
    /// The one that takes the call answers the client itself, where the edge handed in an answer for that.
    Straight,
}

/// What happens to a call when all members are above their thresholds (SPEC D2).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum AllAbove {
    /// The one with the least work takes it.
    #[default]
    LeastLoaded,
    /// It is refused, with the time after which to try again.
    Refuse,
}

#[derive(Clone, Debug)]
pub struct Settings {
    pub name: String,
    /// Name and address of every other member. Nobody else is listened to or written to.
    pub peers: Vec<(String, SocketAddr)>,
    /// Shared by the group.
    pub key: Key,
    pub sharing: Sharing,
    /// Between two reports of the same member; 10 ms to 60 s.
    pub period: Duration,
    /// Periods of silence after which a member is gone; 3 to 5.
    pub decay_periods: u32,
    pub model: Model,
    /// The first decides, the next where it is even; none: the least work.
    pub criteria: Vec<Criterion>,
    pub all_above: AllAbove,
    pub retry_after_seconds: u32,
    pub state: ServiceState,
    pub cost: u32,
    /// 0 … 100.
    pub quality: u8,
    /// Empty: none.
    pub region: String,
    /// Where clients reach this member: transport, and `host:port` as URIs have it. A client that came over another transport
    /// is sent to the first.
    pub contacts: Vec<(Transport, String)>,
    /// The wall clock at [`base::Time::ZERO`], microseconds since 1970: counts rise over restarts by it.
    pub started_at_micros: u64,
    /// For what must not be guessed or met twice.
    pub chance: Chance,
}
