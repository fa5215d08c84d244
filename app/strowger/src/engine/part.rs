//! A running engine as verbs see it: its counters, and its way to the state tier.

use std::io;
use std::sync::Arc;

use base::Time;
use engine::FarmSecret;
use net::Clock;
use net::worker::Handle;

use super::memory::Memory;
use super::seen::Seen;
use crate::ctl::http::counters::ApiCounters;
use crate::ctl::part::Part;
use crate::ctl::records::Records;
use crate::report::engine::{CallsStatus, EngineReport, NodeStatus, TierStatus, troubles};
use crate::report::role::Report;
use crate::report::status::{Counter, WorkerStatus};

/// Partitions of the state tier: a key begins with the byte of its own.
const PARTITIONS: u64 = 256;

/// See the head of this module.
pub(crate) struct EnginePart {
    pub(crate) clock: Clock,
    pub(crate) started: Time,
    /// What does not change while it runs.
    pub(crate) fixed: EngineReport,
    pub(crate) counters: Vec<Arc<engine::Counters>>,
    pub(crate) workers: Vec<Handle>,
    /// Of each worker. Empty: the state lies in this process.
    pub(crate) seen: Vec<Seen>,
    pub(crate) api: Arc<ApiCounters>,
    pub(crate) records: Kept,
    pub(crate) secret: FarmSecret,
}

/// Where the records are.
pub(crate) enum Kept {
    Here(Memory),
    InStateTier(state_redis::link::Settings),
}

impl Part for EnginePart {
    fn role(&self) -> &'static str {
        "engine"
    }

    fn report(&self) -> Report {
        let sum = |of: fn(&engine::Counters) -> &base::Counter| {
            self.counters.iter().map(|counters| of(counters).get()).sum()
        };
        let state_tier = self.tier();
        Report::Engine(Box::new(EngineReport {
            uptime_seconds: self.clock.now().since(self.started).as_secs(),
            wrong: troubles(&state_tier),
            calls: CallsStatus {
                ringing: sum(|counters| &counters.ringing),
                up: sum(|counters| &counters.up),
                ending: sum(|counters| &counters.ending),
                in_memory: sum(|counters| &counters.cached),
            },
            state_tier,
            counters: self.counters(),
            workers: self.workers.iter().enumerate().map(WorkerStatus::of).collect(),
            ..self.fixed.clone()
        }))
    }

    /// While a part of the state tier is in reach, the calls of that part are served.
    fn not_ready(&self) -> Option<&'static str> {
        (self.tier().unreachable >= PARTITIONS).then_some("the state tier is out of reach")
    }

    fn counters(&self) -> Vec<Counter> {
        let mut all = Vec::new();
        for (name, _, value) in self.counters.iter().flat_map(|counters| counters.read()) {
            Counter::add(&mut all, &format!("engine_{name}"), value);
        }
        for seen in &self.seen {
            let Some(look) = seen.load_full() else { continue };
            let counts = look.status.links.counters;
            for ((name, _), value) in state::links::Counters::DEFINITIONS.iter().zip(counts.read()) {
                // Each worker sees the same failovers.
                let is_same = *name == "failovers";
                Counter::add(&mut all, &format!("state_tier_{name}"), if is_same { 0 } else { value });
                if let Some(counter) = all.last_mut().filter(|_| is_same) {
                    counter.value = counter.value.max(value);
                }
            }
        }
        for (name, value) in self.workers.iter().flat_map(|worker| worker.counters().read()) {
            Counter::add(&mut all, name, value);
        }
        for (name, value) in self.api.read() {
            Counter::add(&mut all, name, value);
        }
        all
    }

    fn records(&self) -> io::Result<Box<dyn Records>> {
        Ok(match &self.records {
            Kept::Here(memory) => Box::new(memory.clone()),
            Kept::InStateTier(settings) => Box::new(state_redis::link::Records::connect(settings)?),
        })
    }

    fn partition_of(&self, call_id: &str) -> Option<u8> {
        Some(engine::names::partition_of_call_id(&self.secret, call_id.as_bytes()))
    }
}

impl EnginePart {
    /// All workers see the same nodes; what waits is summed up.
    fn tier(&self) -> TierStatus {
        let looks: Vec<_> = self.seen.iter().filter_map(|seen| seen.load_full()).collect();
        let mut tier = TierStatus { in_process: self.seen.is_empty(), ..TierStatus::default() };
        let Some(first) = looks.first() else {
            tier.unreachable = if tier.in_process { 0 } else { PARTITIONS };
            return tier;
        };
        let now = self.clock.now();
        let theirs = first.micros + now.since(first.at).as_micros() as u64;
        let ours = os::since_1970().as_micros() as u64;
        tier.clock_ahead_ms = (ours as i64).wrapping_sub(theirs as i64) / 1000;
        for look in &looks {
            let links = &look.status.links;
            tier.unreachable = tier.unreachable.max(links.unreachable as u64);
            tier.waiting += links.waiting as u64;
            tier.waiting_bytes += links.waiting_bytes as u64;
            if tier.trouble.is_none() {
                tier.trouble = look.status.trouble.as_deref().map(str::to_owned);
            }
        }
        let offset = |number: u32| {
            let found = first.status.offsets.iter().find(|offset| offset.server == number)?;
            Some(found.micros / 1000)
        };
        let of_all = |address: &str, of: fn(&state::links::NodeStatus) -> usize| -> u64 {
            let nodes = looks.iter().flat_map(|look| &look.status.links.nodes);
            nodes.filter(|node| &*node.address == address).map(|node| of(node) as u64).sum()
        };
        tier.nodes = first
            .status
            .links
            .nodes
            .iter()
            .map(|node| NodeStatus {
                address: node.address.to_string(),
                up: node.is_up,
                partitions: node.partitions as u64,
                view: node.view,
                replicas: node.replicas as u64,
                missing: node.missing as u64,
                waiting: of_all(&node.address, |node| node.waiting),
                clock_ahead_ms: offset(node.number),
            })
            .collect();
        tier
    }
}
