//! The control side of a load manager: heartbeats in, health and decay judged, snapshots out (SPEC A2 to A5). It runs in a
//! thread of its own, or in the worker's with the thread model `one`.

use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket};
use std::os::fd::{AsRawFd, RawFd};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{SystemTime, UNIX_EPOCH};

use base::{Duration, Time};
use config::Checked;
use heartbeat::datagram::DATAGRAM_BYTES_MAX;
use heartbeat::measure::Measures;
use heartbeat::{Heartbeat, Ignored, Replay};
use lb::counters::Counter;
use lb::farm::server::ServerId;
use lb::farm::server_table::{Refusal, RowView, ServerTable};
use lb::settings::{Heartbeats, ServerEntry, Settings};
use lb::shared::{Shared, Terms};
use net::Clock;
use tracing::{info, warn};

use crate::lb::complaints::Complaints;
use crate::lb::measuring::Measuring;
use crate::lb::said::Said;
use crate::process::ports;
use crate::report::left::{self, Left};

/// Longest time between two looks at evidence and deadlines.
const TICK: Duration = Duration::from_millis(50);
/// Time between two looks at servers that drain.
const DRAINED_PERIOD: Duration = Duration::from_secs(1);
/// Heartbeats taken in one turn of the control thread.
pub(crate) const BUDGET: usize = 1024;
/// Senders whose counts are remembered; more than the largest table has rows.
const SENDERS_MAX: usize = 8192;

/// What heartbeats came to.
#[derive(Clone, Debug, Default)]
pub(crate) struct HeartbeatCounts {
    pub(crate) accepted: u64,
    pub(crate) refused: u64,
    pub(crate) ignored: [u64; Ignored::ALL.len()],
}

pub(crate) struct Control {
    shared: Arc<Shared>,
    table: ServerTable,
    socket: Option<UdpSocket>,
    key: Option<Vec<u8>>,
    replay: HashMap<SocketAddr, Replay>,
    pub(crate) counts: HeartbeatCounts,
    conditions: HashMap<SocketAddr, Said>,
    measuring: Option<Measuring>,
    /// Figures of servers that the table does not have.
    pub(crate) measured_unknown: u64,
    next_tick: Time,
    /// The configuration that runs.
    checked: Option<Arc<Checked>>,
    /// Calls that the memory holds, where a server drains, and when they were counted.
    remembered: HashMap<ServerId, u32>,
    looked_at_drained: Time,
    complaints: Complaints,
    /// Drained servers of which it was said that nothing is left.
    said_empty: Vec<SocketAddr>,
}

impl Control {
    /// Opens the heartbeat port and judges the servers of the configuration for the first time.
    pub(crate) fn new(now: Time, settings: Settings, workers: u8) -> io::Result<Control> {
        let counters =
            lb::farm::server_counters::ServerCounters::for_settings(&settings, usize::from(workers));
        let table = ServerTable::new(now, &settings, counters.clone()).map_err(io::Error::other)?;
        let socket = heartbeat_socket(&settings.heartbeat)?;
        let key = settings.keys.heartbeat.clone();
        let run = u32::from_ne_bytes(os::chance::bytes()?);
        let shared = Shared::new(settings, counters, table.snapshot(), workers).started_as(run);
        let wall = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_micros() as u64;
        let shared = shared.with_clock(wall.saturating_sub(now.as_micros()));
        let shared = Arc::new(shared);
        let mut control = Control {
            shared,
            table,
            socket,
            key,
            replay: HashMap::new(),
            counts: HeartbeatCounts::default(),
            conditions: HashMap::new(),
            measuring: None,
            measured_unknown: 0,
            next_tick: now,
            checked: None,
            remembered: HashMap::new(),
            looked_at_drained: now,
            complaints: Complaints::default(),
            said_empty: Vec::new(),
        };
        control.note_conditions(now, false);
        Ok(control)
    }

    pub(crate) fn shared(&self) -> Arc<Shared> {
        Arc::clone(&self.shared)
    }

