//! Sections of what is measured of servers: the score, who is polled for figures, and the performance server, which reads them
//! in a process of its own too.

use std::net::SocketAddr;
use std::ops::Range;

use heartbeat::measure::By;
use toml::de::DeTable;

use crate::language::problem::{Problems, SourcePosition};
use crate::language::section::LeftOut::{Is, Required, Unset};
use crate::language::section::{
    Effect, Field, Held, Key, Section, SectionHelp, SectionName, given_or_default, read_key, sections,
    unknown_keys,
};
use crate::language::value::{Value, Wrong};

sections! {
    /// The performance score of each server, for selection `score`: 100 times the mean of what is free of each factor, by
    /// weight. All of it can be changed while running.
    one score as ScoreSection {
        /// Weight of CPU (W0). 0: memory only.
        live cpu_weight: u64 = Is("1"), 0..=1000;
        /// Weight of memory (W1), a server's share of what is available in the whole farm. 0: CPU only.
        live memory_weight: u64 = Is("1"), 0..=1000;
        /// Weight of what is free of the network, where agents tell it.
        live network_weight: u64 = Is("0"), 0..=1000;
        /// Weight of call volume: the new calls that a server was given in the last seconds, against the mean of the farm.
        live calls_weight: u64 = Is("0"), 0..=1000;
        /// Weight of failures in the last seconds: requests that timed out, were answered 5xx, or found their call lost.
        live failures_weight: u64 = Is("0"), 0..=1000;
        /// Weight of the time that a server takes to answer OPTIONS, of servers that are measured so.
        live latency_weight: u64 = Is("1"), 0..=1000;
        /// The time to answer OPTIONS that counts as half loaded, milliseconds.
        live latency_half_ms: u64 = Is("20"), 1..=10000;
        /// Above this CPU use the score is 0 (Cmax), percent.
        live cpu_max_percent: u64 = Is("95"), 1..=100;
        /// Below this available memory the score is 0 (Mmin), KiB.
        live memory_min_kib: u64 = Is("10240"), 0..=1073741824;
    }

    /// A place that is polled for figures: an agent, a performance server, or what stands beside a server without our agent.
    many measure as MeasureSection {
        /// How figures are had there.
        live by: By = Required;
        /// Where: the `--get-data` address of an agent, the `perf.listen` address of a performance server, the address of an
        /// agent-check, the SIP address of a server that is asked by OPTIONS.
        live address: SocketAddr = Required;
        /// The SIP address of the server that this is about. An agent tells it; named here too, the server's score is 0
        /// even before its agent has ever answered. Needed with `agent-check`; with `options` it is `address`.
        live server: Option<SocketAddr> = Unset;
    }

    /// The performance server: the polls of the `measure` sections, in this process or in one of its own (`strowger perf`).
    one perf as PerfSection {
        /// Time between two polls of one place, milliseconds.
        live poll_ms: u64 = Is("1000"), 50..=60000;
        /// An answer that takes longer did not come, and the server is down: its score is 0, milliseconds.
        live answer_within_ms: u64 = Is("2000"), 10..=60000;
        /// Where the newest data is served to load managers, over TCP. Left out: nowhere.
        restart listen: Option<SocketAddr> = Unset;
    }
}
