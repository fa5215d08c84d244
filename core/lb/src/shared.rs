//! The state that all workers share: settings, keys, the published snapshot, the memory of calls, evidence of health,
//! counters.
//!
//! [`Terms`] and the [`Snapshot`] can change at run time: the control thread publishes both as one value, and each worker
//! takes that value between two messages. So no message sees half of a change.

use crate::farm::server_counters;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::{Acquire, Release};

use arc_swap::ArcSwap;
use dns::locate::Reach;

use crate::connections::alias::Aliases;
use crate::connections::flows::Flows;
use crate::connections::own::OwnAddresses;
use crate::counters::{Counter, WorkerCounters};
use crate::farm::probes::Probes;
use crate::farm::server::Server;
use crate::farm::snapshot::Snapshot;
use crate::hold::{Held, Limits};
use crate::memory::calls::Calls;
use crate::names::{Names, reach};
use crate::past_us::PastUs;
use crate::register::Registrations;
use crate::selection::Selector;
use crate::settings::{Probe, Settings};
use crate::signed::keyring::KeyRing;
use crate::why::Why;

#[derive(Clone)]
pub struct Shared {
    pub settings: Arc<Settings>,
    pub keys: Arc<KeyRing>,
    pub own: Arc<OwnAddresses>,
    pub calls: Arc<Calls>,
    pub selector: Arc<Selector>,
    /// Counters that workers write and the server table reads.
    pub tables: server_counters::ServerCounters,
    pub probes: Arc<Probes>,
    pub held: Arc<Held>,
    pub flows: Arc<Flows>,
    pub aliases: Arc<Aliases>,
    /// Choices of servers, for `strowger why`.
    pub why: Arc<Why>,
    pub registrations: Arc<Registrations>,
    /// Host names that were looked up, and what our listeners reach of them.
    pub names: Arc<Names>,
    pub reach: Reach,
    /// What shows that calls go past us.
    pub past_us: Arc<PastUs>,
    /// Distinguishes this process from the one before it at the same address: connections are numbered anew.
    pub run: u32,
    /// The wall clock at [`base::Time::ZERO`], microseconds since 1970: load managers of one farm time requests by it.
    pub clock_began_us: u64,
    /// New calls are refused: this load manager is about to end.
    pub closing: bool,
    /// This load manager is about to end, whether it refuses new calls or not: whoever asks hears that it is not ready.
    pub ending: bool,
    generation: u64,
    board: Arc<Board>,
    counters: Arc<[Arc<WorkerCounters>]>,
}

/// The place where the control thread publishes.
struct Board {
    /// The epoch of the snapshot; read with every message.
    epoch: AtomicU64,
    published: ArcSwap<Published>,
}

/// The value in force.
struct Published {
    snapshot: Arc<Snapshot>,
    terms: Arc<Terms>,
}

/// All that an operator can change at run time.
#[derive(Clone)]
pub struct Terms {
    pub settings: Arc<Settings>,
    pub keys: Arc<KeyRing>,
    pub calls: Arc<Calls>,
    pub selector: Arc<Selector>,
    pub tables: server_counters::ServerCounters,
    pub closing: bool,
    pub ending: bool,
    generation: u64,
}

/// Why a load manager sends its callers elsewhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NotReady {
    Ending,
    NoServer,
}

impl NotReady {
    /// For people. It names no server: everyone may hear it.
    pub const fn words(self) -> &'static str {
        match self {
            NotReady::Ending => "this load manager is about to end",
            NotReady::NoServer => "no server takes new calls",
        }
    }
}

impl Terms {
    /// The same terms, but whoever asks hears that this load manager is about to end. New calls are still served.
    pub fn ending(&self) -> Terms {
        Terms { ending: true, ..self.clone() }
    }

    /// The same terms, but new calls are refused.
    pub fn closing(&self) -> Terms {
        Terms { closing: true, ..self.ending() }
    }

    /// The next terms, under these settings: everything that does not depend on the change is kept.
    pub fn with(&self, settings: Settings) -> Terms {
        let before = &*self.settings;
        let mut next = self.clone();
        if settings.keys.tag != before.keys.tag {
            next.keys = Arc::new(self.keys.renewed(&settings.keys));
        }
        let slots = self.tables.admitted.slots();
        let counts =
            |settings: &Settings| (settings.selection, settings.invite_weight_percent, settings.count_calls);
        if counts(&settings) != counts(before) {
            next.tables.renew_ledgers(before, &settings, slots);
            next.selector = selector(&settings, &next.tables);
        }
        next.calls = Arc::new(self.calls.renewed(&settings, &next.tables));
        next.settings = Arc::new(settings);
        next
    }
}

