//! Nanoseconds per operation of the tables that a message meets, and how flat they stay as farm and memory grow.
//! `cargo run --release -p strowger-lb --example measure`
#![allow(clippy::disallowed_methods, reason = "a measurement reads the clock; the core does not")]

#[path = "../tests/farm/mod.rs"]
mod shared;

use std::hint::black_box;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Instant;

use base::{Chance, Duration, Time};
use heartbeat::{Heartbeat, Load, ServerState};
use strowger_lb::farm::admitted::Admitted;
use strowger_lb::farm::server::{Score, Seat, Server, ServerId};
use strowger_lb::farm::server_counters::ServerCounters;
use strowger_lb::farm::server_table::ServerTable;
use strowger_lb::farm::snapshot::Snapshot;
use strowger_lb::memory::expiring::Expiring;
use strowger_lb::memory::ledger::{Ledger, Unit};
use strowger_lb::selection::Selector;
use strowger_lb::selection::known::known;
use strowger_lb::settings::{HashKind, Selection};

const SIZES: [usize; 5] = [4, 16, 64, 256, 1000];

/// Median of several runs, nanoseconds per operation.
fn time(operations: usize, mut run: impl FnMut()) -> f64 {
    let mut runs: Vec<f64> = (0..7)
        .map(|_| {
            let start = Instant::now();
            run();
            start.elapsed().as_nanos() as f64 / operations as f64
        })
        .collect();
    runs.sort_by(f64::total_cmp);
    runs[runs.len() / 2]
}

fn main() {
    memory();
    growth();
    farm();
    heartbeats();
}

fn memory() {
    let lock = std::sync::Mutex::new(0u64);
    let alone = time(1_000_000, || (0..1_000_000).for_each(|n| *black_box(&lock).lock().unwrap() += n));
    println!("for comparison, to take and give back a free lock: {alone:.1} ns");
    println!("memory: ns per operation\nentries      get   absent    touch   insert   remove   bytes/entry");
    for entries in [100usize, 10_000, 1_000_000] {
        let mut chance = Chance::seeded(1);
        let keys: Vec<u64> = (0..entries).map(|_| chance.next_u64()).collect();
        let map = Expiring::new(entries.max(1000));
        let (now, until) = (Time::from_secs(1), Time::from_secs(1000));
        let rounds = (1_000_000 / entries).max(1);
        // The order of look-up is not that of insertion: a call's messages come when they come.
        let order: Vec<u64> = (0..entries).map(|_| keys[chance.below(entries as u64) as usize]).collect();
        let absent: Vec<u64> = (0..entries).map(|_| chance.next_u64()).collect();
        let start = Instant::now();
        for &key in &keys {
            map.get_or_insert_with(now, key, until, || Some((1, 0)));
        }
        let insert = start.elapsed().as_nanos() as f64 / entries as f64;
        let bytes = map.bytes() as f64 / entries as f64;
        let each = |keys: &[u64], work: &dyn Fn(u64)| {
            time(entries * rounds, || (0..rounds).for_each(|_| keys.iter().for_each(|&key| work(key))))
        };
        let get = each(&order, &|key| _ = black_box(map.get(now, key)));
        let missing = each(&absent, &|key| _ = black_box(map.get(now, key)));
        let touch = each(&order, &|key| _ = black_box(map.touch(now, key, until)));
        let start = Instant::now();
        keys.iter().for_each(|&key| _ = black_box(map.remove(key)));
        let remove = start.elapsed().as_nanos() as f64 / entries as f64;
        println!(
            "{entries:>7} {get:>8.1} {missing:>8.1} {touch:>8.1} {insert:>8.1} {remove:>8.1} {bytes:>13.1}"
        );
    }
}

/// The longest single insertion while a million entries come in, and the longest step of a sweep that ends them.
fn growth() {
    let (map, mut chance) = (Expiring::new(1_000_000), Chance::seeded(2));
    let (mut slow, mut bytes) = (Vec::with_capacity(1_000_000), 0f64);
    for n in 1..=1_000_000u32 {
        let (key, start) = (chance.next_u64(), Instant::now());
        map.get_or_insert_with(Time::ZERO, key, Time::from_secs(32), || Some((1, 0)));
        slow.push(start.elapsed().as_nanos() as u32);
        if n > 10_000 && n % 1000 == 0 {
            bytes = bytes.max(map.bytes() as f64 / f64::from(n));
        }
    }
    slow.sort_unstable();
    let at = |share: f64| f64::from(slow[(slow.len() as f64 * share) as usize - 1]) / 1000.0;
    println!(
        "growth to 1,000,000: insertion p99.9 {:.1} µs, p99.999 {:.1} µs, longest {:.1} µs; at most {bytes:.1} bytes/entry",
        at(0.999),
        at(0.999_99),
        at(1.0)
    );
    let (mut now, mut longest, mut ended, start) = (Time::from_secs(33), 0, 0, Instant::now());
    map.sweep_paced(now, |_, _| ended += 1);
    while !map.is_empty() {
        now = now + Duration::from_millis(10);
        let step = Instant::now();
        map.sweep_paced(now, |_, _| ended += 1);
        longest = longest.max(step.elapsed().as_micros());
    }
    println!("sweep of {ended} ended entries: {:?} in all, longest turn {longest} µs", start.elapsed());
}

