//! What a running load manager tells about itself: the document that the control socket serves and `strowger status` prints.

use std::net::SocketAddr;

use net::worker::Handle;
use serde::{Deserialize, Serialize};

use crate::report::left::Left;
use crate::report::names::NameStatus;

/// The whole state at one moment. Fields are added at the end and never renamed, because scripts read this.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct StatusReport {
    pub(crate) version: String,
    pub(crate) pid: u32,
    pub(crate) uptime_seconds: u64,
    /// The number of the snapshot that routing uses; it rises with each change.
    pub(crate) epoch: u64,
    pub(crate) listeners: Vec<String>,
    pub(crate) affinity: String,
    pub(crate) selection: String,
    pub(crate) hash: String,
    pub(crate) threads: String,
    /// The server table (SPEC A2), by index.
    pub(crate) servers: Vec<ServerStatus>,
    /// Indices of the servers that may get new calls (SPEC A5), in the order of the active table.
    pub(crate) active: Vec<u32>,
    pub(crate) memory: Vec<MemoryStatus>,
    /// The certificates of new connections.
    pub(crate) certificates: Vec<CertificateStatus>,
    /// By name, together with the counters of what was ignored, refused or dropped.
    pub(crate) counters: Vec<Counter>,
    pub(crate) workers: Vec<WorkerStatus>,
    /// The names that servers are found by.
    pub(crate) names: Vec<NameStatus>,
}

impl StatusReport {
    /// What is wrong now, each with its effect. Empty: all is well.
    pub(crate) fn wrong(&self) -> Vec<String> {
        let mut wrong = Vec::new();
        if self.active.is_empty() {
            wrong.push("no server takes new calls: they are answered 503".to_owned());
        }
        for server in self.servers.iter().filter(|server| matches!(&*server.state, "failed" | "trial")) {
            let address = server.address.map_or_else(String::new, |address| address.to_string());
            wrong.push(format!("server {address} is {}: {}", server.state, server.reason));
        }
        wrong.extend(self.names.iter().filter_map(NameStatus::wrong));
        for certificate in self.certificates.iter().filter(|certificate| certificate.left_seconds < 0) {
            wrong.push(format!("certificate {} has ended: clients refuse it", certificate.file));
        }
        wrong
    }
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct CertificateStatus {
    pub(crate) file: String,
    /// The last valid second, since 1970.
    pub(crate) ends: i64,
    /// The day of that second: `2026-11-21`.
    pub(crate) last_day: String,
    /// Seconds until then. Below zero: the certificate has ended.
    pub(crate) left_seconds: i64,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct ServerStatus {
    pub(crate) index: u32,
    pub(crate) address: Option<SocketAddr>,
    /// `udp`, `tcp`.
    pub(crate) transport: String,
    /// `active`, `trial`, `known calls only`, `failed`.
    pub(crate) state: String,
    /// Why the server is in this state.
    pub(crate) reason: String,
    /// How long the server has been in this state.
    pub(crate) since_seconds: u64,
    /// `None`: no heartbeat has come.
    pub(crate) heartbeat_age_ms: Option<u64>,
    /// The id in the server's heartbeats.
    pub(crate) heartbeat_id: Option<u32>,
    /// The state tier that keeps the server's calls, as its heartbeats say.
    pub(crate) state_tier: Option<u64>,
    pub(crate) weight: u32,
    pub(crate) load_permille: Option<u32>,
    pub(crate) cpu_permille: Option<u32>,
    pub(crate) memory_available_kib: Option<u64>,
    pub(crate) score: Option<u32>,
    pub(crate) residual_calls: Option<u32>,
    /// Calls in progress, if they are counted.
    pub(crate) calls: Option<u64>,
    /// Messages sent to the server.
    pub(crate) messages: u64,
    /// Requests that the server left unanswered or that could not be sent.
    pub(crate) failures: u64,
    /// New calls given to the server.
    pub(crate) new_calls: u64,
    /// Requests that failed: time-outs, 5xx, calls that the server had lost.
    pub(crate) failed: u64,
    /// Age of the polled figures. `None`: the server is not polled.
    pub(crate) measured_age_ms: Option<u64>,
    /// The last poll got no answer: the score is 0.
    pub(crate) measured_down: bool,
    pub(crate) network_permille: Option<u32>,
    /// The time to answer OPTIONS, if it is measured.
    pub(crate) latency_us: Option<u32>,
    /// All judgements of the server, with the reason for its state.
    pub(crate) reasons: Vec<ReasonStatus>,
    /// For a server that gets no new calls: what is left.
    pub(crate) left: Option<Left>,
    /// The present part of its weight during a slow start, in thousandths.
    pub(crate) share_permille: u32,
    /// How long the server takes to answer. Delays that were never measured are left out.
    pub(crate) delays: Vec<DelayStatus>,
    /// 0 is the best: a server gets new calls only while no server of a better priority takes them.
    pub(crate) priority: u32,
    /// The limits of the configuration. `None`: there is no limit.
    pub(crate) calls_max: Option<u32>,
    pub(crate) calls_per_second_max: Option<u32>,
    /// New calls that came while the server was at one of these limits, so that it did not get them.
    pub(crate) at_limit: u64,
}

/// One delay of RFC 6076 as a histogram.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct DelayStatus {
    /// `session request`, `session disconnect`, `registration request`.
    pub(crate) name: String,
    /// `successful`, `failed`.
    pub(crate) result: String,
    /// Upper bounds of the buckets, milliseconds.
    pub(crate) bounds_ms: Vec<u32>,
    /// The number of values in each bucket; one more bucket than bounds, for values above all bounds.
    pub(crate) counts: Vec<u64>,
    pub(crate) sum_us: u64,
}

/// One judgement of a server.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct ReasonStatus {
    /// `heartbeat`, `options`, `traffic`, `operator`.
    pub(crate) source: String,
    pub(crate) says: String,
    /// The state that this judgement alone would allow; the server's state is what all judgements allow.
    pub(crate) allows: String,
    pub(crate) since_seconds: u64,
}

/// One bounded store.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct MemoryStatus {
    /// `new calls`, `sessions`, `held set-ups`.
    pub(crate) name: String,
    pub(crate) entries: u64,
    pub(crate) entries_max: u64,
    pub(crate) bytes: u64,
    pub(crate) bytes_max: Option<u64>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Counter {
    pub(crate) name: String,
    pub(crate) value: u64,
}

impl Counter {
    /// Adds to the counter of this name.
    pub(crate) fn add(all: &mut Vec<Counter>, name: &str, value: u64) {
        match all.iter_mut().find(|counter| counter.name == name) {
            Some(counter) => counter.value += value,
            None => all.push(Counter { name: name.to_owned(), value }),
        }
    }
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct WorkerStatus {
    pub(crate) index: u32,
    pub(crate) messages_in: u64,
    pub(crate) messages_out: u64,
    pub(crate) connections: u64,
    /// Datagrams that the kernel dropped because the worker was late.
    pub(crate) lost: u64,
}

impl WorkerStatus {
    pub(crate) fn of((index, handle): (usize, &Handle)) -> WorkerStatus {
        let counters = handle.counters();
        WorkerStatus {
            index: index as u32,
            messages_in: counters.datagrams_in.get() + counters.messages_in.get(),
            messages_out: counters.datagrams_out.get() + counters.messages_out.get(),
            connections: counters.connections_open.get(),
            lost: counters.datagrams_lost_in_kernel.get(),
        }
    }
}