    /// Figures are taken from there with each turn (SPEC B3).
    pub(crate) fn measure_by(&mut self, measuring: Measuring) {
        self.measuring = Some(measuring);
    }

    /// Who is polled from now on; the thread that does it is started where there was none to do.
    pub(crate) fn measure(
        &mut self,
        measures: Measures,
        key: Option<Vec<u8>>,
        clock: Clock,
    ) -> io::Result<()> {
        match &self.measuring {
            Some(measuring) => measuring.change(measures, key),
            None => self.measuring = Measuring::start(&measures, key, clock)?,
        }
        Ok(())
    }

    pub(crate) fn measuring(&self) -> Option<&Measuring> {
        self.measuring.as_ref()
    }

    /// The configuration that runs from now on.
    pub(crate) fn run_as(&mut self, checked: Checked) {
        self.key.clone_from(&checked.settings.keys.heartbeat);
        self.checked = Some(Arc::new(checked));
    }

    pub(crate) fn checked(&self) -> Option<Arc<Checked>> {
        self.checked.clone()
    }

    /// The configuration as it runs now, with all that was changed since it was read. `None`: it does not run yet.
    pub(crate) fn as_it_runs(&self, now: Time) -> Option<Checked> {
        let mut checked = Checked::clone(self.checked.as_ref()?);
        checked.settings = Settings::clone(&self.shared.settings);
        let configured = self.table.rows(now).into_iter().filter(|row| row.configured);
        checked.settings.servers = configured
            .map(|row| ServerEntry { address: row.address, transport: row.transport, weight: row.weight })
            .collect();
        Some(checked)
    }

    /// New terms for workers and tables, at once.
    pub(crate) fn set_terms(&mut self, now: Time, terms: Terms) {
        let snapshot = self.table.set_terms(now, &terms.settings, terms.tables.clone());
        self.shared.change(terms, snapshot);
        self.note_conditions(now, true);
        if let Some(renewed) = self.shared.renewed() {
            self.shared = Arc::new(renewed);
        }
    }

    /// New calls are refused from now on.
    pub(crate) fn close(&mut self, now: Time) {
        let terms = self.shared.terms().closing();
        self.set_terms(now, terms);
    }

    /// Calls of all servers that are known, for whoever waits for the end.
    pub(crate) fn left_in_all(&self, now: Time) -> u64 {
        left::in_all(&self.shared, now, &self.table.rows(now))
    }

    /// What is left at a server, counted now.
    pub(crate) fn left_at(&mut self, now: Time, server: SocketAddr) -> Option<Left> {
        let row = self.row(now, server)?;
        self.remembered = left::remembered(&self.shared, now);
        Some(left::left(&self.shared, &row, &self.remembered))
    }

    /// What is left at a server that drains, as of the last second.
    pub(crate) fn left_of(&self, row: &RowView) -> Option<Left> {
        (row.drained || row.leaving).then(|| left::left(&self.shared, row, &self.remembered))
    }

    /// Once a second, while some server drains: says when one is empty, and lets those go that the configuration no longer
    /// names.
    fn look_at_drained(&mut self, now: Time) {
        if now.since(self.looked_at_drained) < DRAINED_PERIOD {
            return;
        }
        self.looked_at_drained = now;
        let rows: Vec<RowView> =
            self.table.rows(now).into_iter().filter(|row| row.drained || row.leaving).collect();
        self.said_empty.retain(|address| rows.iter().any(|row| row.address == *address));
        if rows.is_empty() {
            return self.remembered.clear();
        }
        self.remembered = left::remembered(&self.shared, now);
        for row in rows {
            let left = left::left(&self.shared, &row, &self.remembered);
            let address = row.address;
            if !left.empty {
                self.said_empty.retain(|said| *said != address);
            } else if row.leaving {
                self.table.remove(address);
                info!("server {address} is gone: no call was left ({})", left.known_by);
            } else if !self.said_empty.contains(&address) {
                self.said_empty.push(address);
                info!("server {address} is drained: no call is left ({})", left.known_by);
            }
        }
    }

