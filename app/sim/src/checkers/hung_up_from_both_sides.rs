//! Both sides can hang up an answered call: the caller answers the server's BYE.

use crate::farm::Farm;

pub(super) fn check(farm: &Farm) -> Vec<String> {
    let mut wrong = Vec::new();
    let lost = farm.lost_one();
    let disturbed = |call_id: &String| {
        farm.callers.iter().any(|caller| caller.call_id == *call_id && farm.was_disturbed(caller))
    };
    for server in &farm.servers {
        let good = |call_id, status| status == 200 || lost || disturbed(call_id);
        let bad = server.witness.byes().filter(|(call_id, status)| !good(call_id, *status));
        wrong.extend(
            bad.map(|(call_id, status)| format!("BYE of {} for {call_id}: {status}", server.address)),
        );
    }
    wrong
}
