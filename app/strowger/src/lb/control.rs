//! The control side of a load manager: it takes heartbeats, judges health and decay, and publishes snapshots (SPEC A2 to
//! A5). It has a thread of its own, or shares the worker's with the thread model `one`.

use std::collections::HashMap;
use std::io;
use std::net::SocketAddr;
use std::os::fd::RawFd;
use std::sync::Arc;

use base::fields::{Reader, Writer};
use base::{Duration, Key, Time};
use config::{Checked, NewCalls};
use heartbeat::measure::Measures;
use lb::counters::Counter;
use lb::farm::server::ServerId;
use lb::farm::server_table::{RowView, ServerTable};
use lb::hand_over::Amount;
use lb::memory::stored::NotRestored;
use lb::settings::{ServerEntry, Settings};
use lb::shared::{NotReady, Shared, Terms};
use net::Clock;
use tracing::{info, warn};

use crate::lb::complaints::Complaints;
use crate::lb::heartbeats::Heartbeats;
use crate::lb::measuring::Measuring;
use crate::lb::names::Names;
use crate::lb::origin::Origin;
use crate::lb::over::Over;
use crate::lb::said::Said;
use crate::lb::sockets::Sockets;
use crate::report::left::{self, Left};

/// Longest time between two looks at evidence and deadlines.
const TICK: Duration = Duration::from_millis(50);
/// Time between two looks at servers that drain.
const DRAINED_PERIOD: Duration = Duration::from_secs(1);
/// Heartbeats taken in one turn of the control thread.
pub(crate) const BUDGET: usize = 1024;

pub(crate) struct Control {
    shared: Arc<Shared>,
    table: ServerTable,
    pub(crate) heartbeats: Heartbeats,
    conditions: HashMap<SocketAddr, Said>,
    measuring: Option<Measuring>,
    /// Servers that are found by name. `None`: nobody asks name servers, as in tests.
    names: Option<Names>,
    /// Figures of servers that are not in the table.
    pub(crate) measured_unknown: u64,
    next_tick: Time,
    /// The running configuration.
    checked: Option<Arc<Checked>>,
    /// Calls that the memory holds, counted while a server drains, and the time of the count.
    remembered: HashMap<ServerId, u32>,
    looked_at_drained: Time,
    complaints: Complaints,
    /// Drained servers of which the log has said that no call is left.
    said_empty: Vec<SocketAddr>,
    /// Sockets for the process that takes the place of this one.
    sockets: Sockets,
    pub(crate) over: Over,
}

impl Control {
    /// Alone: nothing is taken from another process, and nothing is kept for one.
    #[cfg(any(test, fuzzing))]
    pub(crate) fn new(now: Time, settings: Settings, workers: u8) -> io::Result<Control> {
        Control::begin(now, settings, workers, Origin::fresh(now)?, &Sockets::default())
    }

    /// Opens the heartbeat port and judges the servers of the configuration for the first time.
    pub(crate) fn begin(
        now: Time,
        settings: Settings,
        workers: u8,
        origin: Origin,
        sockets: &Sockets,
    ) -> io::Result<Control> {
        let counters =
            lb::farm::server_counters::ServerCounters::for_settings(&settings, usize::from(workers));
        let table = ServerTable::new(now, &settings, counters.clone()).map_err(io::Error::other)?;
        // Chance of its own: to those that are told, another process is another sender.
        let sender = u32::from_ne_bytes(os::chance::bytes()?);
        let heartbeats =
            Heartbeats::open(&settings.heartbeat, settings.keys.heartbeat.clone(), sender, sockets)?;
        let shared = Shared::new(settings, counters, table.snapshot(), workers).started_as(origin.run);
        let shared = Arc::new(shared.with_clock(origin.clock_began_us));
        let mut control = Control {
            shared,
            table,
            heartbeats,
            conditions: HashMap::new(),
            measuring: None,
            names: None,
            measured_unknown: 0,
            next_tick: now,
            checked: None,
            remembered: HashMap::new(),
            looked_at_drained: now,
            complaints: Complaints::default(),
            said_empty: Vec::new(),
            sockets: sockets.clone(),
            over: Over::default(),
        };
        control.note_conditions(now, false);
        Ok(control)
    }

