//! Draws runs: what their engines, their network and their calls are like, and what strikes them when.

use base::{Chance, Duration, Time};
use sip::Transport;

use super::case::{Case, Fault, Kind, What, farm_address};
use super::lasting;
use super::member::Blow;
use crate::addresses::address;
use crate::fate::Manners;
use crate::link::Weather;
use crate::plan::Plan;

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
