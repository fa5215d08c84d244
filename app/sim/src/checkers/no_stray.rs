//! No node gets a message that it did not ask for and cannot place.

use crate::callers::Caller;
use crate::farm::Farm;
use crate::kinds::Kind;
use crate::servers::Server;

pub(super) fn check(farm: &Farm) -> Vec<String> {
    let lost = farm.lost_one();
    let mut wrong = Vec::new();
    for caller in &farm.callers {
        // A 2xx of a server that was thought lost must pass, however late (RFC 6026 §7.2); a server whose 2xx nobody
        // acknowledges hangs up.
        // A server that hung also answers the copies of a BYE that it received before another server took over its calls.
        let late = ["200 (Invite)", "asked: Bye", "late: 200 (Bye)"];
        let excused = |stray: &&String| {
            lost && late.iter().any(|late| stray.starts_with(late)) || farm.was_disturbed(caller)
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
        // A lost server has missed or forgotten messages; the servers that take its dialogs over do not know them.
        let foreign =
            |stray: &str| stray.starts_with("unknown dialog") || stray.starts_with("nothing to cancel");
        let disturbed = |stray: &str| {
            farm.callers.iter().any(|caller| stray.contains(&caller.call_id) && farm.was_disturbed(caller))
        };
        // Two servers that answered one call share its Call-ID, so a message for the second may reach the first.
        let doubled = |stray: &str| {
            let answered = |caller: &Caller| {
                let has = |server: &&Server| server.witness.has_answered(&caller.call_id);
                farm.servers.iter().filter(has).count()
            };
            farm.callers.iter().any(|caller| stray.contains(&caller.call_id) && answered(caller) > 1)
        };
        let excused = |stray: &&String| {
            lost && (server.failed_once || foreign(stray) || doubled(stray))
                || disturbed(stray)
                || farm.scenario.kind == Kind::Everything
        };
        wrong.extend(
            server
                .witness
                .strays()
                .iter()
                .filter(|stray| !excused(stray))
                .map(|stray| format!("{}: {stray}", server.address)),
        );
    }
    wrong
}
