//! What all workers share: settings, keys, the published snapshot, the memory of calls, evidence of health, counters.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::{Acquire, Release};

use arc_swap::ArcSwap;

use crate::calls::Calls;
use crate::counters::{Counter, Counters};
use crate::flows::Flows;
use crate::hold::{Held, Limits};
use crate::keyring::KeyRing;
use crate::own::OwnAddresses;
use crate::probe::Probes;
use crate::register::Registrations;
use crate::selection::Selector;
use crate::server_table;
use crate::settings::{Affinity, HashKind, Settings};
use crate::snapshot::Snapshot;
use crate::why::Why;

pub struct Shared {
    pub settings: Settings,
    pub keys: KeyRing,
    pub own: OwnAddresses,
    pub calls: Calls,
    pub selector: Selector,
    /// Counters that workers write and the server table reads.
    pub tables: server_table::Counters,
    pub probes: Probes,
    pub held: Held,
    pub flows: Flows,
    /// Choices of servers, for those who ask.
    pub why: Why,
    pub registrations: Registrations,
    /// Tells this process from the one before it at the same address: connections are numbered anew.
    pub run: u32,
    /// That of the snapshot; looked at with every message.
    epoch: AtomicU64,
    snapshot: ArcSwap<Snapshot>,
    counters: Vec<Arc<Counters>>,
}

impl Shared {
    /// `tables` are those of the server table that publishes here; `workers`: how many routers there will be.
    pub fn new(
        settings: Settings,
        tables: server_table::Counters,
        first: Arc<Snapshot>,
        workers: u8,
    ) -> Shared {
        Shared {
            keys: KeyRing::new(&settings.keys),
            own: OwnAddresses::new(&settings.listeners, &settings.names),
            calls: Calls::new(&settings, tables.ledger.clone()),
            selector: Selector::new(&settings, tables.admitted.clone(), tables.ledger.clone()),
            probes: Probes::default(),
            flows: Flows::new(workers),
            held: Held::new(Limits::new(settings.held_max, settings.held_bytes_max)),
            why: Why::new(workers, settings.why_calls, first.clone()),
            registrations: Registrations::new(&settings.register),
            run: 0,
            epoch: AtomicU64::new(first.epoch),
            snapshot: ArcSwap::new(first),
            counters: (0..workers.max(1)).map(|_| Arc::default()).collect(),
            tables,
            settings,
        }
    }

    /// `run`: chance from outside.
    pub fn started_as(self, run: u32) -> Shared {
        Shared { run, ..self }
    }

    /// Number of the snapshot that is published.
    pub fn epoch(&self) -> u64 {
        self.epoch.load(Acquire)
    }

    pub fn snapshot(&self) -> Arc<Snapshot> {
        self.snapshot.load_full()
    }

    /// The control thread has new tables.
    pub fn publish(&self, snapshot: Arc<Snapshot>) {
        let epoch = snapshot.epoch;
        // Before it is used, so that a choice never names a snapshot that is not yet kept.
        self.why.publish(&snapshot);
        self.snapshot.store(snapshot);
        self.epoch.store(epoch, Release);
    }

    pub(crate) fn counters_of(&self, worker: u8) -> Arc<Counters> {
        self.counters[usize::from(worker) % self.counters.len()].clone()
    }

    /// The sum over all workers.
    pub fn count_of(&self, counter: Counter) -> u64 {
        self.counters.iter().map(|counters| counters.get(counter)).sum()
    }

    /// Which hash finds a server where memory and tag say nothing: with hash affinity the one that is set; else the one
    /// that moves least.
    pub(crate) fn hash_kind(&self) -> HashKind {
        match self.settings.affinity {
            Affinity::Hash => self.settings.hash,
            Affinity::Session | Affinity::Tag => HashKind::Consistent,
        }
    }
}
