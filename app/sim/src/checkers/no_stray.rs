//! Nobody gets a message that he did not ask for and cannot place.

use crate::farm::Farm;
use crate::kinds::Kind;

pub(super) fn check(farm: &Farm) -> Vec<String> {
    let lost = farm.lost_one();
    let mut wrong = Vec::new();
    // An INVITE whose connection to the server was closed is sent again, and may be refused twice.
    let closed = farm.seen.contains("server closes") || farm.seen.contains("load manager closes");
    let resent = |stray: &str| closed && stray.contains(" (Invite) of ") && stray.ends_with("in Terminated");
    for caller in &farm.callers {
        // A 2xx of a server that was thought lost must pass, however late (RFC 6026 §7.2). A server that hung answers the
        // copies of a BYE too that it was sent before another server took its calls over and answered.
        let late = ["200 (Invite)", "late: 200 (Bye)"];
        let excused = |stray: &&String| {
            lost && late.iter().any(|late| stray.starts_with(late))
                || farm.was_disturbed(caller)
                || resent(stray)
        };
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
        let disturbed = |stray: &str| {
            farm.callers.iter().any(|caller| stray.contains(&caller.call_id) && farm.was_disturbed(caller))
        };
        let excused = |stray: &&String| {
            lost && (server.failed_once || foreign(stray))
                || disturbed(stray)
                || farm.scenario.kind == Kind::Everything
        };
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