    /// Those that another process has given, and those for the next one.
    pub(crate) fn sockets(&self) -> &Sockets {
        &self.sockets
    }

    /// All that is remembered, for the process that takes the place of this one.
    pub(crate) fn memories(&self, now: Time) -> (Vec<u8>, Amount) {
        let (mut memories, amount) = lb::hand_over::write(&self.shared, &self.table, now, self.wall_us(now));
        if let Some(names) = &self.names {
            let mut writer = Writer::default();
            names.write(&mut writer);
            memories.extend(writer.into_bytes());
        }
        (memories, amount)
    }

    /// Goes on where the process before this one stood.
    pub(crate) fn take_over(&mut self, memories: &[u8], now: Time) -> Result<Amount, NotRestored> {
        let wall_us = self.wall_us(now);
        if let Some(names) = &mut self.names {
            let configured = self.checked.as_ref().map_or(&[][..], |checked| &checked.settings.servers);
            names.go_on_with(Reader::new(memories), now, configured, &mut self.table);
        }
        let amount = lb::hand_over::read(memories, &self.shared, &mut self.table, now, wall_us)?;
        self.shared.publish(self.table.snapshot());
        self.note_conditions(now, false);
        Ok(amount)
    }

    /// Another process has the sockets: none of them is touched here any more.
    pub(crate) fn let_go(&mut self) {
        self.heartbeats.close();
    }

    fn wall_us(&self, now: Time) -> u64 {
        self.shared.clock_began_us.wrapping_add(now.as_micros())
    }

    pub(crate) fn shared(&self) -> Arc<Shared> {
        Arc::clone(&self.shared)
    }

    /// Polls these places from now on; starts the thread if there was none.
    pub(crate) fn measure(&mut self, measures: Measures, key: Option<Key>, clock: Clock) -> io::Result<()> {
        match &self.measuring {
            Some(measuring) => measuring.change(measures, key),
            None => {
                let with = (&self.sockets, self.over.clone());
                self.measuring = Measuring::start(&measures, key, clock, with)?;
            }
        }
        Ok(())
    }

    /// Finds servers by these names from now on.
    pub(crate) fn find_by(&mut self, names: Names) {
        self.names = Some(names);
    }

    pub(crate) fn names(&self) -> Option<&Names> {
        self.names.as_ref()
    }

    /// The servers that the table would have under this configuration: its own, and those of names that stay.
    pub(crate) fn servers_under(&self, next: &Checked) -> Vec<ServerEntry> {
        let found = self.names.as_ref().map(|names| names.entries_after(next));
        next.settings.servers.iter().cloned().chain(found.into_iter().flatten()).collect()
    }

    /// The servers and the names of a changed configuration.
    pub(crate) fn reconfigure(&mut self, now: Time, next: &Checked) {
        let servers = self.servers_under(next);
        if let Some(names) = &mut self.names {
            names.change(now, next);
        }
        self.table.reconfigure(now, &servers);
    }

    pub(crate) fn measuring(&self) -> Option<&Measuring> {
        self.measuring.as_ref()
    }

    /// The running configuration from now on.
    pub(crate) fn run_as(&mut self, checked: Checked) {
        self.heartbeats.set_key(checked.settings.keys.heartbeat.clone());
        self.checked = Some(Arc::new(checked));
    }

    pub(crate) fn checked(&self) -> Option<Arc<Checked>> {
        self.checked.clone()
    }

