//! Nobody rings twice for one INVITE of one client transaction at one server: copies that reach it by two ways bear one branch.

use crate::farm::Farm;

pub(super) fn check(farm: &Farm) -> Vec<String> {
    let mut wrong = Vec::new();
    for server in &farm.servers {
        let mut rang = server.rang.clone();
        rang.sort_unstable();
        let twice = rang.chunk_by(|a, b| a == b).filter(|same| same.len() > 1);
        wrong.extend(
            twice.map(|same| format!("{} rang {} times for {}", server.address, same.len(), same[0].0)),
        );
    }
    wrong
}
