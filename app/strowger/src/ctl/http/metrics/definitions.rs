//! Every metric that is not a plain counter of the workers: name, labels, unit, meaning. Their values are in [`super`].

/// A gauge.
pub(super) struct Gauge {
    pub(super) name: &'static str,
    pub(super) labels: &'static [&'static str],
    /// The form on the page.
    pub(super) unit: &'static str,
    pub(super) help: &'static str,
}

pub(super) const fn gauge(
    name: &'static str,
    labels: &'static [&'static str],
    unit: &'static str,
    help: &'static str,
) -> Gauge {
    Gauge { name, labels, unit, help }
}

/// Every part has it.
pub(super) const READY: Gauge =
    gauge("strowger_ready", &[], "0, 1", "1 while it can serve a new call, as `/readyz` says");

pub(super) const GAUGES: &[Gauge] = &[
    gauge("strowger_up_seconds", &[], "s", "Time since the load manager started"),
    gauge("strowger_servers", &["state"], "servers", "Servers in the table, by state"),
    gauge(
        "strowger_server_state",
        &["server", "state", "reason"],
        "1",
        "1 for the present state of a server, with the reason for the state",
    ),
    gauge(
        "strowger_server_reason",
        &["server", "source", "says"],
        "1",
        "1 for each judgement of a server, by its source: heartbeat, options, traffic, operator",
    ),
    gauge(
        "strowger_server_since_seconds",
        &["server"],
        "s",
        "Time that a server has been in its present state",
    ),
    gauge("strowger_server_weight", &["server"], "1", "Share of new calls, relative to other servers"),
    gauge("strowger_server_priority", &["server"], "1", "Priority of a server; 0 is the best"),
    gauge(
        "strowger_server_calls_max",
        &["server"],
        "calls",
        "Most calls in progress, for servers with this limit",
    ),
    gauge(
        "strowger_server_calls_per_second_max",
        &["server"],
        "calls/s",
        "Most new calls in any second, for servers with this limit",
    ),
    gauge("strowger_server_load_ratio", &["server"], "0 … 1", "Load that the server reported"),
    gauge("strowger_server_score", &["server"], "0 … 100", "Performance score, for servers that have one"),
    gauge("strowger_server_calls", &["server"], "calls", "Calls in progress, if they are counted"),
    gauge("strowger_server_left", &["server"], "calls", "Calls left at a server that is drained"),
    gauge("strowger_memory_entries", &["memory"], "entries", "Entries of a bounded store"),
    gauge("strowger_memory_entries_max", &["memory"], "entries", "Most entries of a bounded store"),
    gauge("strowger_memory_bytes", &["memory"], "bytes", "Bytes of a bounded store"),
    gauge(
        "strowger_certificate_end_timestamp_seconds",
        &["file"],
        "s since 1970",
        "Last valid second of a certificate that new connections use",
    ),
    gauge(
        "strowger_name_servers",
        &["name"],
        "servers",
        "Servers that a name of the configuration stands for",
    ),
    gauge(
        "strowger_name_state",
        &["name", "state"],
        "1",
        "1 for the present state of a name: current; kept (its servers are those of an earlier answer); asking; nowhere",
    ),
    gauge("strowger_name_since_seconds", &["name"], "s", "Time that a name has been in its present state"),
    gauge(
        "strowger_session_establishment_ratio",
        &[],
        "0 … 1",
        "SER of RFC 6076 §4.6: sessions answered 2xx, divided by all sessions that were not redirected",
    ),
    gauge(
        "strowger_session_establishment_effectiveness_ratio",
        &[],
        "0 … 1",
        "SEER of RFC 6076 §4.7: as SER, but 480, 486, 600 and 603 count as success: the callee chose them",
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
        "SCR of RFC 6076 §4.9: sessions whose BYE was answered 2xx, divided by all attempts",
    ),
];

