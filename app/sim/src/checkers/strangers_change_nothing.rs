//! If a stranger is the only fault, no server is called failed. The other checkers find calls that the stranger's messages
//! ended: in such a run they excuse nothing.

use crate::farm::Farm;
use crate::kinds::Kind;

pub(super) fn check(farm: &Farm) -> Vec<String> {
    if farm.scenario.kind != Kind::Forged {
        return Vec::new();
    }
    let failed = farm.managers.iter().flat_map(|manager| &manager.called_failed);
    failed.map(|server| format!("{server} lives and was called failed")).collect()
}
