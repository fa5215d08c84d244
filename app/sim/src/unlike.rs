//! A farm of one fast, one slow and one loaded server under each selection, on the virtual clock: the calls' shares of the
//! servers, and the times of set-ups. Table, policies, ledger and scores are the product's; the servers are queues.
//!
//! Each server has one processor. A call consists of the work for its INVITE and, at its end, the work for its BYE. Something
//! else takes most of the loaded server's processor. Once a second, agents report CPU use and free memory of that second.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::net::SocketAddr;

use base::{Chance, Duration, Time};
use heartbeat::{Heartbeat, Load, ServerState};
use lb::farm::score::ScoreSettings;
use lb::farm::server::Seat;
use lb::farm::server_counters::ServerCounters;
use lb::farm::server_table::ServerTable;
use lb::selection::Selector;
use lb::settings::{Affinity, Selection, Settings};

use crate::scenario::{Scenario, address};

/// Calls of one run, and calls at its beginning that are not counted: the first heartbeats must come in first.
const CALLS: usize = 40_000;
const WARM_UP: usize = 2_000;
/// Mean pause between two calls; the pauses are exponential. Some 88 calls a second.
const PAUSE_MICROS: f64 = 11_400.0;
/// Work of a processor of speed 1: ten milliseconds for an INVITE, three for a BYE.
const INVITE_MICROS: f64 = 10_000.0;
const BYE_MICROS: f64 = 3_000.0;
/// Mean time that calls are talked.
const TALK_MICROS: f64 = 30_000_000.0;
const BEAT: Duration = Duration::from_secs(1);
/// Longer than any call waits or is talked.
const LONG: Duration = Duration::from_secs(3600);

/// Name, speed of its processor, and the share of it that something else takes.
pub const SERVERS: [(&str, f64, f64); 3] = [("fast", 2.0, 0.0), ("slow", 0.5, 0.0), ("loaded", 1.0, 0.6)];

/// The results of a run.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Outcome {
    /// New calls by server, in the order of [`SERVERS`].
    pub calls: [u64; 3],
    /// Time from an INVITE to its answer, microseconds: half of the calls are below `p50_us`, and 99 of 100 below `p99_us`.
    pub p50_us: u64,
    pub p99_us: u64,
}

/// One row of the table: a selection with its name.
#[derive(Clone, Copy, Debug)]
pub struct Row {
    pub name: &'static str,
    pub selection: Selection,
    pub score: ScoreSettings,
    pub outcome: Outcome,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Event {
    /// A transaction is over; with its key.
    End(u64),
    Bye {
        call: u64,
        server: usize,
    },
    Beat,
    Call(u64),
}

/// One server as a queue of one processor.
#[derive(Clone, Copy, Debug, Default)]
struct Queue {
    free_at: Time,
    /// Work that has come and is not done yet counts when it is done.
    busy_until_now: Duration,
    counted: Time,
}

impl Queue {
    /// Takes work in; returns the time when it is done.
    fn work(&mut self, now: Time, micros: f64, server: usize) -> Time {
        let (_, speed, taken) = SERVERS[server];
        self.count(now);
        let needed = Duration::from_micros((micros / (speed * (1.0 - taken))) as u64);
        self.free_at = self.free_at.max(now) + needed;
        self.free_at
    }

    /// Adds up the processor's busy time until now.
    fn count(&mut self, now: Time) {
        self.busy_until_now += self.free_at.min(now).since(self.counted);
        self.counted = now;
    }

