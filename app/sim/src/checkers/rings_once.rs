//! No server rings twice for one INVITE of one client transaction: copies that reach it by two ways have the same branch.

use crate::farm::Farm;

pub(super) fn check(farm: &Farm) -> Vec<String> {
    let mut wrong = Vec::new();
    for server in &farm.servers {
        let twice = server.witness.branches.iter().filter(|(_, branches)| branches.len() > 1);
        wrong.extend(twice.map(|((call_id, ..), branches)| {
            format!("{} was asked by {} branches for {call_id}", server.address, branches.len())
        }));
    }
    wrong
}