    pub(crate) fn table_mut(&mut self) -> &mut ServerTable {
        &mut self.table
    }

    /// The row of one server.
    pub(crate) fn row(&self, now: Time, server: SocketAddr) -> Option<RowView> {
        self.table.rows(now).into_iter().find(|row| lb::farm::server_table::same(row.address, server))
    }

    pub(crate) fn rows(&self, now: Time) -> Vec<RowView> {
        self.table.rows(now)
    }

    pub(crate) fn heartbeat_fd(&self) -> Option<RawFd> {
        self.socket.as_ref().map(AsRawFd::as_raw_fd)
    }

    /// Takes at most `budget` heartbeats, has the `work` done that others want of the tables, then judges: the number of
    /// heartbeats taken.
    pub(crate) fn turn(&mut self, now: Time, budget: usize, work: impl FnOnce(Time, &mut Control)) -> usize {
        let taken = self.take_heartbeats(now, budget);
        if let Some(measuring) = &self.measuring {
            for heartbeat in measuring.board.take_fresh(now) {
                self.measured_unknown += u64::from(!self.table.measured(now, &heartbeat));
            }
        }
        work(now, self);
        for result in self.shared.probes.take_results() {
            let retry_after = result.retry_after.map(|seconds| Duration::from_secs(u64::from(seconds)));
            match result.call.zip(retry_after) {
                Some((refused, retry_after)) => {
                    self.table.refused_call(now, result.server, refused, retry_after);
                }
                None => self.table.probe_answered(now, result.server, result.status, retry_after),
            }
        }
        self.look_at_drained(now);
        self.complain_of_refused(now);
        if self.table.tick(now) {
            self.shared.publish(self.table.snapshot());
            self.note_conditions(now, true);
        }
        let probes = &self.shared.probes;
        self.table.take_probes(now, |server, _, _| probes.want(server));
        self.shared.calls.sweep(now);
        self.next_tick = now + TICK;
        taken
    }

    pub(crate) fn next_deadline(&self) -> Time {
        self.table.next_deadline().map_or(self.next_tick, |deadline| deadline.min(self.next_tick))
    }

    fn take_heartbeats(&mut self, now: Time, budget: usize) -> usize {
        let mut bytes = [0u8; DATAGRAM_BYTES_MAX + 1];
        let mut taken = 0;
        while taken < budget {
            let Some(socket) = &self.socket else { break };
            // Nothing there, or an error of an earlier datagram: either way the next turn looks again.
            let Ok((length, from)) = socket.recv_from(&mut bytes) else { break };
            taken += 1;
            self.take_heartbeat(now, &bytes[..length], from);
        }
        taken
    }

    fn take_heartbeat(&mut self, now: Time, bytes: &[u8], from: SocketAddr) {
        let heartbeat = Heartbeat::decode(bytes, self.key.as_deref()).and_then(|heartbeat| {
            self.admit(now, &heartbeat)?;
            Ok(heartbeat)
        });
        match heartbeat {
            Err(ignored) => self.ignored(ignored, bytes, from),
            Ok(heartbeat) => {
                let ip = heartbeat.sip_address.unwrap_or(from.ip());
                match self.table.heartbeat(now, ip, &heartbeat) {
                    Ok(heard) => {
                        self.counts.accepted += 1;
                        if heard.joined {
                            let (server, id) = (SocketAddr::new(ip, heartbeat.sip_port), heartbeat.server_id);
                            info!("server {server} joins by heartbeat, id {id}");
                        }
                        if let Some(before) = heard.moved_from {
                            let (server, id) = (SocketAddr::new(ip, heartbeat.sip_port), heartbeat.server_id);
                            info!("server id {id} has moved from {before} to {server}");
                        }
                        if let Some(other) = heard.same_id_as {
                            let id = heartbeat.server_id;
                            warn!(
                                "servers {ip}:{} and {other} send the same heartbeat id {id}",
                                heartbeat.sip_port
                            );
                        }
                    }
                    Err(refusal) => self.refused(&refusal),
                }
            }
        }
    }

