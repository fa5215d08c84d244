//! Slow start: the share of a server that returns rises with time.

use base::Time;

use super::{Row, SHARE_STEPS};
use crate::farm::server::WHOLE;

impl Row {
    /// The server was there from the beginning: it does not start slowly.
    pub(in crate::farm::server_table) fn settle(&mut self) {
        self.was_out = false;
    }

    /// Raises the share with time; true if selection must know.
    pub(in crate::farm::server_table) fn rise(&mut self, now: Time) -> bool {
        let slow_start = self.rise_time;
        let Some(began) = self.rising else { return false };
        let passed = now.since(began);
        let share = if passed >= slow_start {
            self.rising = None;
            WHOLE
        } else {
            // In steps, so that not every look makes a snapshot.
            let steps = passed.as_micros() * u128::from(SHARE_STEPS) / slow_start.as_micros();
            ((steps as u16 + 1) * (WHOLE / SHARE_STEPS)).min(WHOLE)
        };
        std::mem::replace(&mut self.share_permille, share) != share
    }
}