    /// The running configuration, with all changes since it was read. `None`: it does not run yet.
    pub(crate) fn as_it_runs(&self, now: Time) -> Option<Checked> {
        let mut checked = Checked::clone(self.checked.as_ref()?);
        checked.settings = Settings::clone(&self.shared.settings);
        let found = |address| self.names.as_ref().is_some_and(|names| names.gave(address));
        let rows = self.table.rows(now).into_iter();
        let configured = rows.filter(|row| row.configured && !found(row.address));
        checked.settings.servers = configured
            .map(|row| ServerEntry {
                address: row.address,
                transport: row.transport,
                weight: row.weight,
                priority: row.priority,
                calls_max: row.calls_max,
                calls_per_second_max: row.calls_per_second_max,
            })
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

    /// From now on, whoever asks hears that this load manager is about to end; and new calls are refused, if they are to be.
    pub(crate) fn end(&mut self, now: Time, new_calls: NewCalls) {
        let terms = self.shared.terms();
        let terms = match new_calls {
            NewCalls::Refuse => terms.closing(),
            NewCalls::Serve => terms.ending(),
        };
        self.set_terms(now, terms);
    }

    /// Why no new call should come now, for whoever asks. `None`: it may.
    pub(crate) fn not_ready(&self) -> Option<NotReady> {
        self.shared.not_ready(&self.shared.snapshot())
    }

    /// Known calls of all servers, for a load manager that waits for its end.
    pub(crate) fn left_in_all(&self, now: Time) -> u64 {
        left::in_all(&self.shared, now, &self.table.rows(now))
    }

    /// What is left at a server, counted now.
    pub(crate) fn left_at(&mut self, now: Time, server: SocketAddr) -> Option<Left> {
        let row = self.row(now, server)?;
        self.remembered = left::remembered(&self.shared, now);
        Some(left::left(&self.shared, &row, &self.remembered))
    }

    /// What is left at a draining server, as of the last second.
    pub(crate) fn left_of(&self, row: &RowView) -> Option<Left> {
        (row.drained || row.leaving).then(|| left::left(&self.shared, row, &self.remembered))
    }

    /// Once a second, while some server drains: the log says when a server is empty, and servers that the configuration no
    /// longer names leave.
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
                info!("server {address} has left the farm: no call was left ({})", left.known_by);
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
        self.heartbeats.fd()
    }

    /// Takes at most `budget` heartbeats, does the `work` that others want of the tables, then judges. Returns the number of
    /// heartbeats.
    pub(crate) fn turn(&mut self, now: Time, budget: usize, work: impl FnOnce(Time, &mut Control)) -> usize {
        // This may have waited while another process took all of it.
        if self.over.is_so() {
            return 0;
        }
        let taken = self.heartbeats.take(now, budget, &mut self.table);
        if let Some(measuring) = &self.measuring {
            for heartbeat in measuring.board.take_fresh(now) {
                self.measured_unknown += u64::from(!self.table.measured(now, &heartbeat));
            }
        }
        if let Some(names) = &mut self.names {
            let configured = self.checked.as_ref().map_or(&[][..], |checked| &checked.settings.servers);
            names.turn(now, configured, &mut self.table);
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
            let deaths = self.table.take_deaths();
            self.heartbeats.tell(&deaths, os::since_1970().as_micros() as u64);
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

    /// Calls for which there is no server.
    fn complain_of_refused(&mut self, now: Time) {
        let snapshot = self.shared.snapshot();
        let (takes, all) = (snapshot.active().active().count(), snapshot.servers().len());
        let refused = self.shared.count_of(Counter::NoServer);
        self.complaints.no_server(now, refused, takes, all).iter().for_each(|line| warn!("{}", line));
    }

    /// Logs an operator's change.
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
                let (server, now, cause) = (row.address, row.condition.name(), row.cause);
                match row.condition {
                    lb::farm::condition::Condition::Failed => warn!("server {server} is {now}: {cause}"),
                    _ => info!("server {server} is {now}: {cause}"),
                }
            }
        }
    }
}
