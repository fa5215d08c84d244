//! Runs whose faults show with time alone: calls that ring for longer than an INVITE waits for its first answer, calls that the
//! farm ends while its engines die, and engines that stand still until their calls are over and forgotten.

use base::{Chance, Duration, Time};

use super::case::{Case, Fault, What};
use super::member::Blow;

/// Longer than timer B (RFC 3261 §17.1.1.2).
const RINGS_MS: u64 = 80_000;
/// Callers have their answer by then, also where an engine died that should have passed it.
const TALKS_MS: u64 = 10_000;
/// An agent kills who stands still for ten seconds.
const STANDS_STILL_MS: u64 = 9_700;

enum Shape {
    Rings,
    HangsUp,
    StandsStill,
}

/// Makes a run of any other kind one that lasts.
pub(super) fn shape(chance: &mut Chance, case: &mut Case) {
    let shape = match chance.below(3) {
        0 => Shape::Rings,
        1 => Shape::HangsUp,
        _ => Shape::StandsStill,
    };
    match shape {
        Shape::Rings => {
            case.manners.rings = Duration::from_millis(RINGS_MS);
            // Half of the callers give up while engines die.
            for (number, plan) in case.calls.iter_mut().enumerate() {
                let patience = Duration::from_millis(500 + chance.below(12_000));
                plan.patience = (number % 2 == 0).then_some(patience);
            }
        }
        Shape::HangsUp => {
            let rings_ms = TALKS_MS + chance.below(3_000);
            let talk_max_ms = rings_ms - chance.below(1_500);
            case.weather.loss_permille = 0;
            // A callee that hangs up does so when it has talked for as long as it may ring: about the time when the farm does.
            case.manners.rings = Duration::from_millis(rings_ms);
            case.manners.hangs_up_permille = 800;
            case.talk_max = Some(Duration::from_millis(talk_max_ms));
            for plan in case.calls.iter_mut().step_by(2) {
                plan.talks = Duration::from_millis(talk_max_ms + chance.below(1_500));
            }
        }
        Shape::StandsStill => {
            case.manners.rings = Duration::from_millis(400 + chance.below(1_000));
            case.manners.refuses_permille = 800;
            case.calls.iter_mut().for_each(|plan| plan.patience = None);
        }
    }
    case.faults = faults(chance, case, &shape);
}

fn faults(chance: &mut Chance, case: &Case, shape: &Shape) -> Vec<Fault> {
    let lasts = case.talk_max.map_or(0, |talk_max| 2 * talk_max.as_millis() as u64);
    let mut faults = Vec::new();
    let mut add = |chance: &mut Chance, what| {
        faults.push(Fault { at: Time::from_millis(500 + chance.below(14_000 + lasts)), what });
    };
    for _ in 0..2 + chance.below(4) {
        let blow = match shape {
            Shape::HangsUp => Blow::Dies,
            Shape::Rings if chance.permille(600) => Blow::Dies,
            Shape::Rings => Blow::Stops(Duration::from_millis(200 + chance.below(STANDS_STILL_MS - 200))),
            Shape::StandsStill if chance.permille(200) => Blow::Dies,
            Shape::StandsStill => {
                Blow::Stops(Duration::from_millis(6_500 + chance.below(STANDS_STILL_MS - 6_500)))
            }
        };
        let member = chance.below(case.members as u64) as usize;
        let after = chance.below(6) as u32;
        add(chance, What::Strike { member, after, blow });
    }
    if chance.permille(300) {
        let time = Duration::from_millis(200 + chance.below(2_000));
        add(chance, What::RepliesLost(time));
    }
    if case.notices.is_some() && chance.permille(500) {
        let member = chance.below(case.members as u64) as usize;
        add(chance, What::FalseNotice { member });
    }
    faults.sort_by_key(|fault| fault.at);
    faults
}
