//! Whether a server may get one more new call: by its own word (residual capacity, SPEC A6) and by the limits that the
//! configuration sets for it.

use std::sync::Arc;

use base::Time;

use crate::farm::admitted::Admitted;
use crate::farm::server::Server;
use crate::memory::ledger::{Ledger, ONE};

/// See the head of this module.
#[derive(Clone, Debug)]
pub(crate) struct Room {
    pub(crate) admitted: Arc<Admitted>,
    /// Calls in progress. Without it, nothing is known of them and `calls_max` has no effect; the configuration sees to it.
    pub(crate) census: Option<Arc<Ledger>>,
}

impl Room {
    /// The server takes new calls and has room for one more.
    pub(crate) fn is_there(&self, now: Time, server: &Server) -> bool {
        self.admitted.has_room(server) && !self.is_at_limit(now, server)
    }

    /// The server has as many calls in progress as it may have, or was given as many in the last second as it may be given.
    #[inline]
    pub(crate) fn is_at_limit(&self, now: Time, server: &Server) -> bool {
        let in_progress = || self.census.as_ref().map_or(0, |census| census.count(server.seat.slot));
        server.calls_max.is_some_and(|max| in_progress() >= max.saturating_mul(u32::from(ONE)))
            || server.pace.as_ref().is_some_and(|pace| !pace.has_room(now))
    }
}
