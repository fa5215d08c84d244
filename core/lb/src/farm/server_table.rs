//! The server table (SPEC A2, A4): every server of the farm, from the configuration and from heartbeats, with what is
//! known of it and why it is or is not used. Owned by the control thread; the data path sees the snapshots it publishes.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use base::{Duration, Time};
use heartbeat::{Decay, Heartbeat};
use sip::Transport;

use crate::farm::condition::Condition;
use crate::farm::departed::DepartedServers;
use crate::farm::health::{Event, HealthSettings};
use crate::farm::score::{ScoreSettings, scores};
use crate::farm::server::{Seat, ServerId};
use crate::farm::server_counters::{ServerCounters, slots};
use crate::farm::snapshot::Snapshot;
use crate::settings::Settings;

mod aside;
mod change;
mod deaths;
mod moved;
mod refusal;
mod row;
mod stored;
pub use deaths::DeathNotice;
pub use refusal::Refusal;
use row::{Agent, Row};
pub use row::{Reason, RowView, Source};

/// Changed load figures are published together, at most this often; a change of condition is published at once.
const FIGURES_PERIOD: Duration = Duration::from_millis(100);
/// Scores with factors that change with every call are computed this often.
const COUNTED_PERIOD: Duration = Duration::from_secs(1);
/// All rows are looked at this often, and when one is due, instead of with every heartbeat of a thousand servers.
const LOOK_PERIOD: Duration = Duration::from_millis(50);
/// A server known by heartbeat alone that has been gone for this long is dropped from the table: farms that grow and
/// shrink by themselves leave addresses behind.
const FORGET_AFTER: Duration = Duration::from_secs(3600);
pub const WEIGHT_MAX: u32 = 1000;

/// The effect of a heartbeat.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Heard {
    /// The server was not in the table before.
    pub joined: bool,
    /// Another current server says that it has the same id. Given once, when first seen.
    pub same_id_as: Option<SocketAddr>,
    /// Where the server with this id was before.
    pub moved_from: Option<SocketAddr>,
}

/// See the head of this module.
pub struct ServerTable {
    rows: Vec<Row>,
    size: usize,
    decay: Decay,
    /// Counts are believed only if a key protects them.
    heartbeats_signed: bool,
    health: HealthSettings,
    score: ScoreSettings,
    slow_start: Duration,
    /// How long polled figures are good without being renewed.
    measures_good_for: Duration,
    /// When scores last took in the factors that change with every call.
    counted: Time,
    counters: ServerCounters,
    free_slots: std::collections::VecDeque<u16>,
    incarnations: u32,
    snapshot: Arc<Snapshot>,
    /// Something that routing can see has changed: to be published at once, or with the next figures.
    stale: bool,
    figures_stale: bool,
    published: Time,
    /// When all rows were last looked at, whether they are to be looked at now, and when the first of them is due.
    looked: Time,
    look: bool,
    due: Option<Time>,
    /// Servers of state tiers that are no longer in the table.
    departed: DepartedServers,
    /// Deaths that the servers of a state tier are to be told of.
    deaths: Vec<DeathNotice>,
}

impl ServerTable {
    /// The servers of the configuration, in its order. A server that is refused is an error of the configuration.
    pub fn new(now: Time, settings: &Settings, counters: ServerCounters) -> Result<ServerTable, Refusal> {
        let size = slots(settings);
        let mut table = ServerTable {
            rows: Vec::new(),
            size,
            decay: Decay::new(settings.heartbeat.period, settings.heartbeat.decay_periods),
            heartbeats_signed: settings.keys.heartbeat.is_some(),
            health: HealthSettings::of(settings),
            score: settings.score,
            measures_good_for: settings.measures.good_for(),
            counted: now,
            slow_start: settings.slow_start,
            counters,
            free_slots: (0..size as u16).collect(),
            incarnations: 0,
            snapshot: Arc::new(Snapshot::empty()),
            stale: true,
            figures_stale: false,
            published: now,
            looked: now,
            look: true,
            due: None,
            departed: DepartedServers::default(),
            deaths: Vec::new(),
        };
        for entry in &settings.servers {
            table.add(now, entry)?;
        }
        // Servers that are there from the beginning do not return.
        table.rows.iter_mut().for_each(Row::settle);
        table.tick(now);
        Ok(table)
    }

