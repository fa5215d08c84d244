//! Changes of an operator to the server table at run time: servers come and go, are drained and weighted, and a new
//! configuration replaces the old one. A server that stays keeps its seat, its calls in progress and its health.

use std::net::SocketAddr;
use std::sync::Arc;

use base::Time;
use heartbeat::Decay;

use super::{Refusal, ServerTable, WEIGHT_MAX, same};
use crate::farm::condition::Condition;
use crate::farm::health::HealthSettings;
use crate::farm::pace::Pace;
use crate::farm::server::ServerId;
use crate::farm::server_counters::ServerCounters;
use crate::farm::snapshot::Snapshot;
use crate::memory::ledger::Ledger;
use crate::settings::{ServerEntry, Settings};

impl ServerTable {
    /// Adds a server by configuration or by an operator; if it is there, changes its weight, priority, limits and transport.
    pub fn add(&mut self, now: Time, entry: &ServerEntry) -> Result<(), Refusal> {
        let at = match self.find(entry.address) {
            Some(at) => at,
            None => self.make_row(now, entry.address, entry.transport)?,
        };
        let row = &mut self.rows[at];
        (row.configured, row.leaving) = (true, None);
        (row.transport, row.weight) = (entry.transport, entry.weight.clamp(1, WEIGHT_MAX));
        (row.priority, row.calls_max) = (entry.priority, entry.calls_max);
        // Under the same limit, the calls of the last second go on counting.
        if row.pace.as_ref().map(|pace| pace.per_second_max()) != entry.calls_per_second_max {
            row.pace = entry.calls_per_second_max.map(|max| Arc::new(Pace::new(max)));
        }
        (self.stale, self.look) = (true, true);
        Ok(())
    }

    /// Sets a server's share of new calls, 1 … [`WEIGHT_MAX`].
    pub fn set_weight(&mut self, address: SocketAddr, weight: u32) -> bool {
        let found = self.find(address);
        if let Some(at) = found {
            self.rows[at].weight = weight.clamp(1, WEIGHT_MAX);
            self.stale = true;
        }
        found.is_some()
    }

    /// Removes a server; the rows behind it move up. Its known calls are then those of a server that is gone (SPEC A9). A
    /// server that still sends heartbeats comes back with the next.
    pub fn remove(&mut self, address: SocketAddr) -> bool {
        let found = self.find(address);
        if let Some(at) = found {
            let row = self.rows.remove(at);
            self.free_slots.push_back(row.seat.slot);
            if let Some(departed) = row.departed(row.gone_since) {
                self.departed.note(departed);
            }
            (self.stale, self.look) = (true, true);
        }
        found.is_some()
    }

    /// Known calls only, from now on (or no longer). False: no such server.
    pub fn drain(&mut self, now: Time, address: SocketAddr, drained: bool) -> bool {
        let found = self.find(address);
        if let Some(at) = found {
            let row = &mut self.rows[at];
            row.drained = drained.then(|| row.drained.unwrap_or(now));
            self.look = true;
        }
        found.is_some()
    }

    /// Nobody names this server any more. A server with heartbeats stays, a failed server is removed at once, and any other gets no
    /// new calls and stays until it is removed. False: no such server, or nobody had named it.
    pub fn leave(&mut self, now: Time, address: SocketAddr) -> bool {
        let Some(at) = self.find(address).filter(|at| self.rows[*at].configured) else { return false };
        let row = &mut self.rows[at];
        row.configured = false;
        self.look = true;
        match row.condition {
            _ if row.agent.is_some() => {}
            Condition::Failed => drop(self.remove(address)),
            Condition::Active | Condition::Trial | Condition::KnownCallsOnly => row.leaving = Some(now),
        }
        true
    }

    /// Takes a changed configuration: adds and changes the servers that it names; the others leave
    /// ([`ServerTable::leave`]). Returns the refusals.
    pub fn reconfigure(&mut self, now: Time, servers: &[ServerEntry]) -> Vec<Refusal> {
        let named = |address| servers.iter().any(|entry| same(entry.address, address));
        let gone: Vec<SocketAddr> = self
            .rows
            .iter()
            .filter(|row| row.configured && !named(row.address))
            .map(|row| row.address)
            .collect();
        for address in gone {
            self.leave(now, address);
        }
        self.look = true;
        servers.iter().filter_map(|entry| self.add(now, entry).err()).collect()
    }

    /// The first refusal that adding these servers would meet; nothing is changed.
    pub fn would_refuse(&self, servers: &[ServerEntry]) -> Option<Refusal> {
        let mut added: Vec<(ServerId, SocketAddr)> = Vec::new();
        for entry in servers.iter().filter(|entry| self.find(entry.address).is_none()) {
            let (server, id) = (entry.address, ServerId::of(entry.address));
            if server.port() == 0 || server.ip().is_unspecified() {
                return Some(Refusal::BadAddress { server });
            }
            let known = self.rows.iter().map(|row| (row.id, row.address)).chain(added.iter().copied());
            if let Some((_, with)) = known.into_iter().find(|(other, _)| *other == id) {
                return Some(Refusal::IdCollision { server, with });
            }
            if added.len() >= self.free_slots.len() {
                return Some(Refusal::TableFull { size: self.size, server });
            }
            added.push((id, server));
        }
        None
    }

    /// Other settings for the table's own work: health, decay, slow start, counts. The snapshot for them is made at once,
    /// even if nothing in it changed.
    pub fn set_terms(&mut self, now: Time, settings: &Settings, counters: ServerCounters) -> Arc<Snapshot> {
        self.health = HealthSettings::of(settings);
        for row in &mut self.rows {
            row.health.set_settings(self.health);
        }
        self.decay = Decay::new(settings.heartbeat.period, settings.heartbeat.decay_periods);
        self.heartbeats_signed = settings.keys.heartbeat.is_some();
        self.slow_start = settings.slow_start;
        self.measures_good_for = settings.measures.good_for();
        self.set_score_settings(settings.score);
        let counted = |ledger: &Option<Arc<Ledger>>| ledger.as_ref().map(Arc::as_ptr);
        let (was, is) = (&self.counters, &counters);
        let known = [counted(&was.ledger), counted(&was.census)];
        for ledger in
            is.ledger.iter().chain(&is.census).filter(|new| !known.contains(&Some(Arc::as_ptr(new))))
        {
            for row in &self.rows {
                ledger.attach(row.seat);
            }
        }
        self.counters = counters;
        (self.stale, self.look) = (true, true);
        self.tick(now);
        self.snapshot()
    }
}
