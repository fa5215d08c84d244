//! The parts of a run with engines, all drawn from one seed.

use std::net::SocketAddr;

use base::{Chance, Duration, Time};
use sip::Transport;

use super::lasting;
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

const CALLS: u64 = 12;
/// Calls begin within this time.
const RUSH_MS: u64 = 8_000;

impl Case {
    pub fn drawn(seed: u64, kind: Kind) -> Case {
        let mut chance = Chance::seeded(seed ^ 0x00E6_61E5 ^ (kind as u64) << 40);
        let chance = &mut chance;
        let members = 2 + chance.below(3) as usize;
        let replicas = match kind {
            Kind::StateTier => 1 + chance.below(2) as usize,
            _ => chance.below(2) as usize,
        };
        let weather = Weather {
            loss_permille: [0, 0, 10, 30][chance.below(4) as usize],
            double_permille: [0, 20][chance.below(2) as usize],
            delay_min: Duration::from_micros(200),
            delay_max: Duration::from_millis(1 + chance.below(40)),
        };
        let callees = 1 + u64::from(chance.permille(250));
        let rings_ms = 400 + chance.below(7_600);
        let calls = (0..CALLS).map(|_| call(chance, rings_ms)).collect();
        let mut case = Case {
            seed,
            kind,
            members,
            replicas,
            weather,
            calls,
            callees: (0..callees).map(|number| address(2, number as u8 + 1)).collect(),
            manners: Manners {
                refuses_permille: 250,
                hangs_up_permille: 400,
                rings: Duration::from_millis(rings_ms),
            },
            ring_max: Duration::from_secs(180),
            talk_max: None,
            faults: Vec::new(),
            notices: chance.permille(600).then(|| notices(chance)),
            step: Duration::from_millis([10, 20, 30][chance.below(3) as usize]),
            again_after: Duration::from_millis(100 + chance.below(400)),
            given_up_after: Duration::from_millis(5_000 + chance.below(3_000)),
            replies_lost_permille: [0, 0, 5][chance.below(3) as usize],
        };
        match kind {
            Kind::Lasting => lasting::shape(chance, &mut case),
            Kind::Affinity | Kind::Scattered | Kind::StateTier => case.faults = faults(chance, &case),
        }
        case
    }

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

/// A late notice may come when the member has started anew.
fn notices(chance: &mut Chance) -> Duration {
    let is_late = chance.permille(200);
    Duration::from_millis(5 + chance.below(if is_late { 5_000 } else { 300 }))
}

fn call(chance: &mut Chance, rings_ms: u64) -> Plan {
    Plan {
        transport: Transport::Udp,
        manager: farm_address(),
        starts: Time::from_millis(500 + chance.below(RUSH_MS)),
        talks: Duration::from_millis(50 + chance.below(6_000)),
        // Often about the time of the answer, so that CANCEL and answer cross.
        patience: chance.permille(300).then(|| Duration::from_millis(rings_ms / 2 + chance.below(rings_ms))),
    }
}

fn faults(chance: &mut Chance, case: &Case) -> Vec<Fault> {
    let mut faults = Vec::new();
    let at = |chance: &mut Chance| Time::from_millis(500 + chance.below(RUSH_MS + 6_000));
    for _ in 0..1 + chance.below(3) {
        let blow = match chance.permille(700) {
            true => Blow::Dies,
            false => Blow::Stops(Duration::from_millis(200 + chance.below(5_300))),
        };
        let member = chance.below(case.members as u64) as usize;
        let what = What::Strike { member, after: chance.below(6) as u32, blow };
        faults.push(Fault { at: at(chance), what });
    }
    if case.kind == Kind::StateTier {
        let what = match chance.below(9) {
            0 | 1 => What::PrimaryDies { forced: true, cut: chance.permille(500) },
            2 | 3 => What::PrimaryDies { forced: false, cut: chance.permille(500) },
            4 => What::FalseForce,
            5 => What::PrimaryStalls(Duration::from_millis(100 + chance.below(5_000))),
            6 => What::ReplicaDies,
            _ => What::FalseForce,
        };
        faults.push(Fault { at: at(chance), what });
        if chance.permille(500) {
            let lags = What::ReplicaLags(Duration::from_millis(500 + chance.below(5_000)));
            faults.push(Fault { at: at(chance), what: lags });
        }
    }
    if chance.permille(300) {
        let lost = What::RepliesLost(Duration::from_millis(200 + chance.below(2_000)));
        faults.push(Fault { at: at(chance), what: lost });
    }
    if case.notices.is_some() && chance.permille(500) {
        let member = chance.below(case.members as u64) as usize;
        faults.push(Fault { at: at(chance), what: What::FalseNotice { member } });
    }
    faults.sort_by_key(|fault| fault.at);
    faults
}