    /// What the data path should see; the same value until [`ServerTable::tick`] gives true.
    pub fn snapshot(&self) -> Arc<Snapshot> {
        self.snapshot.clone()
    }

    /// One heartbeat, decoded and authenticated, from this address. Its server is at the SIP address that the heartbeat names
    /// or, if heartbeats are not signed, at the IP that it came from. If the configuration has that server, the heartbeat is
    /// for its row. If heartbeats are signed and the row of this id is gone from its address, the server has moved, and its
    /// row with it.
    pub fn heartbeat(&mut self, now: Time, from: IpAddr, heartbeat: &Heartbeat) -> Result<Heard, Refusal> {
        let (id, source) = (heartbeat.server_id, Some(from).filter(|_| !self.heartbeats_signed));
        let ip = heartbeat.sip_address.or(source).ok_or(Refusal::NoAddress { id, from })?.to_canonical();
        let address = SocketAddr::new(ip, heartbeat.sip_port);
        let transport = heartbeat.transport.map(|transport| match transport {
            heartbeat::Transport::Udp => Transport::Udp,
            heartbeat::Transport::Tcp => Transport::Tcp,
        });
        let known = self.find(address);
        let moved = known.is_none().then(|| self.gone_with_id(now, id)).flatten();
        let found = known.or(moved);
        let at = match found {
            Some(at) => at,
            None => self.make_row(now, address, transport.unwrap_or(Transport::Udp))?,
        };
        if self.heartbeats_signed && self.rows[at].replay.admit(heartbeat).is_err() {
            let behind = self.rows[at].replay.behind(heartbeat);
            self.replayed(now, address, behind);
            return Err(Refusal::Replayed { server: address });
        }
        let moved_from = moved.map(|at| self.move_row(now, at, address)).transpose()?;
        // A server that comes, comes back or takes another id is compared with all others; the rest were compared before.
        let row = &self.rows[at];
        let compare = row.same_id_as.is_some()
            || row.condition == Condition::Failed
            || row.agent.is_none_or(|agent| agent.id != heartbeat.server_id);
        let twin = if compare { self.twin_of(now, at, heartbeat.server_id) } else { None };
        let row = &mut self.rows[at];
        let same_id_as = twin.filter(|_| row.same_id_as != twin);
        row.same_id_as = twin;
        if let Some(transport) = transport.filter(|transport| *transport != row.transport) {
            row.transport = transport;
            self.stale = true;
        }
        let (admitted, tier) = (self.counters.admitted.count(row.seat.slot), row.state_tier);
        self.figures_stale |= row.hear(now, heartbeat, self.decay, self.health, admitted);
        self.stale |= row.state_tier != tier;
        self.stale |= row.judge(now, admitted, self.slow_start);
        self.due = self.due.into_iter().chain(row.next_deadline()).min();
        Ok(Heard { joined: found.is_none(), same_id_as, moved_from })
    }

    /// A heartbeat of this server was signed right, but its count was `behind` an earlier one. True: log it, as nothing else
    /// is heard of the server; once, and then every ten minutes.
    pub fn replayed(&mut self, now: Time, server: SocketAddr, behind: Duration) -> bool {
        let Some(at) = self.find(server) else { return false };
        let row = &mut self.rows[at];
        let say = row.refuse_replayed(now, behind);
        let admitted = self.counters.admitted.count(row.seat.slot);
        self.stale |= row.judge(now, admitted, self.slow_start);
        self.due = self.due.into_iter().chain(row.next_deadline()).min();
        say
    }