fn servers(count: usize) -> Vec<Server> {
    let server = |n: usize| {
        let address = SocketAddr::from((Ipv4Addr::from((10 << 24) | (n as u32 + 1)), 5060));
        Server {
            seat: Seat { slot: n as u16, incarnation: 1 },
            score: Some(Score::from_hundredths(5000)),
            load_permille: Some(300),
            ..Server::at(address, sip::Transport::Udp)
        }
    };
    (0..count).map(server).collect()
}

fn farm() {
    const CALLS: usize = 200_000;
    let print = |name: &str, row: Vec<f64>| {
        let cells: String = row.iter().map(|ns| format!("{ns:>8.1}")).collect();
        println!("{name:<24}{cells}");
    };
    println!("farm: ns per operation\n{:<24}{:>8}{:>8}{:>8}{:>8}{:>8}", "servers", 4, 16, 64, 256, 1000);
    let snapshots = SIZES.map(|size| Snapshot::build(1, servers(size), None));
    let ids = |snapshot: &Snapshot| -> Vec<ServerId> {
        let mut chance = Chance::seeded(3);
        let servers = snapshot.servers();
        (0..CALLS).map(|_| servers[chance.below(servers.len() as u64) as usize].id).collect()
    };
    let by_id = |snapshot: &Snapshot| {
        let ids = ids(snapshot);
        time(CALLS, || {
            ids.iter().for_each(|&id| _ = black_box(snapshot.by_id(id).map(|server| server.address)))
        })
    };
    print("by_id", snapshots.iter().map(by_id).collect());
    for kind in [HashKind::Modulo, HashKind::Cascade, HashKind::Consistent] {
        let hash = |snapshot: &Snapshot| {
            let mut chance = Chance::seeded(4);
            let look = |hash| black_box(known(snapshot, kind, hash).map(|server| server.address));
            time(CALLS, || (0..CALLS).for_each(|_| _ = look(chance.next_u64())))
        };
        print(&format!("known, {kind:?}"), snapshots.iter().map(hash).collect());
    }
    for selection in
        [Selection::Hash, Selection::RoundRobin, Selection::LeastLoaded, Selection::Score, Selection::Cjsq]
    {
        let choose = |snapshot: &Snapshot| {
            let slots = snapshot.servers().len();
            let ledger = Arc::new(Ledger::new(Unit::Calls, 100_000, slots));
            snapshot.servers().iter().for_each(|server| ledger.attach(server.seat));
            let selector = Selector::of(
                selection,
                HashKind::Consistent,
                Arc::new(Admitted::new(slots)),
                Some(ledger.clone()),
            );
            let (mut chance, mut keys) = (Chance::seeded(5), Chance::seeded(6));
            // Fifty calls per server in progress, ended at random, so that minima are as rare as in life.
            let mut calls = std::collections::VecDeque::new();
            time(CALLS / 10, || {
                for _ in 0..CALLS / 10 {
                    let (hash, key) = (chance.next_u64(), keys.next_u64());
                    let first = selector.candidates(base::Time::ZERO, snapshot, hash, &mut chance).next();
                    if selection == Selection::Cjsq
                        && let Some(first) = first
                    {
                        ledger.begin(Time::ZERO, key, first.seat, true, Time::from_secs(900));
                        calls.push_back(key);
                        if calls.len() > slots * 50 {
                            let other = keys.below(calls.len() as u64) as usize;
                            calls.swap(0, other);
                            calls.pop_front().map(|key| ledger.end(Time::ZERO, key));
                        }
                    }
                    black_box(first.map(|server| server.address));
                }
            })
        };
        let name = if selection == Selection::Cjsq { "+ ledger begin and end" } else { "" };
        print(&format!("choose, {selection:?} {name}"), snapshots.iter().map(choose).collect());
    }
}

/// What the control thread spends on one heartbeat, with the tick that follows it.
fn heartbeats() {
    print!("heartbeat and tick, µs  ");
    for size in SIZES {
        let settings = shared::settings();
        let counters = ServerCounters::for_settings(&settings, 2);
        let mut table = ServerTable::new(Time::ZERO, &settings, counters).expect("no servers yet");
        let beat = Heartbeat {
            load: Some(Load { cpu_permille: Some(100), ..Load::default() }),
            ..Heartbeat::plain(1, 5060, ServerState::Started)
        };
        let mut now = Time::from_secs(1);
        let mut hear = |n: usize| {
            // Each server once a second, evenly spread.
            now = now + Duration::from_micros(1_000_000 / size as u64);
            let from = Ipv4Addr::from((10 << 24) | (n as u32 + 1)).into();
            let _ = table.heartbeat(now, from, &Heartbeat { server_id: n as u32, ..beat });
            black_box(table.tick(now));
        };
        (0..size).for_each(&mut hear);
        print!("{:>8.1}", time(2000, || (0..2000).for_each(|n| hear(n % size))) / 1000.0);
    }
    println!();
}
