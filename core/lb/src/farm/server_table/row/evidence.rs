//! What workers saw of a server since the last look, passed to the machines that judge it.

use base::Time;

use super::Row;
use crate::farm::evidence::Totals;
use crate::farm::health::Event;

impl Row {
    pub(in crate::farm::server_table) fn read_evidence(&mut self, now: Time, totals: Totals) {
        let before = std::mem::replace(&mut self.evidence, totals);
        let since = |now: u64, before: u64| u32::try_from(now - before).unwrap_or(u32::MAX);
        self.read_outcomes(now, before);
        let returned = since(totals.returned, before.returned);
        let unreachable = since(totals.unreachable, before.unreachable).saturating_sub(returned);
        let sent = since(totals.sent, before.sent);
        if unreachable > 0 {
            self.health.handle(now, Event::Unreachable(unreachable));
        }
        if returned > 0 {
            self.health.handle(now, Event::Returned(returned));
        }
        if sent > 0 {
            self.sent_at = now;
            self.health.handle(now, Event::Sent(sent));
        }
        if totals.answered != before.answered {
            self.health.handle(now, Event::Answered);
        }
    }

    /// Reads the outcomes of its set-ups, if servers are judged at all.
    fn read_outcomes(&mut self, now: Time, before: Totals) {
        let since = |now: u64, before: u64| u32::try_from(now - before).unwrap_or(u32::MAX);
        let taken = since(self.evidence.setups_taken, before.setups_taken);
        let failed = since(self.evidence.setups_failed, before.setups_failed);
        if taken > 0 {
            self.hearsay.taken();
        }
        if taken + failed > 0 && self.health.judges() {
            self.failing.note(now, taken, failed);
        }
    }
}