/// Counters of each server.
pub(super) const OF_SERVERS: &[(&str, &str)] = &[
    ("strowger_server_messages", "Requests sent to a server"),
    ("strowger_server_failures", "Sends to a server that failed"),
    (
        "strowger_server_failed",
        "Requests that failed by the server's fault: time-outs, 408, 5xx, and 481 for a call that the server had",
    ),
    ("strowger_server_new_calls", "New calls given to a server"),
    (
        "strowger_server_at_limit",
        "New calls that came while a server was at its `calls_max` or `calls_per_second_max`, so that it did not get them",
    ),
];

/// Histograms of each server: name, name in `status`, results that it distinguishes, meaning.
pub(super) const DELAYS: &[(&str, &str, &[&str], &str)] = &[
    (
        "strowger_server_session_request_delay",
        "session request",
        &["successful", "failed"],
        "SRD of RFC 6076 §4.3: from an INVITE to the first response other than 100",
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

/// Figures of sockets that can also go down.
pub(super) const GAUGES_OF_SOCKETS: &[&str] =
    &["spread_by_message", "capture_seen", "connections_open", "buffered_bytes"];

/// Counters of other parts. They exist only where the part runs.
pub(super) const COUNTERS_OF_PARTS: &[(&str, &str)] = &[
    ("`strowger_heartbeats_total`", "Heartbeats accepted"),
    ("`strowger_heartbeats_refused_total`", "Heartbeats of servers that the table had no room for"),
    (
        "`strowger_heartbeats_ignored_REASON_total`",
        "Heartbeats ignored: forged, repeated, malformed, for another protocol",
    ),
    (
        "`strowger_perf_polls_total`, `_answers_total`, `_misses_total`, `_notifications_total`",
        "Polls of agents and performance servers: sent, answered, missed; notifications received",
    ),
    ("`strowger_perf_served_total`", "Questions of other load managers that this one answered"),
    (
        "`strowger_dns_questions_total`, `_answers_total`, `_nothing_total`, `_silent_total`, `_failed_total`, `_names_refused_total`",
        "Names of servers: questions to name servers; answers with records; answers that there is no such name or record; questions that \
         nobody answered in time; REFUSED, SERVFAIL and other failures; names that were not looked up because too many are remembered",
    ),
    (
        "`strowger_notices_told_total`, `_unsent_total`",
        "Notices of new calls: told to other load managers, not sent",
    ),
    (
        "`strowger_notices_heard_total`, `_learnt_total`, `_otherwise_total`, `_full_total`",
        "Notices of other load managers: believed; about calls that were new here; about calls that went to another server here; without room in the memory",
    ),
    ("`strowger_notices_ignored_REASON_total`", "Notices that were not believed"),
    (
        "`strowger_api_requests_total`, `_unauthorized_total`, `_forbidden_total`, `_refused_total`",
        "HTTP requests of the API: all; without a good token; with a token that does not allow them; wrong requests",
    ),
    (
        "`strowger_http_connections_total`, `_slow_clients_total`, `_requests_total`, `_refused_total`, `_upgraded_total`",
        "HTTP to the servers (docs/http.md): connections of clients; clients disconnected as too slow; requests; requests that cannot be \
         forwarded; connections that became another protocol",
    ),
    (
        "`strowger_http_by_tag_total`, `_by_memory_total`, `_by_hash_total`, `_new_sessions_total`, `_taken_over_total`",
        "HTTP requests whose server was found by tag, memory, hash; sessions that began; requests that went to another server because theirs is gone",
    ),
    (
        "`strowger_http_forged_tags_total`",
        "Identifiers of HTTP sessions that no load manager of this farm made",
    ),
    (
        "`strowger_http_no_server_total`, `_not_connected_total`, `_bad_gateway_total`, `_silent_total`",
        "HTTP requests answered 503; connections that a server did not accept; requests answered 502; requests answered 504",
    ),
    ("`strowger_faults_written_total`, `_dropped_total`, `_failed_total`", "Fault records (`log.faults`)"),
];
