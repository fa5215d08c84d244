//! Each telephone's REGISTER is answered, and accepted if a server lives.

use crate::farm::Farm;
use crate::kinds::Kind;

pub(super) fn check(farm: &Farm) -> Vec<String> {
    let mut wrong = Vec::new();
    let lost = farm.lost_one() || farm.scenario.kind == Kind::Everything;
    for phone in &farm.phones {
        if !phone.is_done() {
            wrong.push(format!("{} does not end", phone.call_id));
        }
        let good = |status: &&u16| **status == 200 || lost;
        let bad = phone.answers.iter().filter(|status| !good(status));
        wrong.extend(bad.map(|status| format!("REGISTER of {}: {status}", phone.call_id)));
        wrong.extend(phone.strays.iter().map(|stray| format!("{}: {stray}", phone.call_id)));
    }
    wrong
}
