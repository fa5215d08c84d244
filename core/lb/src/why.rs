//! Why this server: a record of each choice of a server for a call, kept in a bounded ring per worker and put into words on
//! request. The worker writes numbers only: which call, when, by which snapshot, which server won, and what selection counted
//! at that moment. It takes no allocation and no lock, and a message that chooses nothing costs nothing. The rest (addresses,
//! scores, weights, which servers were excluded and why) is read from the snapshot of that number, which is kept beside the
//! rings.

use std::collections::VecDeque;
use std::sync::atomic::Ordering::{Acquire, Relaxed, Release};
use std::sync::atomic::{AtomicU64, fence};
use std::sync::{Arc, Mutex};

use base::Time;

use crate::farm::server::ServerId;
use crate::farm::snapshot::Snapshot;
use crate::selection::Selector;
use crate::settings::Selection;
use crate::signed::keyring::CallKey;

pub mod explain;

/// Servers whose figure is kept with a choice: the winner and those behind it in the table. This is the whole farm unless it
/// is larger; of a larger farm, the part that fits an entry.
pub const FIGURES: usize = 16;
/// Servers for which one bit each says whether they had room.
const ROOMS: usize = 64;
/// Bytes of the Call-ID that are kept, for the log; a call is found by the hash. Phones make some 30 to 50 bytes.
const CALL_ID_BYTES: usize = 64;
/// Snapshots kept: those of a minute, at the ten a second that changed figures cause at most.
const SNAPSHOTS_MAX: usize = 600;
/// Rows of all snapshots that are kept, some 250 bytes each: a farm of thousands keeps fewer snapshots.
const ROWS_MAX: usize = 65_536;

const FIGURE_WORDS: usize = FIGURES / 2;
const CALL_ID_WORDS: usize = CALL_ID_BYTES / 8;
/// Number, call, time, epoch, winner and former server, kind and lengths, rooms; then figures, Call-ID and limits.
const WORDS: usize = AT_LIMIT + 1;
/// Where the servers at a limit are noted.
const AT_LIMIT: usize = 7 + FIGURE_WORDS + CALL_ID_WORDS;

/// The kind of a choice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Kind {
    /// A new call, given to a server by the selection.
    Selected = 1,
    /// A new call, given to the server of its hash: the memory of calls was full.
    Hashed = 2,
    /// A new call that no server could take: 503.
    Refused = 3,
    /// A message of a known call whose server is gone (SPEC A9).
    TakenOver = 4,
    /// A held set-up whose server failed before it answered.
    MovedFailed = 5,
    /// A held set-up whose server was silent.
    MovedSilent = 6,
    /// A call that a server began: it belongs to that server.
    FromServer = 7,
    /// A held set-up whose server said that it is full.
    MovedFull = 8,
    /// A held set-up that its server refused by its own fault.
    MovedRefused = 9,
    /// The request itself named the server: a new call, or one that was at another server before.
    Named = 10,
}

impl Kind {
    const ALL: [Kind; 10] = [
        Kind::Selected,
        Kind::Hashed,
        Kind::Refused,
        Kind::TakenOver,
        Kind::MovedFailed,
        Kind::MovedSilent,
        Kind::FromServer,
        Kind::MovedFull,
        Kind::MovedRefused,
        Kind::Named,
    ];

    /// The name in reports and logs.
    pub const fn name(self) -> &'static str {
        match self {
            Kind::Selected => "new call",
            Kind::Hashed => "new call by hash",
            Kind::Refused => "no server",
            Kind::TakenOver => "taken over",
            Kind::MovedFailed => "set-up moved: server failed",
            Kind::MovedSilent => "set-up moved: server silent",
            Kind::FromServer => "begun by the server",
            Kind::MovedFull => "set-up moved: server full",
            Kind::MovedRefused => "set-up moved: server refused it",
            Kind::Named => "named by the request",
        }
    }

    fn of(code: u64) -> Option<Kind> {
        Kind::ALL.into_iter().find(|kind| *kind as u64 == code)
    }
}