    /// A count proves nothing without a key, so it is asked for only with one.
    fn admit(&mut self, now: Time, heartbeat: &Heartbeat) -> Result<(), Ignored> {
        if self.key.is_none() {
            return Ok(());
        }
        // The table refuses what names no address; it must not take up a place here.
        let Some(ip) = heartbeat.sip_address else { return Ok(()) };
        let sender = SocketAddr::new(ip, heartbeat.sip_port);
        if self.replay.len() >= SENDERS_MAX && !self.replay.contains_key(&sender) {
            return Err(Ignored::Replayed);
        }
        let replay = self.replay.entry(sender).or_default();
        let admitted = replay.admit(heartbeat);
        if admitted.is_err() {
            let behind = replay.behind(heartbeat);
            if self.table.replayed(now, sender, behind) {
                warn!(
                    "heartbeats of {sender} are refused as replayed: its clock is {} s behind\n  remedy: set its clock, or give \
                     its agent a --state-file, which keeps its count over restarts",
                    behind.as_secs()
                );
            }
        }
        admitted
    }

    /// Said once in a while, as whoever sends wrong datagrams sends many; what is replayed is said of its server.
    fn ignored(&mut self, ignored: Ignored, bytes: &[u8], from: SocketAddr) {
        let count = &mut self.counts.ignored[ignored.index()];
        *count += 1;
        if ignored == Ignored::Replayed || !count.is_power_of_two() {
            return;
        }
        let what = heartbeat::form::named(bytes);
        warn!("{what} from {from} is ignored at the heartbeat port: {ignored} ({count} such so far)");
    }

    /// Said once in a while, not per heartbeat: a farm that is too large for its table repeats itself.
    fn refused(&mut self, refusal: &Refusal) {
        self.counts.refused += 1;
        if self.counts.refused.is_power_of_two() {
            warn!("{refusal} ({} heartbeats refused so far)", self.counts.refused);
        }
    }

    /// Calls for which there is no server.
    fn complain_of_refused(&mut self, now: Time) {
        let snapshot = self.shared.snapshot();
        let (takes, all) = (snapshot.active().active().len(), snapshot.servers().len());
        let refused = self.shared.count_of(Counter::NoServer);
        self.complaints.no_server(now, refused, takes, all).iter().for_each(|line| warn!("{}", line));
    }

    /// What an operator changed, in the log.
    pub(crate) fn note(&self, line: &str) {
        info!("{}", line);
    }

    fn note_conditions(&mut self, now: Time, say: bool) {
        let rows = self.table.rows(now);
        self.conditions.retain(|address, _| rows.iter().any(|row| row.address == *address));
        for row in rows {
            let mut is_new = false;
            let said = self.conditions.entry(row.address).or_insert_with(|| {
                is_new = true;
                Said::new(row.condition)
            });
            if (said.note(row.condition) || is_new) && say {
                let now = row.condition.name();
                info!("server {} is {now}: {}", row.address, row.cause);
            }
        }
    }
}

fn heartbeat_socket(settings: &Heartbeats) -> io::Result<Option<UdpSocket>> {
    let Some(listen) = settings.listen else { return Ok(None) };
    let context = |error: io::Error| ports::unavailable(&format!("{listen} (heartbeat.listen)"), &error);
    let socket = UdpSocket::bind(listen).map_err(context)?;
    socket.set_nonblocking(true)?;
    match settings.group {
        None => {}
        Some(IpAddr::V4(group)) => {
            let interface = match listen.ip() {
                IpAddr::V4(ip) if !ip.is_multicast() => ip,
                _ => Ipv4Addr::UNSPECIFIED,
            };
            socket.join_multicast_v4(&group, &interface).map_err(context)?;
        }
        Some(IpAddr::V6(group)) => socket.join_multicast_v6(&group, 0).map_err(context)?,
    }
    Ok(Some(socket))
}

/// Guards the tables against the status print, which reads them from another thread.
pub(crate) fn lock(control: &Mutex<Control>) -> MutexGuard<'_, Control> {
    control.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}
