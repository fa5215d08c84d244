//! The newest figures of each server. The poll loop writes them. A load manager's control side takes what is new; neither
//! waits for the other. [`crate::serve`] answers from all figures.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Mutex, MutexGuard, PoisonError};

use base::{Duration, Time};
use heartbeat::measure::By;
use heartbeat::{Heartbeat, Load, ServerState};

/// As many servers as a server table has rows. A wrong performance server must not fill the memory with invented servers.
pub const SERVERS_MAX: usize = 4096;

#[derive(Clone, Copy, Debug)]
struct Entry {
    by: By,
    heartbeat: Heartbeat,
    /// When the figures were right, by our clock.
    at: Time,
    /// When the figures were last received: they may have come with an age.
    put: Time,
}

#[derive(Debug, Default)]
struct Inner {
    /// By SIP address, and by the way of measuring.
    newest: BTreeMap<SocketAddr, Vec<Entry>>,
    fresh: BTreeSet<SocketAddr>,
    refused: u64,
}

/// See the head of this module.
#[derive(Debug)]
pub struct Board {
    inner: Mutex<Inner>,
    good_for_us: AtomicU64,
}

impl Board {
    /// Data that nobody renews for `good_for` is dropped.
    pub fn new(good_for: Duration) -> Board {
        let board = Board { inner: Mutex::default(), good_for_us: AtomicU64::new(0) };
        board.set_good_for(good_for);
        board
    }

    /// Applies to all data from now on, including the data that is already there.
    pub fn set_good_for(&self, good_for: Duration) {
        self.good_for_us.store(good_for.as_micros() as u64, Relaxed);
    }

    fn good_for(&self) -> Duration {
        Duration::from_micros(self.good_for_us.load(Relaxed))
    }

    /// Stores figures of the server at this SIP address. False: the board is full.
    pub fn put(&self, now: Time, server: SocketAddr, by: By, heartbeat: Heartbeat) -> bool {
        let mut inner = self.lock();
        if inner.newest.len() >= SERVERS_MAX && !inner.newest.contains_key(&server) {
            inner.refused += 1;
            return false;
        }
        let age = Duration::from_millis(u64::from(heartbeat.age_ms.unwrap_or(0)));
        let at = Time::ZERO + now.since(Time::ZERO).saturating_sub(age);
        let entries = inner.newest.entry(server).or_default();
        entries.retain(|entry| entry.by != by);
        entries.push(Entry { by, heartbeat, at, put: now });
        inner.fresh.insert(server);
        true
    }

    /// What changed since the last call, each server once; nothing while the poll loop writes. Never waits.
    pub fn take_fresh(&self, now: Time) -> Vec<Heartbeat> {
        let Ok(mut inner) = self.inner.try_lock() else { return Vec::new() };
        let fresh = std::mem::take(&mut inner.fresh);
        fresh.iter().filter_map(|server| self.merged(now, *server, inner.newest.get(server)?)).collect()
    }

    /// The data of one server, if it is still good.
    pub fn of(&self, now: Time, server: SocketAddr) -> Option<Heartbeat> {
        self.merged(now, server, self.lock().newest.get(&server)?)
    }

    /// All data that is still good.
    pub fn all(&self, now: Time) -> Vec<Heartbeat> {
        let mut inner = self.lock();
        for entries in inner.newest.values_mut() {
            entries.retain(|entry| now.since(entry.put) <= self.good_for());
        }
        inner.newest.retain(|_, entries| !entries.is_empty());
        inner.newest.iter().filter_map(|(server, entries)| self.merged(now, *server, entries)).collect()
    }

    /// Servers that the board had no room for.
    pub fn refused(&self) -> u64 {
        self.lock().refused
    }

