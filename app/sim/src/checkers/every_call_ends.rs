//! Every call is answered or refused with a final status, is hung up, and leaves no server ringing (T3).

use crate::callers::{Caller, Outcome};
use crate::farm::Farm;
use crate::servers::Server;

pub(super) fn check(farm: &Farm) -> Vec<String> {
    let mut wrong = Vec::new();
    let lost = farm.lost_one();
    for caller in &farm.callers {
        if lost && answer_lost(farm, caller) {
            continue;
        }
        if !caller.is_done() {
            wrong.push(format!("{} does not end", caller.call_id));
        }
        if farm.was_disturbed(caller) {
            continue;
        }
        match caller.outcome {
            Outcome::GivenUp => wrong.push(format!("{} was given up", caller.call_id)),
            Outcome::Pending => wrong.push(format!("{} has no final answer", caller.call_id)),
            Outcome::Unheard => wrong.push(format!("{} was never heard", caller.call_id)),
            // A server answers, refuses with 486, or says 487 to a caller that gave up. If a server is lost, another one
            // answers.
            Outcome::Refused(486 | 487) | Outcome::Answered => {}
            Outcome::Refused(status) => wrong.push(format!("{} was refused with {status}", caller.call_id)),
        }
        // No other server knows the dialogs of a dead server: 481.
        let good = |status: &&u16| **status == 200 || lost && matches!(**status, 481 | 408);
        wrong.extend(
            caller
                .byes
                .iter()
                .filter(|bye| !good(bye))
                .map(|bye| format!("BYE of {}: {bye}", caller.call_id)),
        );
    }
    wrong
}

/// Whether this is the one set-up that cannot be saved: its server answered, the answer was lost on its way to a caller over
/// UDP, and the server died before it could send the answer again. The load manager has seen an answered call.
fn answer_lost(farm: &Farm, caller: &Caller) -> bool {
    let udp = !caller.plan.transport.is_reliable();
    let answered_and_lost =
        |server: &Server| server.failed_once && server.witness.has_answered(&caller.call_id);
    let unheard = matches!(caller.outcome, Outcome::Pending | Outcome::GivenUp);
    udp && unheard && farm.servers.iter().any(answered_and_lost)
}
