//! The load managers' counts of calls agree with their callers' counts, and no call is in progress after the last has ended.

use lb::counters::Counter;

use crate::callers::Outcome;
use crate::farm::Farm;
use crate::kinds::Kind;

pub(super) fn check(farm: &Farm) -> Vec<String> {
    let mut wrong = Vec::new();
    for manager in farm.managers.iter().filter(|manager| !manager.is_dead) {
        let terms = manager.shared.terms();
        for ledger in terms.tables.ledger.iter().chain(&terms.tables.census) {
            let slots =
                manager.shared.snapshot().servers().iter().map(|server| server.seat.slot).collect::<Vec<_>>();
            let counted: u32 = slots.into_iter().map(|slot| ledger.count(slot)).sum();
            if counted > 0 {
                wrong.push(format!("{} still counts {counted} hundredths in progress", manager.address));
            }
        }
    }
    // A load manager that dies loses its counters, and with a shared address each load manager sees a part of the calls.
    let counts = match farm.scenario.kind {
        Kind::Calm | Kind::FarmChanges | Kind::Reload | Kind::Forged | Kind::ConnectionsEnd => true,
        Kind::ServerLost | Kind::WaysCut | Kind::ManagerLost | Kind::AddressMoves => false,
        Kind::Anycast | Kind::Everything => false,
    };
    if !counts || farm.lost_one() || !farm.unlucky().is_empty() {
        return wrong;
    }
    let sum = |counter| -> u64 { farm.managers.iter().map(|manager| manager.shared.count_of(counter)).sum() };
    let answered = farm.callers.iter().filter(|caller| caller.outcome == Outcome::Answered).count() as u64;
    let refused =
        farm.callers.iter().filter(|caller| matches!(caller.outcome, Outcome::Refused(_))).count() as u64;
    for (name, counted, seen) in [
        ("established", sum(Counter::SessionEstablished), answered),
        ("completed", sum(Counter::SessionCompleted), answered),
        ("not completed", sum(Counter::SessionNotCompleted), 0),
        ("declined or failed", sum(Counter::SessionDeclined) + sum(Counter::SessionFailed), refused),
        ("ineffective", sum(Counter::SessionIneffective), 0),
        ("taken over", sum(Counter::TakenOver), 0),
    ] {
        if counted != seen {
            wrong.push(format!("{name}: {counted} counted, {seen} seen"));
        }
    }
    wrong
}
