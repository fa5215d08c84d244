//! Every metric that is no plain counter of the workers: name, labels, unit, meaning. Values are in [`super`].

/// A gauge.
pub(super) struct Gauge {
    pub(super) name: &'static str,
    pub(super) labels: &'static [&'static str],
    /// As the page says it.
    pub(super) unit: &'static str,
    pub(super) help: &'static str,
}

const fn gauge(
    name: &'static str,
    labels: &'static [&'static str],
    unit: &'static str,
    help: &'static str,
) -> Gauge {
    Gauge { name, labels, unit, help }
}

pub(super) const GAUGES: &[Gauge] = &[
    gauge("strowger_up_seconds", &[], "s", "Since the load manager started"),
    gauge("strowger_servers", &["state"], "servers", "Servers in the table, by state"),
    gauge(
        "strowger_server_state",
        &["server", "state", "reason"],
        "1",
        "1 for the state that a server is in, with what made it so",
    ),
    gauge(
        "strowger_server_reason",
        &["server", "source", "says"],
        "1",
        "1 for each thing that is said of a server, by who says it: heartbeat, options, traffic, operator",
    ),
    gauge("strowger_server_since_seconds", &["server"], "s", "How long a server has been in its state"),
    gauge("strowger_server_weight", &["server"], "1", "Share of new calls against other servers"),
    gauge("strowger_server_load_ratio", &["server"], "0 … 1", "Load that the server told"),
    gauge("strowger_server_score", &["server"], "0 … 100", "Performance score, where it has one"),
    gauge("strowger_server_calls", &["server"], "calls", "Calls in progress, where they are counted"),
    gauge("strowger_server_left", &["server"], "calls", "Calls left at a server that is drained"),
    gauge("strowger_memory_entries", &["memory"], "entries", "Entries of a bounded store"),
    gauge("strowger_memory_entries_max", &["memory"], "entries", "Entries that it takes at most"),
    gauge("strowger_memory_bytes", &["memory"], "bytes", "Bytes of a bounded store"),
    gauge(
        "strowger_certificate_end_timestamp_seconds",
        &["file"],
        "s since 1970",
        "Last second of a certificate that new connections are shown",
    ),
    gauge(
        "strowger_session_establishment_ratio",
        &[],
        "0 … 1",
        "SER of RFC 6076 §4.6: sessions answered 2xx, of all but redirected ones",
    ),
    gauge(
        "strowger_session_establishment_effectiveness_ratio",
        &[],
        "0 … 1",
        "SEER of RFC 6076 §4.7: the same with 480, 486, 600 and 603, which the callee meant",
    ),
    gauge(
        "strowger_ineffective_session_attempts_ratio",
        &[],
        "0 … 1",
        "ISA of RFC 6076 §4.8: session attempts that ended in 408, 500, 503 or 504",
    ),
    gauge(
        "strowger_session_completion_ratio",
        &[],
        "0 … 1",
        "SCR of RFC 6076 §4.9: sessions whose BYE was answered 2xx, of all attempts",
    ),
];

/// Counters of each server.
pub(super) const OF_SERVERS: &[(&str, &str)] = &[
    ("strowger_server_messages", "Requests sent to a server"),
    ("strowger_server_failures", "Sends to a server that failed"),
    (
        "strowger_server_failed",
        "Requests that came to nothing by its fault: time-outs, 408 and 5xx, 481 to a call that it had",
    ),
    ("strowger_server_new_calls", "New calls given to a server"),
];

/// Histograms of each server: name, as status names it, the results it is told apart by, meaning.
pub(super) const DELAYS: &[(&str, &str, &[&str], &str)] = &[
    (
        "strowger_server_session_request_delay",
        "session request",
        &["successful", "failed"],
        "SRD of RFC 6076 §4.3: from an INVITE to the first response that says something of the call",
    ),
    (
        "strowger_server_session_disconnect_delay",
        "session disconnect",
        &["successful", "failed"],
        "SDD of RFC 6076 §4.4: from a BYE to its final response",
    ),
    (
        "strowger_server_registration_request_delay",
        "registration request",
        &["successful"],
        "RRD of RFC 6076 §4.1: from a REGISTER to its 2xx",
    ),
];

/// What sockets count that goes down, too.
pub(super) const GAUGES_OF_SOCKETS: &[&str] =
    &["spread_by_message", "capture_seen", "connections_open", "buffered_bytes"];

/// Counters of other parts, which there are only where that part runs.
pub(super) const COUNTERS_OF_PARTS: &[(&str, &str)] = &[
    ("`strowger_heartbeats_total`", "Heartbeats taken"),
    ("`strowger_heartbeats_refused_total`", "Heartbeats of servers for which the table had no room"),
    (
        "`strowger_heartbeats_ignored_REASON_total`",
        "Heartbeats ignored: forged, repeated, malformed, for another protocol",
    ),
    (
        "`strowger_perf_polls_total`, `_answers_total`, `_misses_total`, `_notifications_total`",
        "Polls of agents and performance servers, and what came of them",
    ),
    ("`strowger_perf_served_total`", "Questions of other load managers that were answered from here"),
    ("`strowger_notices_told_total`, `_unsent_total`", "Notices of new calls to other load managers"),
    (
        "`strowger_notices_heard_total`, `_learnt_total`, `_otherwise_total`, `_full_total`",
        "Notices of others: believed; of calls new to us; of calls that we had given to another server; without room",
    ),
    ("`strowger_notices_ignored_REASON_total`", "Notices not believed"),
    (
        "`strowger_api_requests_total`, `_unauthorized_total`, `_forbidden_total`, `_refused_total`",
        "HTTP requests of the API; those without a token, without the right to it, and wrong ones",
    ),
    (
        "`strowger_http_connections_total`, `_slow_clients_total`, `_requests_total`, `_refused_total`, `_upgraded_total`",
        "HTTP to the servers (docs/http.md): connections of clients; those cut off as too slow; requests; those that are none to \
         pass on; connections that became another protocol",
    ),
    (
        "`strowger_http_by_tag_total`, `_by_memory_total`, `_by_hash_total`, `_new_sessions_total`, `_taken_over_total`",
        "HTTP requests by how their server was found; sessions that began; requests of a session whose server is gone",
    ),
    (
        "`strowger_http_forged_tags_total`",
        "Identifiers of HTTP sessions that no load manager of this farm made",
    ),
    (
        "`strowger_http_no_server_total`, `_not_connected_total`, `_bad_gateway_total`, `_silent_total`",
        "HTTP requests answered 503; connections that a server did not take; requests answered 502, 504",
    ),
    ("`strowger_faults_written_total`, `_dropped_total`, `_failed_total`", "Fault records (`log.faults`)"),
];
