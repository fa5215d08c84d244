//! When all calls are over no call is held, no server rings, no message is sent; and some minutes later nothing is remembered.

use crate::farm::Farm;

pub(super) fn check(farm: &Farm) -> Vec<String> {
    let mut wrong = Vec::new();
    for manager in farm.managers.iter().filter(|manager| !manager.is_dead) {
        let (address, shared) = (manager.address, &manager.shared);
        let held = &shared.held;
        if (held.len(), held.bytes()) != (0, 0) {
            wrong.push(format!("{address} holds {} requests, {} bytes", held.len(), held.bytes()));
        }
        let registrations = &shared.registrations;
        if (registrations.len(), registrations.bytes()) != (0, 0) {
            let (count, bytes) = (registrations.len(), registrations.bytes());
            wrong.push(format!("{address} holds {count} registrations, {bytes} bytes"));
        }
        let terms = shared.terms();
        if !terms.calls.known_calls().is_empty() {
            wrong.push(format!("{address} remembers {} calls", terms.calls.known_calls().len()));
        }
        for ledger in terms.tables.ledger.iter().chain(&terms.tables.census) {
            if !ledger.entries().is_empty() {
                wrong.push(format!("a ledger of {address} has {} entries", ledger.entries().len()));
            }
        }
    }
    for server in &farm.servers {
        // A call lives on if all copies of its BYE were lost.
        if server.calls() > farm.unlucky().len() as u64 {
            wrong.push(format!("{} has {} calls", server.address, server.calls()));
        }
    }
    wrong.extend(farm.afterwards.iter().map(|line| format!("sent afterwards: {line}")));
    wrong
}
