//! The parts of a run with engines, all drawn from one seed.

use std::net::SocketAddr;

use base::{Duration, Time};

use super::member::Blow;
use crate::addresses::address;
use crate::fate::Manners;
use crate::link::Weather;
use crate::plan::Plan;

/// What a run is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Engines die and stop; messages of one Call-ID go to one engine as long as it lives.
    Affinity,
    /// The same, and any engine gets any message.
    Scattered,
    /// The servers of the state tier fail as well.
    StateTier,
    /// As scattered; and calls ring for longer, or the farm ends them, or engines stand still for longer.
    Lasting,
}

impl Kind {
    pub const ALL: [Kind; 4] = [Kind::Affinity, Kind::Scattered, Kind::StateTier, Kind::Lasting];
}

/// A fault, and its time.
#[derive(Clone, Copy, Debug)]
pub struct Fault {
    pub at: Time,
    pub what: What,
}

/// See [`Fault`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum What {
    /// An engine is struck after so many further effects of its calls.
    Strike {
        member: usize,
        after: u32,
        blow: Blow,
    },
    /// The primary is killed. `forced`: an agent promotes a replica at once. `cut`: what is on its way to replicas is lost.
    PrimaryDies {
        forced: bool,
        cut: bool,
    },
    /// A replica is promoted although the primary lives.
    FalseForce,
    /// The primary's process stands still for so long.
    PrimaryStalls(Duration),
    ReplicaDies,
    /// Writes reach one replica later for so long.
    ReplicaLags(Duration),
    /// The others are told that an engine is gone that lives.
    FalseNotice {
        member: usize,
    },
    /// Many answers of the store are lost for so long.
    RepliesLost(Duration),
}

impl What {
    /// The kinds, in the order of a summary.
    pub const NAMES: [&str; 10] = [
        "engine dies",
        "engine stops",
        "primary dies, forced",
        "primary dies, timeout",
        "false force",
        "primary stalls",
        "replica dies",
        "replica lags",
        "replies lost",
        "false notice",
    ];

    /// How long it takes until the others go on.
    fn lasts(self) -> Duration {
        match self {
            // Its death is seen in its marks.
            What::Strike { .. } => Duration::from_secs(2),
            What::PrimaryDies { forced: false, .. } => Duration::from_secs(4),
            What::PrimaryDies { .. } | What::FalseForce => Duration::from_secs(1),
            What::ReplicaDies => Duration::from_secs(3),
            // Its target is asked, and answers.
            What::FalseNotice { .. } => Duration::from_secs(1),
            What::PrimaryStalls(time) | What::ReplicaLags(time) | What::RepliesLost(time) => time,
        }
    }

    pub fn name(self) -> &'static str {
        match self {
            What::Strike { blow: Blow::Dies, .. } => "engine dies",
            What::Strike { blow: Blow::Stops(_), .. } => "engine stops",
            What::PrimaryDies { forced: true, .. } => "primary dies, forced",
            What::PrimaryDies { forced: false, .. } => "primary dies, timeout",
            What::FalseForce => "false force",
            What::PrimaryStalls(_) => "primary stalls",
            What::ReplicaDies => "replica dies",
            What::ReplicaLags(_) => "replica lags",
            What::RepliesLost(_) => "replies lost",
            What::FalseNotice { .. } => "false notice",
        }
    }
}

/// See the head of this module.
#[derive(Clone, Debug)]
pub struct Case {
    pub seed: u64,
    pub kind: Kind,
    pub members: usize,
    pub replicas: usize,
    pub weather: Weather,
    pub calls: Vec<Plan>,
    pub callees: Vec<SocketAddr>,
    pub manners: Manners,
    pub ring_max: Duration,
    /// The farm hangs up after this time.
    pub talk_max: Option<Duration>,
    pub faults: Vec<Fault>,
    /// Load managers tell the others of an engine that is gone within this time; `None`: they find out by its marks.
    pub notices: Option<Duration>,
    /// Engines look at their timers in steps of this length.
    pub step: Duration,
    /// A command without an answer is sent again after this time.
    pub again_after: Duration,
    /// A command without an answer is given up after this time.
    pub given_up_after: Duration,
    /// Answers of the store that are lost, of a thousand.
    pub replies_lost_permille: u32,
}

/// The address that all engines share.
pub fn farm_address() -> SocketAddr {
    address(5, 1)
}

impl Case {
    /// How much later than without faults something happens at the latest that is due from this time on. What a fault has
    /// swallowed comes again after T2 at most (RFC 3261 §17.1.2.2); so does what the network loses once.
    pub fn patience(&self, from: Time) -> Duration {
        let t2 = transaction::Timers::default().t2;
        let lost = if self.weather.loss_permille > 0 { t2 } else { Duration::ZERO };
        let mut faults: Vec<(Time, Duration)> =
            self.faults.iter().map(|fault| (fault.at, fault.what.lasts() + t2)).collect();
        // One that began before may last, also because others came between.
        faults.sort();
        let mut sum = t2 + lost;
        let mut until = Time::ZERO;
        for (at, costs) in faults {
            until = until.max(at) + costs;
            if until > from {
                sum += costs;
            }
        }
        sum
    }

    pub fn last_fault(&self) -> Time {
        self.faults.iter().map(|fault| fault.at).max().unwrap_or_default()
    }
}
