//! How the server for a new call is chosen: one file per policy, each a function from a snapshot to a position. A policy
//! never waits, never allocates, never names a server without room, and never fails open: if there is no candidate, the
//! answer is 503 (SPEC A5, A6).

use crate::farm::admitted::Admitted;
use std::sync::Arc;

use base::{Chance, Time};

use crate::farm::active_table::{Candidate, Tier};
use crate::farm::room::Room;
use crate::farm::server::Server;
use crate::farm::snapshot::Snapshot;
use crate::memory::ledger::{Ledger, Unit};
use crate::settings::{HashKind, Selection, Settings};

pub mod hash;
pub mod known;
pub mod least_loaded;
pub mod round_robin;
pub mod score;
pub mod shortest_queue;

/// Candidates tried for one call: more failures in a row than this mean that the farm is gone.
const CANDIDATES_MAX: usize = 8;

/// Servers that a policy of the minimum compares for one call. In a farm up to this size the choice is the exact minimum. In
/// a larger farm it is the minimum of this many servers taken at random. With 99 % this server is among the least 7 % of all
/// (0.93^64 < 0.01), and the cost for a call is no higher in a farm of a thousand.
const COMPARED_MAX: usize = 64;
/// Steps through the active table: primes above its largest size, so that each step visits every server once.
const STRIDES: [usize; 8] = [65_537, 65_539, 65_543, 65_551, 65_557, 65_563, 65_579, 65_581];

/// The policies that can be chosen.
#[derive(Debug)]
enum Policy {
    Hash(HashKind),
    RoundRobin(round_robin::RoundRobin),
    LeastLoaded(round_robin::RoundRobin),
    Score,
    ShortestQueue(Arc<Ledger>),
}

/// A policy ready for use; one for all workers.
#[derive(Debug)]
pub struct Selector {
    selection: Selection,
    policy: Policy,
    room: Room,
}

impl Selector {
    /// `ledger` comes from [`Ledger::for_settings`]; a policy that counts chooses as round robin if it has no ledger.
    pub fn new(settings: &Settings, admitted: Arc<Admitted>, ledger: Option<Arc<Ledger>>) -> Selector {
        Selector::of(settings.selection, settings.hash, admitted, ledger)
    }

    pub fn of(
        selection: Selection,
        hash: HashKind,
        admitted: Arc<Admitted>,
        ledger: Option<Arc<Ledger>>,
    ) -> Selector {
        let round_robin = round_robin::RoundRobin::default;
        let policy = match (selection, ledger) {
            (Selection::Hash, _) => Policy::Hash(hash),
            (Selection::LeastLoaded, _) => Policy::LeastLoaded(round_robin()),
            (Selection::Score, _) => Policy::Score,
            (Selection::Cjsq | Selection::Tjsq | Selection::Tlwl, Some(ledger)) => {
                Policy::ShortestQueue(ledger)
            }
            (Selection::RoundRobin | Selection::Cjsq | Selection::Tjsq | Selection::Tlwl, _) => {
                Policy::RoundRobin(round_robin())
            }
        };
        let counts_calls = |ledger: &&Arc<Ledger>| ledger.unit() == Unit::Calls;
        let census = match &policy {
            Policy::ShortestQueue(ledger) => Some(ledger).filter(counts_calls).cloned(),
            Policy::Hash(_) | Policy::RoundRobin(_) | Policy::LeastLoaded(_) | Policy::Score => None,
        };
        Selector { selection, policy, room: Room { admitted, census } }
    }

    /// `census`: where calls in progress are counted, if they are; servers with `calls_max` need it.
    pub fn with_census(mut self, census: Option<Arc<Ledger>>) -> Selector {
        self.room.census = census;
        self
    }

    /// Servers for a new call with this hash (`affinity::hash::call_hash`), the first choice first, no server twice. A server
    /// comes after all of a better priority.
    pub fn candidates<'a, 'c>(
        &'a self,
        now: Time,
        snapshot: &'a Snapshot,
        hash: u64,
        chance: &'c mut Chance,
    ) -> Candidates<'a, 'c> {
        Candidates { selector: self, now, snapshot, hash, tried: [0; CANDIDATES_MAX], tried_count: 0, chance }
    }

    /// To be called once for each new call that goes to the server.
    pub fn admit(&self, now: Time, server: &Server) {
        self.room.admitted.admit(server.seat.slot);
        if let Some(pace) = &server.pace {
            pace.note(now);
        }
    }

    pub fn admitted(&self) -> &Admitted {
        &self.room.admitted
    }

    /// The server takes new calls and has room for one more.
    pub(crate) fn has_room(&self, now: Time, server: &Server) -> bool {
        self.room.is_there(now, server)
    }

    /// The server is at a limit of the configuration.
    pub(crate) fn is_at_limit(&self, now: Time, server: &Server) -> bool {
        self.room.is_at_limit(now, server)
    }