/// A choice, as it is noted.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Note<'a> {
    pub kind: Kind,
    pub call: CallKey,
    pub call_id: &'a [u8],
    /// `None`: no server.
    pub winner: Option<ServerId>,
    /// The server that had the call before.
    pub from: Option<ServerId>,
}

/// A choice, as it is read again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Choice {
    /// Rises by one with each choice of the worker.
    pub number: u64,
    pub worker: u8,
    pub at: Time,
    pub kind: Kind,
    pub selection: Selection,
    pub call: CallKey,
    /// The beginning of the Call-ID, and the length of the whole (as far as 16 bits count).
    pub call_id: Vec<u8>,
    pub call_id_bytes: u16,
    pub epoch: u64,
    pub winner: Option<ServerId>,
    pub from: Option<ServerId>,
    /// The counts of selection for the winner and the servers behind it, before this call was counted. Empty: not noted.
    pub figures: Vec<u32>,
    /// Bit i: the i-th server from the winner on was open to new calls but had no room.
    pub full: u64,
    /// Bit i: it was at a limit of the configuration.
    pub at_limit: u64,
}

/// The choices of one worker; only that worker writes.
pub struct Ring {
    entries: Box<[Cell]>,
    /// Choices noted since the start.
    noted: AtomicU64,
}

#[repr(align(64))]
struct Cell([AtomicU64; WORDS]);

impl Ring {
    fn new(entries: usize) -> Ring {
        let cell = || Cell(std::array::from_fn(|_| AtomicU64::new(0)));
        Ring { entries: (0..entries).map(|_| cell()).collect(), noted: AtomicU64::new(0) }
    }

    /// Notes a choice, before it is counted.
    pub(crate) fn note(&self, now: Time, snapshot: &Snapshot, selector: &Selector, note: &Note<'_>) {
        if self.entries.is_empty() {
            return;
        }
        let number = self.noted.load(Relaxed);
        // A modulo by a variable costs more than all stores; sizes are powers of two.
        let cell = &self.entries[number as usize & (self.entries.len() - 1)].0;
        cell[0].store(0, Relaxed);
        // A reader that sees one of the words below sees the zero above, too.
        fence(Release);
        let id = |server: Option<ServerId>| server.map_or(0, |server| u64::from(server.0));
        cell[1].store(note.call.0, Relaxed);
        cell[2].store(now.as_micros(), Relaxed);
        cell[3].store(snapshot.epoch, Relaxed);
        cell[4].store(id(note.winner) << 32 | id(note.from), Relaxed);
        let (figures, full, at_limit) = match note.kind {
            Kind::Selected
            | Kind::Refused
            | Kind::MovedFailed
            | Kind::MovedSilent
            | Kind::MovedFull
            | Kind::MovedRefused => figures(cell, now, snapshot, selector, note.winner),
            Kind::Hashed | Kind::TakenOver | Kind::FromServer | Kind::Named => (0, 0, 0),
        };
        let flags = u64::from(note.winner.is_some()) | u64::from(note.from.is_some()) << 1;
        let length = note.call_id.len().min(usize::from(u16::MAX)) as u64;
        let selection = selector.selection() as u64;
        cell[5]
            .store(note.kind as u64 | flags << 8 | figures << 16 | selection << 24 | length << 32, Relaxed);
        cell[6].store(full, Relaxed);
        cell[AT_LIMIT].store(at_limit, Relaxed);
        // One copy of variable length, then stores of fixed length: a quarter of the instructions of word by word.
        let mut text = [0u8; CALL_ID_BYTES];
        let kept = note.call_id.len().min(CALL_ID_BYTES);
        text[..kept].copy_from_slice(&note.call_id[..kept]);
        for (word, bytes) in cell[7 + FIGURE_WORDS..AT_LIMIT].iter().zip(text.as_chunks::<8>().0) {
            word.store(u64::from_le_bytes(*bytes), Relaxed);
        }
        cell[0].store(number + 1, Release);
        self.noted.store(number + 1, Release);
    }

