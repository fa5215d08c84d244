//! The words of keys that are a choice, each with what it does.

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
        &[("1.2", TlsVersion::V12, "and 1.3, which is preferred"), ("1.3", TlsVersion::V13, "nothing older")];
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
        ("off", ClientCertificate::Off, "they are not asked"),
        ("optional", ClientCertificate::Optional, "one that is shown must be good, none is accepted too"),
        ("required", ClientCertificate::Required, "without a good one there is no connection (mutual TLS)"),
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
        ("session", Affinity::Session, "in a bounded list of Call-IDs"),
        ("hash", Affinity::Hash, "nowhere: the hash of the Call-ID says it"),
    ];
}

impl Choice for HashKind {
    const WORDS: &'static [(&'static str, HashKind, &'static str)] = &[
        ("consistent", HashKind::Consistent, "weighted; one server's death moves only its own calls"),
        ("modulo", HashKind::Modulo, "over the active table; one server's death moves most calls"),
        (
            "cascade",
            HashKind::Cascade,
            "over the server table, then the next good entry; a dead server's calls all move to its neighbour",
        ),
    ];
}

impl Choice for Selection {
    const WORDS: &'static [(&'static str, Selection, &'static str)] = &[
        ("round-robin", Selection::RoundRobin, "one after the other, by weight"),
        ("least-loaded", Selection::LeastLoaded, "the lowest load in the heartbeats"),
        ("score", Selection::Score, "random, in proportion to a score of free CPU and memory"),
        ("cjsq", Selection::Cjsq, "fewest calls in progress (call-join-shortest-queue)"),
        ("tjsq", Selection::Tjsq, "fewest transactions in progress (transaction-join-shortest-queue)"),
        ("tlwl", Selection::Tlwl, "least work left: transactions, with INVITE weighing more"),
        ("hash", Selection::Hash, "the hash of the Call-ID"),
    ];
}

impl Choice for HoldSetup {
    const WORDS: &'static [(&'static str, HoldSetup, &'static str)] = &[
        ("stream", HoldSetup::Stream, "those that came over a stream, whose sender does not repeat them"),
        (
            "all",
            HoldSetup::All,
            "those over UDP too, whose sender stops repeating at the first provisional answer",
        ),
        ("off", HoldSetup::Off, "none"),
    ];
}

impl Choice for Accept {
    const WORDS: &'static [(&'static str, Accept, &'static str)] = &[
        ("any", Accept::Any, "one: a server that is broken does not unregister everybody"),
        ("majority", Accept::Majority, "more than half"),
        ("all", Accept::All, "each: no telephone takes itself for registered where one server lacks it"),
    ];
}

impl Choice for InsertPath {
    const WORDS: &'static [(&'static str, InsertPath, &'static str)] = &[
        ("supported", InsertPath::Supported, "when the telephone says `Supported: path`"),
        (
            "always",
            InsertPath::Always,
            "always: for telephones that do not say it, behind a registrar that needs it",
        ),
        ("never", InsertPath::Never, "never"),
    ];
}

impl Choice for Probe {
    const WORDS: &'static [(&'static str, Probe, &'static str)] = &[
        (
            "traffic",
            Probe::Traffic,
            "by their traffic, and by OPTIONS when they are suspected; a failed one is tried again after a pause; not behind an address that load managers share",
        ),
        ("options", Probe::Options, "by their traffic, and by OPTIONS when they are idle or suspected"),
        ("off", Probe::Off, "not at all"),
    ];
}

impl Choice for By {
    const WORDS: &'static [(&'static str, By, &'static str)] = &[
        ("agent", By::Agent, "\"get data\" of its agent, over a connection that stays"),
        (
            "performance-server",
            By::PerformanceServer,
            "the same of a `strowger perf`, which answers for many servers",
        ),
        ("agent-check", By::AgentCheck, "HAProxy's agent-check text over TCP"),
        ("options", By::Options, "how long it takes to answer OPTIONS over UDP"),
    ];
}

impl Choice for ThreadModel {
    const WORDS: &'static [(&'static str, ThreadModel, &'static str)] = &[
        (
            "per-core",
            ThreadModel::PerCore,
            "workers for messages, one per core, and a thread for heartbeats and tables",
        ),
        ("one", ThreadModel::One, "one thread for both, with an adaptive service rate between the two"),
        ("two", ThreadModel::Two, "one thread each, sharing the table"),
    ];
}
