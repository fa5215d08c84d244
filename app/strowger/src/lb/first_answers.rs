//! The start waits a moment for the first answers of name servers, so that calls in progress find their servers after a restart.

use std::time::Duration;

use crate::lb::control::Control;
use crate::lb::names::Names;
use net::Clock;

/// How long the start waits for the first answers of name servers, and how often it looks for them.
const PATIENCE: Duration = Duration::from_secs(5);
const PAUSE: Duration = Duration::from_millis(5);

/// Servers that are found by name are there before the first message is read, if the name servers answer in time. Returns whether
/// they did.
pub(crate) fn wait(control: &mut Control, clock: Clock) -> bool {
    let end = clock.now() + PATIENCE;
    loop {
        control.turn(clock.now(), 0, |_, _| ());
        if control.names().is_none_or(Names::are_answered) {
            return true;
        }
        if clock.now() >= end {
            return false;
        }
        std::thread::sleep(PAUSE);
    }
}
