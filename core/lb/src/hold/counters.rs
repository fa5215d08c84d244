//! What happened to held requests, for metrics and for tests that check whether all ended.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// Declares the counters once, as atomics and as the plain numbers that are read from them.
macro_rules! counters {
    ($($(#[$doc:meta])* $name:ident),* $(,)?) => {
        #[derive(Debug, Default)]
        pub struct HoldCounters { $($(#[$doc])* pub(super) $name: Counter,)* }

        /// A reading of [`HoldCounters`].
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
        pub struct Counts { $($(#[$doc])* pub $name: u64,)* }

        impl HoldCounters {
            pub fn read(&self) -> Counts {
                Counts { $($name: self.$name.0.load(Relaxed),)* }
            }
        }
    };
}

#[derive(Debug, Default)]
pub(super) struct Counter(AtomicU64);

impl Counter {
    pub(super) fn add(&self) {
        self.0.fetch_add(1, Relaxed);
    }
}

counters! {
    /// Requests taken in.
    kept,
    /// Requests that passed unheld because a bound was reached.
    full,
    /// Copies sent on the timers of RFC 3261 §17.
    repeated,
    /// Requests sent again because the connection to their server was lost.
    resent,
    /// Requests given to another server because theirs failed.
    rerouted_failed,
    /// INVITEs given to another server because theirs was silent.
    rerouted_silent,
    /// INVITEs given to another server because theirs said that it is full.
    rerouted_full,
    /// INVITEs given to another server because theirs refused them by its own fault.
    rerouted_refused,
    /// INVITEs answered by us because no server did.
    answered,
    /// Responses that went nowhere: copies, and responses of servers that were given up.
    absorbed,
    /// Failures acknowledged by us.
    acknowledged,
    /// CANCELs to servers that were given up and turned out to be alive.
    cancelled,
    /// INVITEs that rang longer than timer C and were let go.
    let_go,
    /// Requests that ended without any answer.
    unanswered,
}
