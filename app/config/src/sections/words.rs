//! The words of keys that are a choice, with the effect of each.

use heartbeat::measure::By;
use lb::register::settings::{Accept, InsertPath};
use lb::settings::{Affinity, HashKind, HoldSetup, Probe, Selection};

use crate::language::value::Choice;

/// The words of `log.format`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    Text,
    Json,
}

impl Choice for LogFormat {
    const WORDS: &'static [(&'static str, LogFormat, &'static str)] = &[
        ("text", LogFormat::Text, "time (RFC 3339), level, module, a sentence, fields"),
        (
            "json",
            LogFormat::Json,
            "one object per line: `time` (RFC 3339), `log` (`operation`), `level`, `module`, `message`, fields",
        ),
    ];
}

/// What happens to new calls while the load manager ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NewCalls {
    Refuse,
    Serve,
}

impl Choice for NewCalls {
    const WORDS: &'static [(&'static str, NewCalls, &'static str)] = &[
        ("refuse", NewCalls::Refuse, "answered 503 with Retry-After, so that callers go elsewhere"),
        (
            "serve",
            NewCalls::Serve,
            "carried as before: behind an anycast or VRRP pair, which takes the traffic away meanwhile",
        ),
    ];
}

/// The words of `tls.minimum_version`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TlsVersion {
    V12,
    V13,
}

impl Choice for TlsVersion {
    const WORDS: &'static [(&'static str, TlsVersion, &'static str)] =
        &[("1.2", TlsVersion::V12, "1.2 and 1.3; 1.3 is preferred"), ("1.3", TlsVersion::V13, "1.3 only")];
}

/// The words of `tls.client_certificate`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ClientCertificate {
    Off,
    Optional,
    Required,
}

impl Choice for ClientCertificate {
    const WORDS: &'static [(&'static str, ClientCertificate, &'static str)] = &[
        ("off", ClientCertificate::Off, "clients are not asked"),
        (
            "optional",
            ClientCertificate::Optional,
            "a client may show none; a certificate that is shown must be good",
        ),
        (
            "required",
            ClientCertificate::Required,
            "a client without a good certificate gets no connection (mutual TLS)",
        ),
    ];
}

/// The words of `threads.model`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ThreadModel {
    PerCore,
    One,
    Two,
}

impl Choice for Affinity {
    const WORDS: &'static [(&'static str, Affinity, &'static str)] = &[
        ("tag", Affinity::Tag, "in the message: a signed tag in our Record-Route entry; no memory per call"),
        ("session", Affinity::Session, "in memory: a bounded list of Call-IDs"),
        ("hash", Affinity::Hash, "nowhere: the hash of the Call-ID gives the server"),
    ];
}

impl Choice for HashKind {
    const WORDS: &'static [(&'static str, HashKind, &'static str)] = &[
        ("consistent", HashKind::Consistent, "weighted; one server's death moves only its own calls"),
        ("modulo", HashKind::Modulo, "over the active table; one server's death moves most calls"),
        (
            "cascade",
            HashKind::Cascade,
            "over the server table, then the next good entry; all calls of a dead server move to its neighbour",
        ),
    ];
}

impl Choice for Selection {
    const WORDS: &'static [(&'static str, Selection, &'static str)] = &[
        ("round-robin", Selection::RoundRobin, "one after the other, by weight"),
        ("least-loaded", Selection::LeastLoaded, "the lowest load in the heartbeats"),
        ("score", Selection::Score, "random, in proportion to a score of free CPU and memory"),
        ("cjsq", Selection::Cjsq, "the fewest calls in progress (call-join-shortest-queue)"),
        ("tjsq", Selection::Tjsq, "the fewest transactions in progress (transaction-join-shortest-queue)"),
        ("tlwl", Selection::Tlwl, "the least work left: transactions in progress, INVITE with more weight"),
        ("hash", Selection::Hash, "the hash of the Call-ID"),
    ];
}

impl Choice for HoldSetup {
    const WORDS: &'static [(&'static str, HoldSetup, &'static str)] = &[
        (
            "stream",
            HoldSetup::Stream,
            "INVITEs that came over TCP, TLS or WebSocket: their senders do not repeat them",
        ),
        (
            "all",
            HoldSetup::All,
            "INVITEs over UDP, too: their senders stop repeating at the first provisional answer",
        ),
        ("off", HoldSetup::Off, "none"),
    ];
}

impl Choice for Accept {
    const WORDS: &'static [(&'static str, Accept, &'static str)] = &[
        ("any", Accept::Any, "one server is enough: a broken server does not unregister everybody"),
        ("majority", Accept::Majority, "more than half of the servers"),
        (
            "all",
            Accept::All,
            "every server: a telephone never believes that it is registered while one server does not know it",
        ),
    ];
}

impl Choice for InsertPath {
    const WORDS: &'static [(&'static str, InsertPath, &'static str)] = &[
        ("supported", InsertPath::Supported, "if the telephone sends `Supported: path`"),
        (
            "always",
            InsertPath::Always,
            "always: for a registrar that needs Path, and telephones that do not announce it",
        ),
        ("never", InsertPath::Never, "never"),
    ];
}

impl Choice for Probe {
    const WORDS: &'static [(&'static str, Probe, &'static str)] = &[
        (
            "traffic",
            Probe::Traffic,
            "by their traffic, and by OPTIONS when they are suspected; a failed server is tried again after a pause; not for load managers that share an address",
        ),
        ("options", Probe::Options, "by their traffic, and by OPTIONS when they are idle or suspected"),
        ("off", Probe::Off, "not at all"),
    ];
}

impl Choice for By {
    const WORDS: &'static [(&'static str, By, &'static str)] = &[
        (
            "agent",
            By::Agent,
            "the question \"get data\" to the server's agent, over a connection that stays open",
        ),
        (
            "performance-server",
            By::PerformanceServer,
            "the same question to a `strowger perf`, which answers for many servers",
        ),
        ("agent-check", By::AgentCheck, "HAProxy's agent-check text over TCP"),
        ("options", By::Options, "the time that the server takes to answer OPTIONS over UDP"),
    ];
}

impl Choice for ThreadModel {
    const WORDS: &'static [(&'static str, ThreadModel, &'static str)] = &[
        (
            "per-core",
            ThreadModel::PerCore,
            "one worker per core for messages, and one thread for heartbeats and tables",
        ),
        (
            "one",
            ThreadModel::One,
            "one thread for messages and heartbeats, with an adaptive service rate between the two",
        ),
        ("two", ThreadModel::Two, "one thread for messages, one for heartbeats; both share the table"),
    ];
}
