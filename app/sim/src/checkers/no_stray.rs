//! Nobody gets a message that he did not ask for and cannot place.

use crate::farm::Farm;

pub(super) fn check(farm: &Farm) -> Vec<String> {
    let lost = farm.lost_one();
    let mut wrong = Vec::new();
    for caller in &farm.callers {
        // A 2xx of a server that was thought lost must pass, however late (RFC 6026 §7.2). A server that hung answers the
        // copies of a BYE too that it was sent before another server took its calls over and answered.
        let late = ["200 (Invite)", "late: 200 (Bye)"];
        let excused = |stray: &&String| lost && late.iter().any(|late| stray.starts_with(late));
        wrong.extend(
            caller
                .strays
                .iter()
                .filter(|stray| !excused(stray))
                .map(|stray| format!("{}: {stray}", caller.call_id)),
        );
    }
    for server in &farm.servers {
        // A server that was lost has missed or forgotten things; others take its dialogs over and know nothing of them.
        let foreign =
            |stray: &str| stray.starts_with("unknown dialog") || stray.starts_with("nothing to cancel");
        let excused = |stray: &&String| lost && (server.failed_once || foreign(stray));
        wrong.extend(
            server
                .strays
                .iter()
                .filter(|stray| !excused(stray))
                .map(|stray| format!("{}: {stray}", server.address)),
        );
    }
    wrong
}