    /// One server that is measured in several ways: one way may know what another does not. If one way says down or
    /// draining, the server is down or draining.
    fn merged(&self, now: Time, server: SocketAddr, entries: &[Entry]) -> Option<Heartbeat> {
        let good = || entries.iter().filter(|entry| now.since(entry.put) <= self.good_for());
        let newest = good().max_by_key(|entry| entry.at)?;
        let mut merged = Heartbeat {
            sip_address: Some(server.ip()),
            sip_port: server.port(),
            nonce: None,
            count: None,
            age_ms: Some(now.since(newest.at).as_millis().min(u128::from(u32::MAX)) as u32),
            ..newest.heartbeat
        };
        let mut load = merged.load.unwrap_or_default();
        for other in good() {
            let heartbeat = &other.heartbeat;
            merged.down |= heartbeat.down;
            merged.state = worse(merged.state, heartbeat.state);
            load = filled(load, heartbeat.load.unwrap_or_default());
        }
        merged.load = (load != Load::default()).then_some(load);
        Some(merged)
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn worse(a: ServerState, b: ServerState) -> ServerState {
    match (a, b) {
        (ServerState::Stopped, _) | (_, ServerState::Stopped) => ServerState::Stopped,
        (ServerState::Draining, _) | (_, ServerState::Draining) => ServerState::Draining,
        (ServerState::Started, ServerState::Started) => ServerState::Started,
    }
}

fn filled(load: Load, other: Load) -> Load {
    Load {
        cpu_permille: load.cpu_permille.or(other.cpu_permille),
        memory_available_kib: load.memory_available_kib.or(other.memory_available_kib),
        server_cpu_permille: load.server_cpu_permille.or(other.server_cpu_permille),
        server_memory_kib: load.server_memory_kib.or(other.server_memory_kib),
        calls: load.calls.or(other.calls),
        residual_calls: load.residual_calls.or(other.residual_calls),
        network_permille: load.network_permille.or(other.network_permille),
        latency_us: load.latency_us.or(other.latency_us),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(port: u16) -> SocketAddr {
        SocketAddr::from(([10, 0, 0, 1], port))
    }

    fn cpu(permille: u16) -> Heartbeat {
        let load = Load { cpu_permille: Some(permille), ..Load::default() };
        Heartbeat { load: Some(load), ..Heartbeat::plain(1, 5060, ServerState::Started) }
    }

    #[test]
    fn the_newest_is_kept_with_its_age_and_forgotten_when_nobody_renews_it() {
        let board = Board::new(Duration::from_secs(5));
        board.put(Time::from_secs(10), at(5060), By::Agent, cpu(100));
        board.put(Time::from_secs(11), at(5060), By::Agent, Heartbeat { age_ms: Some(200), ..cpu(300) });
        let fresh = board.take_fresh(Time::from_secs(12));
        assert_eq!(fresh.len(), 1);
        assert_eq!(fresh[0].load.unwrap().cpu_permille, Some(300));
        assert_eq!(fresh[0].age_ms, Some(1200));
        assert!(board.take_fresh(Time::from_secs(12)).is_empty(), "taken once");
        assert_eq!(board.all(Time::from_secs(16)).len(), 1);
        assert!(board.all(Time::from_millis(16_001)).is_empty());
    }

    #[test]
    fn two_ways_of_measuring_fill_each_other_and_the_worse_word_counts() {
        let board = Board::new(Duration::from_secs(5));
        let latency = Load { latency_us: Some(1500), ..Load::default() };
        let slow =
            Heartbeat { load: Some(latency), down: true, ..Heartbeat::plain(0, 5060, ServerState::Draining) };
        board.put(Time::from_secs(1), at(5060), By::Options, slow);
        board.put(Time::from_secs(2), at(5060), By::Agent, cpu(100));
        let merged = board.take_fresh(Time::from_secs(2))[0];
        let load = merged.load.unwrap();
        assert_eq!((load.cpu_permille, load.latency_us), (Some(100), Some(1500)));
        assert_eq!((merged.down, merged.state), (true, ServerState::Draining));
    }

    #[test]
    fn a_full_board_refuses_and_counts() {
        let board = Board::new(Duration::from_secs(5));
        for port in 1..=SERVERS_MAX as u16 {
            assert!(board.put(Time::ZERO, at(port), By::PerformanceServer, cpu(1)));
        }
        assert!(!board.put(Time::ZERO, at(60_000), By::PerformanceServer, cpu(1)));
        assert!(board.put(Time::ZERO, at(7), By::PerformanceServer, cpu(2)), "a known one is renewed");
        assert_eq!((board.refused(), board.all(Time::ZERO).len()), (1, SERVERS_MAX));
    }
}