    /// CPU use since the last call, including the share that something else takes.
    fn cpu_permille(&mut self, now: Time, server: usize) -> u16 {
        self.count(now);
        let busy = std::mem::take(&mut self.busy_until_now).as_secs_f64() / BEAT.as_secs_f64();
        let (_, _, taken) = SERVERS[server];
        ((taken + (1.0 - taken) * busy.min(1.0)) * 1000.0).round() as u16
    }
}

/// Every selection, and the score once more with CPU alone.
pub fn rows() -> Vec<Row> {
    let both = ScoreSettings::default();
    let cpu_only = ScoreSettings { memory_weight: 0, ..both };
    let row = |(name, selection, score)| Row { name, selection, score, outcome: run(selection, score, 1) };
    [
        ("round-robin", Selection::RoundRobin, both),
        ("hash", Selection::Hash, both),
        ("least-loaded", Selection::LeastLoaded, both),
        ("score", Selection::Score, both),
        ("score, CPU only", Selection::Score, cpu_only),
        ("cjsq", Selection::Cjsq, both),
        ("tjsq", Selection::Tjsq, both),
        ("tlwl", Selection::Tlwl, both),
    ]
    .map(row)
    .into()
}

/// One run. The same seed gives the same calls at the same times under every selection.
pub fn run(selection: Selection, score: ScoreSettings, seed: u64) -> Outcome {
    let addresses: Vec<SocketAddr> = (0..SERVERS.len()).map(|at| address(2, at as u8 + 1)).collect();
    let drawn = Scenario::drawn(0, crate::scenario::Kind::Calm).managers.remove(0);
    let affinity = if selection == Selection::Hash { Affinity::Hash } else { Affinity::Tag };
    let settings = Settings {
        servers: Vec::new(),
        selection,
        affinity,
        score,
        new_calls_max: 100_000,
        sessions_max: 100_000,
        ..drawn
    };
    let counters = ServerCounters::for_settings(&settings, 1);
    let mut table = ServerTable::new(Time::ZERO, &settings, counters.clone()).expect("no server is bad");
    let selector = Selector::new(&settings, counters.admitted.clone(), counters.ledger.clone());
    let mut queues = [Queue::default(); SERVERS.len()];
    let (mut arrivals, mut chance) = (Chance::seeded(seed), Chance::seeded(seed ^ 0xC4A9));
    let mut events =
        BinaryHeap::from([Reverse((Time::ZERO, Event::Beat)), Reverse((Time::from_secs(1), Event::Call(0)))]);
    let mut outcome = Outcome { calls: [0; SERVERS.len()], p50_us: 0, p99_us: 0 };
    let mut latencies = Vec::with_capacity(CALLS);
    let by_call = matches!(selection, Selection::Cjsq);
    let begin = |now, key, seat: Seat, invite| {
        if let Some(ledger) = &counters.ledger {
            ledger.begin(now, key, seat, invite, now + LONG);
        }
    };
    while let Some(Reverse((now, event))) = events.pop() {
        match event {
            Event::Beat => {
                for (at, queue) in queues.iter_mut().enumerate() {
                    let load = Load {
                        cpu_permille: Some(queue.cpu_permille(now, at)),
                        memory_available_kib: Some(4_000_000),
                        ..Load::default()
                    };
                    let beat = Heartbeat {
                        load: Some(load),
                        ..Heartbeat::plain(at as u32, addresses[at].port(), ServerState::Started)
                    };
                    table.heartbeat(now, addresses[at].ip(), &beat).expect("three servers have room");
                }
                table.tick(now);
                if latencies.len() < CALLS {
                    events.push(Reverse((now + BEAT, Event::Beat)));
                }
            }
            Event::Call(number) => {
                let snapshot = table.snapshot();
                let hash = arrivals.next_u64();
                let server = selector
                    .candidates(base::Time::ZERO, &snapshot, hash, &mut chance)
                    .next()
                    .expect("one has room");
                selector.admit(base::Time::ZERO, server);
                let at = addresses
                    .iter()
                    .position(|address| *address == server.address)
                    .expect("one of the three");
                begin(now, number, server.seat, true);
                let done = queues[at].work(now, INVITE_MICROS, at);
                latencies.push(done.since(now).as_micros() as u64);
                outcome.calls[at] += u64::from(number as usize >= WARM_UP);
                if !by_call {
                    events.push(Reverse((done, Event::End(number))));
                }
                let talked = exponential(&mut arrivals, TALK_MICROS);
                events.push(Reverse((done + talked, Event::Bye { call: number, server: at })));
                if number as usize + 1 < CALLS {
                    let pause = exponential(&mut arrivals, PAUSE_MICROS);
                    events.push(Reverse((now + pause, Event::Call(number + 1))));
                }
            }
            Event::Bye { call, server } => {
                let snapshot = table.snapshot();
                let seat = snapshot.by_address(addresses[server]).expect("nobody leaves").seat;
                let done = queues[server].work(now, BYE_MICROS, server);
                // A call is one entry until its BYE is answered; transactions are one entry each.
                let key = if by_call { call } else { call | 1 << 63 };
                if !by_call {
                    begin(now, key, seat, false);
                }
                events.push(Reverse((done, Event::End(key))));
            }
            Event::End(key) => {
                if let Some(ledger) = &counters.ledger {
                    ledger.end(now, key);
                    ledger.sweep(now);
                }
            }
        }
    }
    latencies.drain(..WARM_UP);
    latencies.sort_unstable();
    outcome.p50_us = latencies[latencies.len() / 2];
    outcome.p99_us = latencies[latencies.len() * 99 / 100];
    outcome
}

fn exponential(chance: &mut Chance, mean_micros: f64) -> Duration {
    // The number is never zero, so the logarithm is finite.
    let unit = (chance.below(1 << 32) + 1) as f64 / (1u64 << 32) as f64;
    Duration::from_micros((-unit.ln() * mean_micros) as u64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::unlike_page::{page, plot};

    #[test]
    fn score_and_tlwl_are_ahead_of_round_robin_and_the_page_says_so() {
        let rows = rows();
        let p99 = |name: &str| rows.iter().find(|row| row.name == name).expect("a row").outcome.p99_us;
        println!("{}", page(&rows, ""));
        for ahead in ["score", "score, CPU only", "tlwl"] {
            assert!(p99(ahead) * 3 < p99("round-robin") * 2, "{ahead}: {} µs", p99(ahead));
        }
        let round_robin = rows[0].outcome.calls;
        assert!(round_robin.iter().all(|calls| calls.abs_diff(round_robin[0]) <= 1), "{round_robin:?}");
        let docs = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/");
        let remedy = "cargo run -p strowger-sim --example unlike_servers";
        let written = |name: &str| std::fs::read_to_string(format!("{docs}{name}")).unwrap_or_default();
        let whole = page(&rows, &written("unlike-servers.md"));
        for (name, text) in [("unlike-servers.md", whole), ("unlike-servers.svg", plot(&rows))] {
            assert!(written(name) == text, "docs/{name} is not what this run gives: {remedy}");
        }
    }

    #[test]
    fn a_processor_is_as_busy_as_its_work() {
        let mut queue = Queue::default();
        // The slow server needs twice the time.
        assert_eq!(queue.work(Time::ZERO, 100_000.0, 1), Time::from_millis(200));
        assert_eq!(queue.work(Time::from_millis(100), 100_000.0, 1), Time::from_millis(400));
        assert_eq!(queue.cpu_permille(Time::from_secs(1), 1), 400);
        assert_eq!(queue.cpu_permille(Time::from_secs(2), 1), 0);
        assert_eq!(Queue::default().cpu_permille(Time::from_secs(1), 2), 600, "taken by something else");
    }
}
