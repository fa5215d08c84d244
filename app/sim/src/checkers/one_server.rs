//! All messages of a call go to one server, as long as no server is lost (SPEC A1).

use crate::farm::Farm;

pub(super) fn check(farm: &Farm) -> Vec<String> {
    let mut wrong = Vec::new();
    for caller in &farm.callers {
        let at: Vec<_> = farm
            .servers
            .iter()
            .filter(|server| server.witness.seen.contains(&caller.call_id))
            .map(|server| server.address)
            .collect();
        let good = match farm.was_disturbed(caller) {
            true => true,
            false if farm.lost_one() => !at.is_empty(),
            false => at.len() == 1,
        };
        if !good {
            wrong.push(format!("{} was at {at:?}", caller.call_id));
        }
    }
    wrong
}
