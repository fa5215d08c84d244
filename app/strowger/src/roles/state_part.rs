//! A running process of the state tier as verbs see it: the figures that it shows, and its records over its own socket.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

use state_redis::functions::ROOM_PERCENT;
use state_redis::link::{self, Address};
use state_redis::server::Figures;

use crate::ctl::http::counters::ApiCounters;
use crate::ctl::part::Part;
use crate::ctl::records::Records;
use crate::report::role::Report;
use crate::report::state::StateReport;
use crate::report::status::Counter;

/// See the head of this module.
pub(super) struct StatePart {
    pub(super) started: Instant,
    pub(super) path: PathBuf,
    pub(super) effects: Option<PathBuf>,
    pub(super) figures: Arc<Figures>,
    pub(super) api: Arc<ApiCounters>,
}

impl Part for StatePart {
    fn role(&self) -> &'static str {
        "state"
    }

    fn report(&self) -> Report {
        let figures = &self.figures;
        let mut report = StateReport {
            version: env!("CARGO_PKG_VERSION").into(),
            pid: std::process::id(),
            uptime_seconds: self.started.elapsed().as_secs(),
            listener: format!("unix:{}", self.path.display()),
            records: figures.records.get(),
            tombstones: figures.tombstones.get(),
            bytes: figures.bytes.get(),
            bytes_max: figures.memory.get(),
            effects: figures.effects.get(),
            effects_file: self.effects.as_ref().map(|file| file.display().to_string()),
            connections: figures.connections.get(),
            counters: self.counters(),
            ..StateReport::default()
        };
        report.wrong = report.troubles(ROOM_PERCENT);
        Report::State(Box::new(report))
    }

    fn not_ready(&self) -> Option<&'static str> {
        let (used, most) = (self.figures.bytes.get(), self.figures.memory.get());
        let is_full = used * 100 >= most * u64::from(ROOM_PERCENT);
        is_full.then_some("the memory is so full that no call begins")
    }

    fn counters(&self) -> Vec<Counter> {
        let figures = self.figures.read().into_iter().map(|(name, value)| (format!("state_{name}"), value));
        let api = self.api.read().into_iter().map(|(name, value)| (name.to_owned(), value));
        figures.chain(api).map(|(name, value)| Counter { name, value }).collect()
    }

    fn records(&self) -> io::Result<Box<dyn Records>> {
        let nodes = vec![Address::Unix(self.path.clone())];
        let settings = link::Settings { nodes, ..link::Settings::default() };
        Ok(Box::new(link::Records::connect(&settings)?))
    }

    /// This process does not use the farm's secret.
    fn partition_of(&self, _call_id: &str) -> Option<u8> {
        None
    }
}