    /// The choice with this number, unless it was overwritten; numbers begin with 0.
    fn read(&self, worker: u8, number: u64) -> Option<Choice> {
        let cell = &self.entries.get(number as usize & (self.entries.len().wrapping_sub(1)))?.0;
        if cell[0].load(Acquire) != number + 1 {
            return None;
        }
        let words: [u64; WORDS] = std::array::from_fn(|at| cell[at].load(Relaxed));
        fence(Acquire);
        if cell[0].load(Relaxed) != number + 1 {
            return None;
        }
        let flags = words[5] >> 8 & 0xFF;
        let figures = (words[5] >> 16 & 0xFF) as usize;
        let length = (words[5] >> 32) as u16;
        let text: Vec<u8> =
            words[7 + FIGURE_WORDS..AT_LIMIT].iter().flat_map(|word| word.to_le_bytes()).collect();
        let id = |set: u64, half: u64| (flags & set != 0).then_some(ServerId(half as u32));
        Some(Choice {
            number,
            worker,
            at: Time::from_micros(words[2]),
            kind: Kind::of(words[5] & 0xFF)?,
            selection: selection_of(words[5] >> 24 & 0xFF)?,
            call: CallKey(words[1]),
            call_id: text[..usize::from(length).min(CALL_ID_BYTES)].to_vec(),
            call_id_bytes: length,
            epoch: words[3],
            winner: id(1, words[4] >> 32),
            from: id(2, words[4]),
            figures: (0..figures.min(FIGURES))
                .map(|at| (words[7 + at / 2] >> (32 * (at % 2))) as u32)
                .collect(),
            full: words[6],
            at_limit: words[AT_LIMIT],
        })
    }

    fn noted(&self) -> u64 {
        self.noted.load(Acquire)
    }

    fn oldest(&self) -> u64 {
        self.noted().saturating_sub(self.entries.len() as u64)
    }
}

fn selection_of(code: u64) -> Option<Selection> {
    use Selection::{Cjsq, Hash, LeastLoaded, RoundRobin, Score, Tjsq, Tlwl};
    let all = [Hash, RoundRobin, LeastLoaded, Score, Cjsq, Tjsq, Tlwl];
    all.into_iter().find(|selection| *selection as u64 == code)
}

/// Writes the figures from the winner on. Returns how many there are, and which servers had no room, or were at a
/// limit, although selection might have named them.
fn figures(
    cell: &[AtomicU64; WORDS],
    now: Time,
    snapshot: &Snapshot,
    selector: &Selector,
    winner: Option<ServerId>,
) -> (u64, u64, u64) {
    let servers = snapshot.servers();
    let first = winner.and_then(|winner| snapshot.position(winner)).map_or(0, usize::from);
    let (before, from_first) = servers.split_at(first);
    let mut figures = [0u32; FIGURES];
    selector.figures(from_first, before, &mut figures);
    let count = servers.len().min(FIGURES);
    for (word, pair) in cell[7..].iter().zip(figures.as_chunks::<2>().0).take(count.div_ceil(2)) {
        word.store(u64::from(pair[0]) | u64::from(pair[1]) << 32, Relaxed);
    }
    let (mut full, mut at_limit) = (0, 0);
    if snapshot.active().limited() {
        for (bit, server) in from_first.iter().chain(before).take(ROOMS).enumerate() {
            let may_be = server.takes_new_calls();
            full |= u64::from(may_be && !selector.admitted().has_room(server)) << bit;
            at_limit |= u64::from(may_be && selector.is_at_limit(now, server)) << bit;
        }
    }
    (count as u64, full, at_limit)
}

/// The rings of all workers, and the snapshots that their choices were made by.
pub struct Why {
    rings: Vec<Arc<Ring>>,
    snapshots: Mutex<VecDeque<Arc<Snapshot>>>,
}