    /// Figures from a poll (SPEC B3), or `down`: the poll had no answer. False: no server of the table is at that address;
    /// only the configuration and heartbeats make rows.
    pub fn measured(&mut self, now: Time, heartbeat: &Heartbeat) -> bool {
        let address = heartbeat.sip_address.map(|ip| SocketAddr::new(ip.to_canonical(), heartbeat.sip_port));
        let Some(at) = address.and_then(|address| self.find(address)) else { return false };
        let row = &mut self.rows[at];
        let admitted = self.counters.admitted.count(row.seat.slot);
        // Down, or back: published at once.
        self.stale |= row.take_measured(now, heartbeat, self.measures_good_for, admitted);
        self.stale |= row.judge(now, admitted, self.slow_start);
        self.figures_stale = true;
        true
    }

    /// New weights and limits; the next snapshot has the scores by them.
    pub fn set_score_settings(&mut self, score: ScoreSettings) {
        self.stale |= self.score != score;
        self.score = score;
    }

    pub fn score_settings(&self) -> ScoreSettings {
        self.score
    }

    /// Outcome of an OPTIONS of [`ServerTable::take_probes`]. Silence need not be reported: the table notices it.
    pub fn probe_answered(&mut self, now: Time, id: ServerId, status: u16, retry_after: Option<Duration>) {
        if let Some(row) = self.rows.iter_mut().find(|row| row.id == id) {
            row.health.handle(now, Event::ProbeAnswered { status, retry_after });
            self.look = true;
        }
    }

    /// Sends the OPTIONS that are due, as the settings say: to servers without an agent, and to any server in doubt.
    pub fn take_probes(&mut self, now: Time, mut send: impl FnMut(ServerId, SocketAddr, Transport)) {
        for row in self.rows.iter_mut().filter(|row| row.is_probed()) {
            if row.health.take_probe(now) {
                send(row.id, row.address, row.transport);
                self.look = true;
            }
        }
    }

    /// Reads the evidence of the workers, lets time pass, judges every row. True: there is a new snapshot to publish. To be
    /// called after each batch of heartbeats, at [`ServerTable::next_deadline`], and ten times a second.
    pub fn tick(&mut self, now: Time) -> bool {
        let due = self.due.is_some_and(|due| now >= due);
        if self.look || due || now.since(self.looked) >= LOOK_PERIOD {
            self.look_at_all(now);
        }
        let figures_due = self.figures_stale && now.since(self.published) >= FIGURES_PERIOD;
        if !self.stale && !figures_due {
            return false;
        }
        (self.stale, self.figures_stale, self.published) = (false, false, now);
        self.publish();
        true
    }

    fn look_at_all(&mut self, now: Time) {
        for row in &mut self.rows {
            self.figures_stale |= row.rise(now);
            row.read_evidence(now, self.counters.evidence.totals(row.seat.slot));
            row.health.handle_timeout(now);
            self.figures_stale |= row.expire_measured(now);
            row.count_lately(now, self.counters.admitted.count(row.seat.slot));
        }
        if self.score.counts_calls() && now.since(self.counted) >= COUNTED_PERIOD {
            (self.figures_stale, self.counted) = (true, now);
        }
        self.forget(now);
        self.set_aside(now);
        self.judge_all(now);
        let takes_calls = |row: &Row| matches!(row.condition, Condition::Active | Condition::Trial);
        if !self.rows.iter().any(takes_calls) {
            // Fail-safe: silence alone must not take the whole farm out; silent servers are sent OPTIONS again at once.
            for row in self.rows.iter_mut().filter(|row| row.failed_by_silence()) {
                row.health.try_now(now);
            }
            self.judge_all(now);
        }
        if !self.rows.iter().any(|row| row.condition == Condition::Active) && self.call_back(now) {
            self.judge_all(now);
        }
        (self.look, self.looked) = (false, now);
        self.due = self.rows.iter().filter_map(Row::next_deadline).min();
    }

    /// When the next tick has something to do without any new event.
    pub fn next_deadline(&self) -> Option<Time> {
        let figures = self.figures_stale.then(|| self.published + FIGURES_PERIOD);
        self.due.into_iter().chain(figures).min()
    }

