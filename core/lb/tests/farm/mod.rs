//! Settings, servers and figures that the tests of tables and selection share.
#![allow(dead_code, unreachable_pub, reason = "each test takes what it needs")]

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use base::{Chance, Duration};
use sip::Transport;
use strowger_lb::farm::admitted::Admitted;
use strowger_lb::farm::server::{Seat, Server};
use strowger_lb::farm::snapshot::Snapshot;
use strowger_lb::memory::ledger::Ledger;
use strowger_lb::selection::Selector;
use strowger_lb::settings::{Heartbeats, HoldSetup, Probe, Selection, ServerEntry, Settings, Threads};

pub fn settings() -> Settings {
    let small = Settings::small(Vec::new(), Vec::new(), [7; 16]);
    Settings {
        threads: Threads::PerCore { workers: 2 },
        new_calls_max: 100_000,
        sessions_max: 100_000,
        hold_setup: HoldSetup::Off,
        probe: Probe::Traffic,
        probe_interval: Duration::from_secs(2),
        heartbeat: Heartbeats { table_size: None, ..small.heartbeat },
        ..small
    }
}

pub fn address(n: usize) -> SocketAddr {
    SocketAddr::from((Ipv4Addr::new(10, 0, (n / 250) as u8, (n % 250) as u8 + 1), 5060))
}

pub fn entry(n: usize, weight: u32) -> ServerEntry {
    ServerEntry { weight, ..ServerEntry::at(address(n), Transport::Udp) }
}

/// A server with its own slot.
pub fn server(n: usize) -> Server {
    Server {
        seat: Seat { slot: n as u16, incarnation: n as u32 + 1 },
        ..Server::at(address(n), Transport::Udp)
    }
}

pub fn servers(count: usize) -> Vec<Server> {
    (0..count).map(server).collect()
}

pub fn snapshot(servers: Vec<Server>) -> Snapshot {
    Snapshot::build(1, servers, None)
}

/// A selector, and the ledger it reads where it reads one, with all slots attached.
pub fn selector(selection: Selection, servers: &[Server]) -> (Selector, Option<Arc<Ledger>>) {
    let settings = Settings { selection, ..settings() };
    let ledger = Ledger::for_settings(&settings, servers.len()).map(Arc::new);
    for server in servers {
        if let Some(ledger) = &ledger {
            ledger.attach(server.seat);
        }
    }
    (Selector::new(&settings, Arc::new(Admitted::new(servers.len())), ledger.clone()), ledger)
}

/// First choices for `calls` calls, counted by slot.
pub fn counts(selector: &Selector, snapshot: &Snapshot, calls: usize, seed: u64) -> Vec<u32> {
    let mut chance = Chance::seeded(seed);
    let mut counts = vec![0; snapshot.servers().len()];
    for _ in 0..calls {
        let hash = chance.next_u64();
        let first = selector
            .candidates(base::Time::ZERO, snapshot, hash, &mut chance)
            .next()
            .expect("a server has room");
        counts[usize::from(first.seat.slot)] += 1;
    }
    counts
}

/// Chi-square of counts against expected shares. For k classes it lies about k − 1 with a deviation of √(2(k − 1)).
pub fn chi_square(counts: &[u32], shares: &[f64]) -> f64 {
    let (all, sum): (f64, f64) = (counts.iter().map(|&count| f64::from(count)).sum(), shares.iter().sum());
    let term = |(&count, &share): (&u32, &f64)| {
        let expected = all * share / sum;
        (f64::from(count) - expected).powi(2) / expected
    };
    counts.iter().zip(shares).map(term).sum()
}

/// The bound that chance alone passes once in some hundred thousand times.
pub fn chi_square_bound(classes: usize) -> f64 {
    let free = (classes - 1) as f64;
    free + 5.0 * (2.0 * free).sqrt() + 10.0
}