impl Shared {
    /// `tables` belong to the server table that publishes here; `workers`: the number of routers.
    pub fn new(
        settings: Settings,
        tables: server_counters::ServerCounters,
        first: Arc<Snapshot>,
        workers: u8,
    ) -> Shared {
        let terms = Terms {
            keys: Arc::new(KeyRing::new(&settings.keys)),
            calls: Arc::new(Calls::new(&settings, &tables)),
            selector: selector(&settings, &tables),
            closing: false,
            ending: false,
            generation: 0,
            tables,
            settings: Arc::new(settings),
        };
        let settings = &terms.settings;
        Shared {
            own: Arc::new(OwnAddresses::new(&settings.listeners, &settings.names)),
            run: 0,
            clock_began_us: 0,
            probes: Arc::default(),
            flows: Arc::new(Flows::new(workers)),
            aliases: Arc::default(),
            past_us: Arc::default(),
            held: Arc::new(Held::new(Limits::new(settings.held_max, settings.held_bytes_max))),
            why: Arc::new(Why::new(workers, settings.why_calls, first.clone())),
            registrations: Arc::new(Registrations::new(&settings.register)),
            names: Arc::default(),
            reach: reach(&settings.listeners, true),
            counters: (0..workers.max(1)).map(|_| Arc::default()).collect(),
            keys: terms.keys.clone(),
            calls: terms.calls.clone(),
            selector: terms.selector.clone(),
            tables: terms.tables.clone(),
            settings: terms.settings.clone(),
            closing: terms.closing,
            ending: terms.ending,
            generation: terms.generation,
            board: Arc::new(Board {
                epoch: AtomicU64::new(first.epoch),
                published: ArcSwap::new(Arc::new(Published { snapshot: first, terms: Arc::new(terms) })),
            }),
        }
    }

    /// `run`: a random number from outside.
    pub fn started_as(self, run: u32) -> Shared {
        Shared { run, ..self }
    }

    /// `us`: the wall clock at [`base::Time::ZERO`], microseconds since 1970.
    pub fn with_clock(self, us: u64) -> Shared {
        Shared { clock_began_us: us, ..self }
    }

    /// The published terms.
    pub fn terms(&self) -> Arc<Terms> {
        self.board.published.load().terms.clone()
    }

    /// The same under the published terms, if these have changed.
    pub fn renewed(&self) -> Option<Shared> {
        self.under(&self.board.published.load().terms)
    }

    /// For a worker: the published snapshot, and this value under the terms published with it, if these have changed.
    pub(crate) fn published(&self) -> (Option<Shared>, Arc<Snapshot>) {
        let published = self.board.published.load();
        (self.under(&published.terms), published.snapshot.clone())
    }

    fn under(&self, terms: &Terms) -> Option<Shared> {
        (terms.generation != self.generation).then(|| Shared {
            settings: terms.settings.clone(),
            keys: terms.keys.clone(),
            calls: terms.calls.clone(),
            selector: terms.selector.clone(),
            tables: terms.tables.clone(),
            closing: terms.closing,
            ending: terms.ending,
            generation: terms.generation,
            ..self.clone()
        })
    }

    /// Why no new call should come now. `None`: some server takes new calls. A server that is at its limit for the moment
    /// counts; one that failed and has not answered since does not, unless only calls can show that it is back.
    pub fn not_ready(&self, snapshot: &Snapshot) -> Option<NotReady> {
        if self.ending {
            return Some(NotReady::Ending);
        }
        let by_calls_alone = self.settings.probe == Probe::Traffic;
        let takes = |server: &Server| server.takes_new_calls() && (by_calls_alone || !server.awaits_answer());
        (!snapshot.servers().iter().any(takes)).then_some(NotReady::NoServer)
    }

    /// Number of the published snapshot.
    pub fn epoch(&self) -> u64 {
        self.board.epoch.load(Acquire)
    }

    pub fn snapshot(&self) -> Arc<Snapshot> {
        self.board.published.load().snapshot.clone()
    }

    /// The control thread has new tables.
    pub fn publish(&self, snapshot: Arc<Snapshot>) {
        self.store(Published { snapshot, terms: self.terms() });
    }

    /// The control thread has new terms, and the tables for them.
    pub fn change(&self, mut terms: Terms, snapshot: Arc<Snapshot>) {
        terms.generation = self.terms().generation + 1;
        self.registrations.set(&terms.settings.register);
        self.store(Published { snapshot, terms: Arc::new(terms) });
    }

    fn store(&self, published: Published) {
        let epoch = published.snapshot.epoch;
        // Kept before it is used, so that a choice never names a snapshot that is not kept yet.
        self.why.publish(&published.snapshot);
        self.board.published.store(Arc::new(published));
        self.board.epoch.store(epoch, Release);
    }

    pub(crate) fn counters_of(&self, worker: u8) -> Arc<WorkerCounters> {
        self.counters[usize::from(worker) % self.counters.len()].clone()
    }

    /// The sum over all workers.
    pub fn count_of(&self, counter: Counter) -> u64 {
        self.counters.iter().map(|counters| counters.get(counter)).sum()
    }
}

fn selector(settings: &Settings, tables: &server_counters::ServerCounters) -> Arc<Selector> {
    let selector = Selector::new(settings, tables.admitted.clone(), tables.ledger.clone());
    Arc::new(selector.with_census(tables.census.clone()))
}