    /// All rows in the order of their index, for the status print.
    pub fn rows(&self, now: Time) -> Vec<RowView> {
        let count = |row: &Row| {
            let ledger = self.counters.census.as_ref().or(self.counters.ledger.as_ref());
            ledger.map(|ledger| ledger.count(row.seat.slot))
        };
        self.rows
            .iter()
            .enumerate()
            .map(|(index, row)| {
                let counts = &self.counters.admitted;
                let (admitted, at_limit) =
                    (counts.count(row.seat.slot), counts.count_at_limit(row.seat.slot));
                row.view(now, index, self.score_of(row), count(row), (admitted, at_limit))
            })
            .collect()
    }

    /// The place of each server's counters.
    pub fn seats(&self) -> impl Iterator<Item = (ServerId, Seat)> {
        self.rows.iter().map(|row| (row.id, row.seat))
    }

    pub fn len(&self) -> usize {
        self.rows.len()
    }

    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// Another row whose current heartbeats carry this id.
    fn twin_of(&self, now: Time, at: usize, id: u32) -> Option<SocketAddr> {
        let current = |agent: &Agent| agent.id == id && !agent.decay.failed(agent.heard, now);
        let twin = self
            .rows
            .iter()
            .enumerate()
            .find(|(other, row)| *other != at && row.agent.as_ref().is_some_and(current));
        twin.map(|(_, row)| row.address)
    }

    fn find(&self, address: SocketAddr) -> Option<usize> {
        self.rows.iter().position(|row| same(row.address, address))
    }

    fn make_row(&mut self, now: Time, address: SocketAddr, transport: Transport) -> Result<usize, Refusal> {
        if address.port() == 0 || address.ip().is_unspecified() {
            return Err(Refusal::BadAddress { server: address });
        }
        let id = ServerId::of(address);
        if let Some(row) = self.rows.iter().find(|row| row.id == id) {
            return Err(Refusal::IdCollision { server: address, with: row.address });
        }
        let Some(slot) = self.free_slots.pop_front() else {
            return Err(Refusal::TableFull { size: self.size, server: address });
        };
        self.incarnations += 1;
        let seat = Seat { slot, incarnation: self.incarnations };
        for ledger in self.counters.ledger.iter().chain(&self.counters.census) {
            ledger.attach(seat);
        }
        let totals = self.counters.evidence.totals(slot);
        let admitted = self.counters.admitted.count(slot);
        let row = Row::new(now, address, transport, seat, (totals, admitted), self.health);
        self.rows.push(row.after(admitted, self.counters.admitted.count_at_limit(slot)));
        self.departed.is_there(id);
        self.stale = true;
        Ok(self.rows.len() - 1)
    }

    fn judge_all(&mut self, now: Time) {
        for row in &mut self.rows {
            let admitted = self.counters.admitted.count(row.seat.slot);
            self.stale |= row.judge(now, admitted, self.slow_start);
        }
    }

    fn forget(&mut self, now: Time) {
        let gone: Vec<SocketAddr> = self
            .rows
            .iter()
            .filter(|row| row.gone_since(now) >= FORGET_AFTER)
            .map(|row| row.address)
            .collect();
        for address in gone {
            self.remove(address);
        }
    }

    fn publish(&mut self) {
        self.note_deaths();
        let figures: Vec<_> = self.rows.iter().map(Row::figures).collect();
        let scores = scores(&self.score, &figures);
        let rows = self.rows.iter().zip(scores).zip(0u16..);
        let servers = rows.map(|((row, score), index)| row.server(index, score)).collect();
        let snapshot = Snapshot::build(self.snapshot.epoch + 1, servers, Some(&self.snapshot));
        self.snapshot = Arc::new(snapshot.with_departed(&self.departed));
    }

    fn score_of(&self, row: &Row) -> Option<crate::farm::server::Score> {
        self.snapshot.by_id(row.id).and_then(|server| server.score)
    }
}

/// Whether the addresses are the same, even if one is an IPv4 address written as IPv6.
pub fn same(a: SocketAddr, b: SocketAddr) -> bool {
    a.port() == b.port() && a.ip().to_canonical() == b.ip().to_canonical()
}
