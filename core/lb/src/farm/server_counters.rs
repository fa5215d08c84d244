//! The counters of each server, in its own slot.

use std::sync::Arc;

use crate::farm::admitted::Admitted;
use crate::farm::delays::Delays;
use crate::farm::evidence::Evidence;
use crate::memory::ledger::Ledger;
use crate::settings::{Selection, Settings};

/// The most rows of a dynamic table, unless `table_size` says more: a sender of heartbeats must not be able to fill our
/// memory.
pub const SERVERS_MAX: usize = 4096;

/// Counters that workers write and the table reads or prepares, each with one place per slot.
#[derive(Clone, Debug)]
pub struct ServerCounters {
    pub evidence: Arc<Evidence>,
    /// How long servers take to answer (RFC 6076).
    pub delays: Arc<Delays>,
    pub admitted: Arc<Admitted>,
    pub ledger: Option<Arc<Ledger>>,
    /// Calls in progress, if they are counted: for `cjsq`, or because the settings ask for it.
    pub census: Option<Arc<Ledger>>,
}

impl ServerCounters {
    /// As many slots as the table of these settings can have rows.
    pub fn for_settings(settings: &Settings, workers: usize) -> ServerCounters {
        let slots = slots(settings);
        let ledger = Ledger::for_settings(settings, slots).map(Arc::new);
        ServerCounters {
            evidence: Arc::new(Evidence::new(workers, slots)),
            delays: Arc::new(Delays::new(workers, slots)),
            admitted: Arc::new(Admitted::new(slots)),
            census: Ledger::census_for(settings, slots, ledger.as_ref()),
            ledger,
        }
    }

    /// The counters for `settings` in place of those for `before`: a count that both have is kept, another begins at
    /// zero.
    pub(crate) fn renew_ledgers(&mut self, before: &Settings, settings: &Settings, slots: usize) {
        let counts = |settings: &Settings| (settings.selection, settings.invite_weight_percent);
        if counts(settings) != counts(before) {
            let calls = self.census.clone().filter(|_| settings.selection == Selection::Cjsq);
            self.ledger = calls.or_else(|| Ledger::for_settings(settings, slots).map(Arc::new));
        }
        let kept = self.census.clone().filter(|_| settings.count_calls);
        self.census = Ledger::census_for(
            &Settings { count_calls: false, ..settings.clone() },
            slots,
            self.ledger.as_ref(),
        )
        .or(kept)
        .or_else(|| Ledger::census_for(settings, slots, self.ledger.as_ref()));
    }
}

pub(crate) fn slots(settings: &Settings) -> usize {
    // Positions and slots have 16 bits, and a look-up table keeps position + 1.
    settings.heartbeat.table_size.unwrap_or(SERVERS_MAX).min(usize::from(u16::MAX) - 1)
}
