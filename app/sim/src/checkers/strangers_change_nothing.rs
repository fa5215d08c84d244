//! Where a stranger is all that goes wrong, no server is called failed. That his messages end no call the other checkers see:
//! in such a run they excuse nothing.

use crate::farm::Farm;
use crate::kinds::Kind;

pub(super) fn check(farm: &Farm) -> Vec<String> {
    if farm.scenario.kind != Kind::Forged {
        return Vec::new();
    }
    let failed = farm.managers.iter().flat_map(|manager| &manager.called_failed);
    failed.map(|server| format!("{server} lives and was called failed")).collect()
}
