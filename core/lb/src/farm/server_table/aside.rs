//! Servers that get no new calls because of what others say: callers whose calls failed, or were refused. At least half of
//! the servers that could take calls stay: callers and callees can be anybody.

use base::{Duration, Time};

use super::ServerTable;
use super::row::Row;
use crate::farm::condition::{Cause, Condition};
use crate::farm::failing::Stage;
use crate::farm::health::Event;
use crate::farm::hearsay::Refused;
use crate::farm::server::ServerId;

impl ServerTable {
    /// A server answered a call with 503 and Retry-After. If this is the server's own word, it gets no new calls for that
    /// time; this is not a failure.
    pub fn refused_call(&mut self, now: Time, id: ServerId, refused: Refused, retry_after: Duration) {
        let may_be_kept_away = self.may_keep_away();
        if let Some(row) = self.rows.iter_mut().find(|row| row.id == id)
            && row.hearsay.refused(now, refused)
            && may_be_kept_away
        {
            row.health.handle(now, Event::Full(retry_after));
            self.look = true;
        }
    }

    /// Whether one more server may be kept from new calls.
    fn may_keep_away(&self) -> bool {
        let takes = self.rows.iter().filter(|row| row.takes_calls()).count();
        let kept = self.rows.iter().filter(|row| row.is_kept_away()).count();
        (kept + 1) * 2 <= takes + kept
    }

    /// Sets aside servers that fail their calls, the worst first, and tries those whose time is over.
    pub(super) fn set_aside(&mut self, now: Time) {
        for row in &mut self.rows {
            if row.failing.handle_timeout(now) {
                row.begin_trial(self.counters.admitted.count(row.seat.slot));
                self.stale = true;
            }
        }
        for at in 0..self.rows.len() {
            let row = &self.rows[at];
            // Only a server with failures is compared with its neighbours.
            if row.condition != Condition::Active || !row.failing.is_worse_than(Some(0)) {
                continue;
            }
            let neighbours = self.usual_permille(at);
            if self.rows[at].failing.is_worse_than(neighbours) && self.may_keep_away() {
                self.rows[at].failing.set_aside(now);
                // This server counts when the next one is considered.
                self.judge_all(now);
            }
        }
    }

    /// The share of set-ups that fails at the other servers: the median, so that neither a server that fails everything nor a
    /// lucky one decides.
    fn usual_permille(&self, at: usize) -> Option<u32> {
        let others = self.rows.iter().enumerate().filter(|(other, row)| *other != at && row.takes_calls());
        let mut shares: Vec<u32> = others.filter_map(|(_, row)| row.failing.failed_permille()).collect();
        shares.sort_unstable();
        shares.get(shares.len().saturating_sub(1) / 2).copied()
    }

    /// No server is left that takes new calls: servers that were kept away by what others say are needed.
    pub(super) fn call_back(&mut self, now: Time) -> bool {
        let mut found = false;
        for row in self.rows.iter_mut().filter(|row| row.is_kept_away()) {
            row.failing.call_back(now);
            row.health.forget_hearsay();
            found = true;
        }
        found
    }
}

impl Row {
    /// Whether what others say keeps it from new calls.
    fn is_kept_away(&self) -> bool {
        let aside = self.is_tried() || self.failing.stage() != Stage::Trusted;
        let heard = self.cause() == Cause::Full && self.health.is_full_by_hearsay();
        self.condition != Condition::Failed && (aside || heard)
    }

    /// Whether it is on trial because it failed its calls.
    fn is_tried(&self) -> bool {
        matches!(self.cause(), Cause::FailingTrial(_))
    }

    fn takes_calls(&self) -> bool {
        self.condition == Condition::Active
    }
}
