//! Sections about measures of servers: the score, the places that are polled for figures, and the performance server, which
//! also reads them in a process of its own.

use std::net::SocketAddr;
use std::ops::Range;

use heartbeat::measure::By;
use toml::de::DeTable;

use crate::language::problem::{Problems, SourcePosition};
use crate::language::section::LeftOut::{Is, Required, Unset};
use crate::language::section::{
    Effect, Field, Held, KeyHelp, Section, SectionHelp, SectionName, given_or_default, read_key, sections,
    unknown_keys,
};
use crate::language::value::{Value, Wrong};

sections! {
    /// The performance score of each server, for selection `score`. The score is 100 times the weighted mean of the free
    /// parts of all factors. All of these settings can be changed while the load manager runs.
    one score as ScoreSection {
        /// Weight of CPU (W0). 0: CPU does not count.
        live cpu_weight: u64 = Is("1"), 0..=1000;
        /// Weight of memory (W1): the server's part of the memory that is available in the whole farm. 0: memory does not
        /// count.
        live memory_weight: u64 = Is("1"), 0..=1000;
        /// Weight of the free part of the network, for servers whose agents send that figure.
        live network_weight: u64 = Is("0"), 0..=1000;
        /// Weight of call volume: the new calls that the server was given in the last seconds, compared with the mean of the
        /// farm.
        live calls_weight: u64 = Is("0"), 0..=1000;
        /// Weight of failures in the last seconds: requests that timed out, that were answered 5xx, or whose call the server
        /// had lost.
        live failures_weight: u64 = Is("0"), 0..=1000;
        /// Weight of the time that the server takes to answer OPTIONS, for servers that are measured by OPTIONS.
        live latency_weight: u64 = Is("1"), 0..=1000;
        /// The time to answer OPTIONS that counts as half loaded, in milliseconds.
        live latency_half_ms: u64 = Is("20"), 1..=10000;
        /// CPU use, in percent, above which the score is 0 (Cmax).
        live cpu_max_percent: u64 = Is("95"), 1..=100;
        /// Available memory, in KiB, below which the score is 0 (Mmin).
        live memory_min_kib: u64 = Is("10240"), 0..=1073741824;
    }

    /// A place that is polled for figures: an agent, a performance server, or a program beside a server that has no agent of
    /// ours.
    many measure as MeasureSection {
        /// How the figures are asked for.
        live by: By = Required;
        /// The address to poll: the `--get-data` address of an agent, the `perf.listen` address of a performance server, the
        /// address of an agent-check, or the SIP address of a server that is asked by OPTIONS.
        live address: SocketAddr = Required;
        /// The SIP address of the server whose figures these are. An agent tells this address itself; if you write it here,
        /// the server's score is 0 until the agent has answered for the first time. Needed with `agent-check`; with
        /// `options` it is `address`.
        live server: Option<SocketAddr> = Unset;
    }

    /// The performance server: it polls the `measure` sections, in this process or in a process of its own (`strowger
    /// perf`).
    one perf as PerfSection {
        /// Time between two polls of one place, in milliseconds.
        live poll_ms: u64 = Is("1000"), 50..=60000;
        /// Time in which a place must answer, in milliseconds. A place that does not counts as down, and its server's score
        /// is 0.
        live answer_within_ms: u64 = Is("2000"), 10..=60000;
        /// The address where load managers fetch the newest data, over TCP. If left out, the data is not served.
        restart listen: Option<SocketAddr> = Unset;
    }
}
