//! What is left at servers that get no new calls, as far as affinity and selection tell; and how that is known.

use std::collections::HashMap;

use base::{Duration, Time};
use lb::farm::server::ServerId;
use lb::farm::server_table::RowView;
use lb::settings::Affinity;
use lb::shared::Shared;
use serde::{Deserialize, Serialize};

/// If nothing counts calls, a server that was sent no request for this long is taken as empty: with session timers, the
/// longest time between two requests of a call is half of 1800 s (RFC 4028 §4.2).
pub(crate) const QUIET: Duration = Duration::from_secs(900);

/// What is left at one server.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Left {
    pub(crate) calls: u64,
    /// False: there may be more calls that nothing here knows.
    pub(crate) all_known: bool,
    /// How the number is known.
    pub(crate) known_by: String,
    /// Since the last request to the server.
    pub(crate) quiet_seconds: u64,
    /// Nothing is left, or nothing was sent for so long that nothing can be left.
    pub(crate) empty: bool,
}

/// Calls that the memory holds, by server. It walks through the whole memory: do this at most once a second.
pub(crate) fn remembered(shared: &Shared, now: Time) -> HashMap<ServerId, u32> {
    shared.calls.remembered(now)
}

/// `remembered` is the result of [`remembered`].
pub(crate) fn left(shared: &Shared, row: &RowView, remembered: &HashMap<ServerId, u32>) -> Left {
    let by_memory = u64::from(remembered.get(&row.id).copied().unwrap_or(0));
    let by_agent = row.load.and_then(|load| load.calls).filter(|_| row.heartbeat_state.is_some());
    let (calls, all_known, known_by) = match (shared.calls.counted(row.seat), shared.settings.affinity) {
        (Some(counted), _) => (u64::from(counted), true, "calls are counted"),
        (None, Affinity::Session) => (by_memory, true, "from the list of sessions"),
        (None, Affinity::Tag | Affinity::Hash) => match by_agent {
            Some(calls) => (by_memory.max(u64::from(calls)), true, "reported by the server's agent"),
            None => (
                by_memory,
                false,
                "only calls of the last 32 seconds are known; limits.count_calls counts all",
            ),
        },
    };
    Left {
        calls,
        all_known,
        known_by: known_by.into(),
        quiet_seconds: row.quiet_for.as_secs(),
        empty: calls == 0 && (all_known || row.quiet_for >= QUIET),
    }
}

/// The calls of all servers together: a load manager that is ending waits for them.
pub(crate) fn in_all(shared: &Shared, now: Time, rows: &[RowView]) -> u64 {
    let counted: Option<u64> = rows.iter().map(|row| shared.calls.counted(row.seat).map(u64::from)).sum();
    let remembered = || remembered(shared, now).values().copied().map(u64::from).sum();
    counted.unwrap_or_else(remembered) + shared.held.len() as u64
}