impl Why {
    /// `choices`: how many each worker keeps, rounded up to a power of two; 0: none, and nothing is noted.
    pub fn new(workers: u8, choices: usize, first: Arc<Snapshot>) -> Why {
        let entries = if choices == 0 { 0 } else { choices.next_power_of_two() };
        let rings = (0..workers.max(1)).map(|_| Arc::new(Ring::new(entries))).collect();
        Why { rings, snapshots: Mutex::new(VecDeque::from([first])) }
    }

    pub(crate) fn ring(&self, worker: u8) -> Arc<Ring> {
        Arc::clone(&self.rings[usize::from(worker) % self.rings.len()])
    }

    /// Whether choices are noted at all.
    pub fn is_kept(&self) -> bool {
        self.rings.iter().any(|ring| !ring.entries.is_empty())
    }

    /// The control thread has new tables.
    pub(crate) fn publish(&self, snapshot: &Arc<Snapshot>) {
        if !self.is_kept() {
            return;
        }
        let mut kept = self.lock();
        kept.push_back(Arc::clone(snapshot));
        let mut rows: usize = kept.iter().map(|snapshot| snapshot.servers().len()).sum();
        while kept.len() > 1 && (kept.len() > SNAPSHOTS_MAX || rows > ROWS_MAX) {
            rows -= kept.pop_front().map_or(0, |oldest| oldest.servers().len());
        }
    }

    /// The snapshot with this number, if it is still kept.
    pub fn snapshot(&self, epoch: u64) -> Option<Arc<Snapshot>> {
        let kept = self.lock();
        let at = kept.binary_search_by_key(&epoch, |snapshot| snapshot.epoch).ok()?;
        kept.get(at).cloned()
    }

    /// All choices for this call that are still kept, the oldest first.
    pub fn of_call(&self, call: CallKey) -> Vec<Choice> {
        let mut found = Vec::new();
        for (ring, worker) in self.rings.iter().zip(0..) {
            for number in ring.oldest()..ring.noted() {
                let cell = &ring.entries[number as usize & (ring.entries.len() - 1)].0;
                if cell[1].load(Relaxed) == call.0 {
                    found.extend(ring.read(worker, number).filter(|choice| choice.call == call));
                }
            }
        }
        found.sort_by_key(|choice| choice.at);
        found
    }

    /// The newest `count` choices of all workers, the oldest of them first.
    pub fn newest(&self, count: usize) -> Vec<Choice> {
        let mut found = Vec::new();
        for (ring, worker) in self.rings.iter().zip(0..) {
            let from = ring.oldest().max(ring.noted().saturating_sub(count as u64));
            found.extend((from..ring.noted()).filter_map(|number| ring.read(worker, number)));
        }
        found.sort_by_key(|choice| choice.at);
        found.split_off(found.len().saturating_sub(count))
    }

    /// The choices noted since `after`, which is moved on: at most `count` of each worker. Second: how many were
    /// overwritten before they could be read.
    pub fn follow(&self, after: &mut Follower, count: usize) -> (Vec<Choice>, u64) {
        after.0.resize(self.rings.len(), 0);
        let (mut found, mut missed) = (Vec::new(), 0);
        for ((ring, worker), next) in self.rings.iter().zip(0..).zip(&mut after.0) {
            let from = ring.oldest().max(*next);
            let end = ring.noted().min(from + count as u64);
            let before = found.len();
            found.extend((from..end).filter_map(|number| ring.read(worker, number)));
            missed += end - *next - (found.len() - before) as u64;
            *next = end;
        }
        found.sort_by_key(|choice| choice.at);
        (found, missed)
    }

    /// The follower skips all choices noted until now.
    pub fn skip(&self, after: &mut Follower) {
        after.0 = self.rings.iter().map(|ring| ring.noted()).collect();
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, VecDeque<Arc<Snapshot>>> {
        self.snapshots.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

/// How far a reader of all choices has come, by worker.
#[derive(Clone, Debug, Default)]
pub struct Follower(Vec<u64>);

#[cfg(test)]
mod tests;
