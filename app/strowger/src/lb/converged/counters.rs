//! The counters of HTTP to the servers, with their names in status and metrics.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

macro_rules! counters {
    ($($(#[doc = $doc:literal])+ $name:ident => $text:literal,)*) => {
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        #[repr(usize)]
        pub(crate) enum Counter { $($(#[doc = $doc])+ $name,)* }

        /// Name and meaning of each.
        pub(crate) const DEFINITIONS: &[(&str, &str)] = &[$(($text, concat!($($doc,)+)),)*];
    };
}

counters! {
    /// Connections of HTTP clients.
    Connections => "http_connections",
    /// HTTP clients that were disconnected because the head of a request, or the next request, did not come in time.
    SlowClients => "http_slow_clients",
    /// HTTP requests.
    Requests => "http_requests",
    /// HTTP requests to the server that a tag named.
    ByTag => "http_by_tag",
    /// HTTP requests to the server that the memory of calls knew.
    ByMemory => "http_by_memory",
    /// HTTP requests to the server that the hash of the identifier gives.
    ByHash => "http_by_hash",
    /// HTTP sessions that began: a server was chosen and a cookie set.
    NewSession => "http_new_sessions",
    /// HTTP requests of a session whose server is gone or does not answer; they went to another server.
    TakenOver => "http_taken_over",
    /// Identifiers that look like tags but that no load manager of this farm made.
    Forged => "http_forged_tags",
    /// HTTP requests that were refused because they cannot be forwarded: 400, 405, 413, 501.
    Refused => "http_refused",
    /// HTTP requests answered 503: no server has room.
    NoServer => "http_no_server",
    /// Connections that a server's HTTP port did not accept.
    NotConnected => "http_not_connected",
    /// HTTP requests answered 502: the server accepted the request and gave no answer.
    BadGateway => "http_bad_gateway",
    /// HTTP requests answered 504: the server was silent for too long.
    Silent => "http_silent",
    /// Connections that became another protocol, such as WebSocket.
    Upgraded => "http_upgraded",
}

#[derive(Debug)]
pub(crate) struct FrontCounters([AtomicU64; DEFINITIONS.len()]);

impl Default for FrontCounters {
    fn default() -> FrontCounters {
        FrontCounters(std::array::from_fn(|_| AtomicU64::new(0)))
    }
}

impl FrontCounters {
    pub(crate) fn add(&self, counter: Counter) {
        self.0[counter as usize].fetch_add(1, Relaxed);
    }

    pub(crate) fn add_many(&self, counter: Counter, count: u64) {
        self.0[counter as usize].fetch_add(count, Relaxed);
    }

    pub(crate) fn read(&self) -> impl Iterator<Item = (&'static str, u64)> + '_ {
        DEFINITIONS.iter().zip(&self.0).map(|((name, _), value)| (*name, value.load(Relaxed)))
    }
}
