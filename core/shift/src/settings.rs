//! The settings of a member.

use std::net::SocketAddr;

use base::{Chance, Duration, Key};
use heartbeat::Transport;

use crate::choice::{Criterion, ServiceState};
use crate::workload::Model;

/// How members learn each other's workload (SPEC D1).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Sharing {
    /// Each member tells all others, once a period.
    #[default]
    Push,
    /// A member with a call to pass on asks all others first.
    Poll,
    /// Each member keeps asking members whose figures are old, and each answer goes to all.
    Collect,
}

/// How the client learns who takes its call (SPEC D2).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Identity {
    /// Back through the members that passed the call on; the member that the client asked answers it.
    #[default]
    Chain,
    /// The member that takes the call answers the client itself, if the edge gave it an answer for that.
    Straight,
}

/// What happens to a call when all members are above their thresholds (SPEC D2).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum AllAbove {
    /// The member with the least work takes the call.
    #[default]
    LeastLoaded,
    /// The call is refused, with the time after which to try again.
    Refuse,
}

#[derive(Clone, Debug)]
pub struct Settings {
    pub name: String,
    /// Name and address of every other member. This member neither listens nor writes to anybody else.
    pub peers: Vec<(String, SocketAddr)>,
    /// Shared by the group.
    pub key: Key,
    pub sharing: Sharing,
    /// Time between two reports of the same member; 10 ms to 60 s.
    pub period: Duration,
    /// Periods of silence after which a member is gone; 3 to 5.
    pub decay_periods: u32,
    pub model: Model,
    /// The first criterion decides; if members are equal in it, the next decides; none: the least work.
    pub criteria: Vec<Criterion>,
    pub all_above: AllAbove,
    pub retry_after_seconds: u32,
    pub state: ServiceState,
    pub cost: u32,
    /// 0 … 100.
    pub quality: u8,
    /// Empty: none.
    pub region: String,
    /// Where clients reach this member: transport, and `host:port` as in URIs. A client that came over another transport is
    /// sent to the first of these.
    pub contacts: Vec<(Transport, String)>,
    /// The wall clock at [`base::Time::ZERO`], microseconds since 1970: it makes counts rise over restarts.
    pub started_at_micros: u64,
    /// For values that nobody may guess or meet twice.
    pub chance: Chance,
}
