//! A server of the farm: its identity, the place of its counters, and all that the data path knows of it.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use base::Time;
use sip::Transport;

use crate::farm::condition::{Cause, Condition, Reason, State};
use crate::farm::pace::Pace;

/// Identity of a server, computed alike by every load manager: a fixed hash of its SIP address. The table refuses a
/// second server whose id collides with another's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ServerId(pub u32);

impl ServerId {
    pub fn of(address: SocketAddr) -> ServerId {
        let mut bytes = [0u8; 18];
        match address.ip().to_canonical() {
            IpAddr::V4(ip) => bytes[..4].copy_from_slice(&ip.octets()),
            IpAddr::V6(ip) => bytes[..16].copy_from_slice(&ip.octets()),
        }
        bytes[16..].copy_from_slice(&address.port().to_be_bytes());
        ServerId(xxhash_rust::xxh3::xxh3_64(&bytes) as u32)
    }
}

/// The place of a server's shared counters: a slot that the server keeps for life, and the number of this owner of the slot.
/// A slot is used again after its server was removed; an incarnation never is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Seat {
    pub slot: u16,
    pub incarnation: u32,
}

/// The share of a server that has its whole weight.
pub const WHOLE: u16 = 1000;

/// One row of the server table as the data path sees it.
#[derive(Clone, Debug)]
pub struct Server {
    pub id: ServerId,
    pub address: SocketAddr,
    pub transport: Transport,
    pub condition: Condition,
    /// Why it has that condition.
    pub cause: Cause,
    /// When it came into that condition.
    pub since: Time,
    /// Since when its known calls have gone elsewhere, if they do.
    pub gone_since: Option<Time>,
    /// Share of new calls against other servers; 1 … 1000, default 1.
    pub weight: u32,
    /// 0 is the best. The server gets new calls only while no server of a better priority takes them.
    pub priority: u8,
    /// The most calls in progress; `None`: no limit.
    pub calls_max: Option<u32>,
    /// Its limit of new calls in a second, with those of the last second; `None`: no limit.
    pub pace: Option<Arc<Pace>>,
    /// How much of its weight it has while it starts slowly: 1 … [`WHOLE`]. Consistent hashing takes the whole weight.
    pub share_permille: u16,
    /// Score of SPEC B1; `None` if nothing was measured.
    pub score: Option<Score>,
    /// From the heartbeat; `None` if it tells none.
    pub load_permille: Option<u32>,
    /// What one more call adds to the load, in millionths: 1,000 is one permille.
    pub call_load_ppm: u32,
    /// How many more calls the server took at its last heartbeat; `None`: no limit known.
    pub residual_calls: Option<u32>,
    /// Calls that we had given it by that time ([`crate::farm::admitted::Admitted`]), modulo 2^32: later calls are
    /// subtracted.
    pub admitted_before: u32,
    /// Responses from it that had passed when its trial began, modulo 2^32: with one more it has answered.
    pub answered_before: u32,
    /// Row in the server table, for display.
    pub index: u16,
    /// The place of its counters.
    pub seat: Seat,
    /// The state tier that keeps its calls, as its heartbeats said: any server of the same tier goes on with them. A server
    /// that failed keeps its tier.
    pub state_tier: Option<u64>,
}

impl Server {
    /// A row with an address and nothing else known: active, weight 1, slot 0.
    pub fn at(address: SocketAddr, transport: Transport) -> Server {
        Server {
            id: ServerId::of(address),
            address,
            transport,
            condition: Condition::Active,
            cause: Cause::Started,
            since: Time::ZERO,
            gone_since: None,
            weight: 1,
            priority: 0,
            calls_max: None,
            pace: None,
            share_permille: WHOLE,
            score: None,
            load_permille: None,
            call_load_ppm: 0,
            residual_calls: None,
            admitted_before: 0,
            answered_before: 0,
            index: 0,
            seat: Seat::default(),
            state_tier: None,
        }
    }

    /// New calls can go there, as of its last heartbeat.
    pub fn takes_new_calls(&self) -> bool {
        matches!(self.condition, Condition::Active | Condition::Trial) && self.residual_calls != Some(0)
    }

    /// The configuration limits its calls.
    pub fn has_limit(&self) -> bool {
        self.calls_max.is_some() || self.pace.is_some()
    }

    /// Known calls can go there.
    pub fn is_reachable(&self) -> bool {
        is_reachable(self.condition, self.cause)
    }

    /// The server had failed, and has not answered since: its known calls stay where they were taken over.
    pub fn awaits_answer(&self) -> bool {
        self.condition == Condition::Trial && !self.is_reachable()
    }
}

/// A server that failed stays gone in its trial, until it has answered.
pub(in crate::farm) fn is_reachable(condition: Condition, cause: Cause) -> bool {
    match condition {
        Condition::Active | Condition::KnownCallsOnly => true,
        Condition::Trial => !matches!(cause, Cause::Health(State::Trial, Reason::PauseOver)),
        Condition::Failed => false,
    }
}

/// A score in hundredths of a point, 0 … 10,000; printed truncated to points.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Score(u32);

impl Score {
    pub const fn from_hundredths(hundredths: u32) -> Score {
        Score(if hundredths > 10_000 { 10_000 } else { hundredths })
    }

    pub const fn hundredths(self) -> u32 {
        self.0
    }

    pub const fn points(self) -> u32 {
        self.0 / 100
    }
}

impl std::fmt::Display for Score {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}", self.points())
    }
}