    /// A new call came: counts it for each server that is at its limit. True: there is such a server.
    pub(crate) fn note_limits(&self, now: Time, snapshot: &Snapshot) -> bool {
        let mut found = false;
        for &position in snapshot.active().with_limits() {
            let server = &snapshot.servers()[usize::from(position)];
            if self.is_at_limit(now, server) {
                self.room.admitted.note_at_limit(server.seat.slot);
                found = true;
            }
        }
        found
    }

    pub fn selection(&self) -> Selection {
        self.selection
    }

    /// Writes the policy's count for these servers and those, as many as fit: the amount in progress, in hundredths, or the
    /// calls since the heartbeat.
    pub(crate) fn figures(&self, these: &[Server], those: &[Server], figures: &mut [u32]) {
        let servers = these.iter().chain(those);
        match &self.policy {
            Policy::ShortestQueue(ledger) => {
                for (server, figure) in servers.zip(figures) {
                    *figure = ledger.count(server.seat.slot);
                }
            }
            Policy::Hash(_) | Policy::RoundRobin(_) | Policy::LeastLoaded(_) | Policy::Score => {
                for (server, figure) in servers.zip(figures) {
                    *figure = self.room.admitted.since_heartbeat(server);
                }
            }
        }
    }
}

/// The question to a policy: a server of this tier.
pub(crate) struct Ask<'a> {
    pub(crate) snapshot: &'a Snapshot,
    pub(crate) tier: &'a Tier,
    pub(crate) admitted: &'a Admitted,
    pub(crate) hash: u64,
    now: Time,
    room: &'a Room,
    tried: &'a [u16],
}

impl Ask<'_> {
    /// The server at this position may be named: it is of this tier, has room and was not named before.
    pub(crate) fn usable(&self, position: u16) -> bool {
        let server = &self.snapshot.servers()[usize::from(position)];
        server.priority == self.tier.priority()
            && !self.tried.contains(&position)
            && self.room.is_there(self.now, server)
    }

    /// [`Ask::usable`] for a server of the active table, which has nearly all the data at hand.
    pub(crate) fn is_open(&self, candidate: &Candidate) -> bool {
        let since = || self.admitted.since(candidate.slot, candidate.admitted_before);
        let server = || &self.snapshot.servers()[usize::from(candidate.position)];
        candidate.residual_calls.is_none_or(|residual| since() < residual)
            && !(candidate.has_limit && self.room.is_at_limit(self.now, server()))
            && !self.tried.contains(&candidate.position)
    }

    /// The servers among which a policy of the minimum chooses, beginning at a random place: at most [`COMPARED_MAX`], or all
    /// if none of these is open. The caller draws `random`.
    pub(crate) fn compared(&self, random: u64) -> impl Iterator<Item = &Candidate> + Clone {
        let active = self.tier.active();
        let from = (random >> 8).checked_rem(active.len() as u64).unwrap_or(0) as usize;
        // Steps rather than neighbours: earlier calls have evened out neighbouring servers.
        let stride = STRIDES[(random & 7) as usize].checked_rem(active.len()).unwrap_or(0);
        let mut at = from;
        let in_turn = (0..active.len()).map(move |_| {
            let candidate = &active[at];
            at = if at + stride >= active.len() { at + stride - active.len() } else { at + stride };
            candidate
        });
        let some_open =
            self.all_usable() || in_turn.clone().take(COMPARED_MAX).any(|candidate| self.is_open(candidate));
        let compared = if some_open { COMPARED_MAX } else { active.len() };
        in_turn.take(compared).filter(|candidate| self.is_open(candidate))
    }

    /// Every server of the tier is usable, so none need be checked.
    pub(crate) fn all_usable(&self) -> bool {
        self.tried.is_empty() && !self.snapshot.active().limited()
    }
}

/// Servers for one new call, in order.
pub struct Candidates<'a, 'c> {
    selector: &'a Selector,
    now: Time,
    snapshot: &'a Snapshot,
    hash: u64,
    tried: [u16; CANDIDATES_MAX],
    tried_count: usize,
    chance: &'c mut Chance,
}

impl<'a> Iterator for Candidates<'a, '_> {
    type Item = &'a Server;

    fn next(&mut self) -> Option<&'a Server> {
        if self.tried_count == CANDIDATES_MAX {
            return None;
        }
        let Selector { policy, room, .. } = self.selector;
        let (snapshot, chance) = (self.snapshot, &mut *self.chance);
        let tried = &self.tried[..self.tried_count];
        let position = snapshot.active().tiers().iter().find_map(|tier| {
            let (now, hash, admitted) = (self.now, self.hash, &*room.admitted);
            let ask = Ask { snapshot, tier, admitted, hash, now, room, tried };
            match policy {
                Policy::Hash(kind) => hash::pick(&ask, *kind),
                Policy::RoundRobin(round_robin) => round_robin.pick(&ask),
                Policy::LeastLoaded(round_robin) => least_loaded::pick(&ask, round_robin, chance),
                Policy::Score => score::pick(&ask, chance),
                Policy::ShortestQueue(ledger) => shortest_queue::pick(&ask, ledger, chance),
            }
        })?;
        self.tried[self.tried_count] = position;
        self.tried_count += 1;
        Some(&snapshot.servers()[usize::from(position)])
    }
}
