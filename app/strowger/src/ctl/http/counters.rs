//! The counters of the API's requests.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

#[derive(Debug, Default)]
pub(crate) struct ApiCounters {
    requests: AtomicU64,
    unauthorized: AtomicU64,
    forbidden: AtomicU64,
    refused: AtomicU64,
}

impl ApiCounters {
    /// A request was answered with this status.
    pub(crate) fn answered(&self, status: u16) {
        self.requests.fetch_add(1, Relaxed);
        match status {
            401 => self.unauthorized.fetch_add(1, Relaxed),
            403 => self.forbidden.fetch_add(1, Relaxed),
            // A 503 is no fault of the asker.
            400..=499 => self.refused.fetch_add(1, Relaxed),
            _ => 0,
        };
    }

    pub(crate) fn read(&self) -> [(&'static str, u64); 4] {
        [
            ("api_requests", self.requests.load(Relaxed)),
            ("api_unauthorized", self.unauthorized.load(Relaxed)),
            ("api_forbidden", self.forbidden.load(Relaxed)),
            ("api_refused", self.refused.load(Relaxed)),
        ]
    }
}
