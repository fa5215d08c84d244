//! When all calls are over nothing is held, nothing rings, nothing is sent.

use crate::farm::Farm;

pub(super) fn check(farm: &Farm) -> Vec<String> {
    let mut wrong = Vec::new();
    for manager in &farm.managers {
        let held = &manager.shared.held;
        if (held.len(), held.bytes()) != (0, 0) {
            wrong.push(format!("{} holds {} requests, {} bytes", manager.address, held.len(), held.bytes()));
        }
    }
    for server in &farm.servers {
        wrong.extend(server.unfinished().map(|call| format!("{}: {call}", server.address)));
    }
    wrong.extend(farm.afterwards.iter().map(|line| format!("sent afterwards: {line}")));
    wrong
}
