//! A choice together with the table that it was made by: every server with the figures that selection saw, and why it was not
//! a candidate.

use std::fmt;

use crate::farm::condition::{Cause, Condition};
use crate::farm::server::{Score, Server};
use crate::farm::snapshot::Snapshot;
use crate::settings::{HashKind, Selection, Settings};
use crate::why::{Choice, FIGURES, Kind, ROOMS, Why};

/// A choice in full.
#[derive(Clone, Debug)]
pub struct Explanation {
    pub choice: Choice,
    /// The selection at that moment. [`Explanation::by`] says whether it decided.
    pub selection: Selection,
    /// The deciding rule: the selection, the hash of the Call-ID, or another.
    pub by: By,
    /// In the order of the index. Empty: the table of that moment is no longer kept.
    pub candidates: Vec<Candidate>,
}

/// The rule that named the winner.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum By {
    Selection(Selection),
    Hash(HashKind),
    /// The server itself began the call.
    Itself,
    /// The Request-URI or the next Route.
    Request,
}

/// One server of the farm at that moment.
#[derive(Clone, Debug)]
pub struct Candidate {
    pub server: Server,
    pub won: bool,
    /// Why the server could not be named; `None`: it could be named.
    pub excluded: Option<Excluded>,
    /// The count of selection for this server: calls or transactions in progress, in hundredths, if the selection counts
    /// them; else calls given to it since its last heartbeat (since the start, if it sends none).
    pub counted: Option<u32>,
    /// The share of new calls that the policy gave it at that moment, if the policy draws.
    pub share_permille: Option<u32>,
}

/// Why a server was no candidate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Excluded {
    /// It had failed: it gets no calls at all.
    Failed(Cause),
    /// For known calls only: draining, drained, full.
    KnownCallsOnly(Cause),
    /// It took no more calls at its last heartbeat, or has been given as many since as it takes.
    NoRoom,
    /// It was at one of its limits, which are these.
    AtLimit { calls_max: Option<u32>, calls_per_second_max: Option<u32> },
    /// A server of a better priority got the call.
    Behind { priority: u8, winner: u8 },
    /// A score of zero is never drawn (SPEC B2).
    ZeroScore,
    /// It had the call and lost it.
    HadTheCall,
}

impl fmt::Display for Excluded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Excluded::Failed(cause) => write!(f, "failed: {cause}"),
            Excluded::KnownCallsOnly(cause) => write!(f, "known calls only: {cause}"),
            Excluded::NoRoom => f.write_str("no room for one more call"),
            Excluded::AtLimit { calls_max, calls_per_second_max } => {
                let limits = [("calls_max", calls_max), ("calls_per_second_max", calls_per_second_max)];
                let limits =
                    limits.into_iter().filter_map(|(name, max)| Some(format!("{name} {}", max.as_ref()?)));
                write!(f, "at its limit: {}", limits.collect::<Vec<_>>().join(" or "))
            }
            Excluded::Behind { priority, winner } => {
                write!(f, "priority {priority}: a server of priority {winner} took the call")
            }
            Excluded::ZeroScore => f.write_str("its score is 0"),
            Excluded::HadTheCall => f.write_str("it had the call before"),
        }
    }
}

/// Explains the choice by its table, which `why` keeps.
pub fn explain(why: &Why, settings: &Settings, choice: Choice) -> Explanation {
    let selection = choice.selection;
    let by = match choice.kind {
        Kind::Selected
        | Kind::Refused
        | Kind::MovedFailed
        | Kind::MovedSilent
        | Kind::MovedFull
        | Kind::MovedRefused => match selection {
            Selection::Hash => By::Hash(settings.hash),
            other => By::Selection(other),
        },
        Kind::Hashed | Kind::TakenOver => By::Hash(settings.hash_kind()),
        Kind::FromServer => By::Itself,
        Kind::Named => By::Request,
    };
    let candidates = match why.snapshot(choice.epoch) {
        Some(snapshot) => candidates(&choice, &snapshot, by),
        None => Vec::new(),
    };
    Explanation { choice, selection, by, candidates }
}

fn candidates(choice: &Choice, snapshot: &Snapshot, by: By) -> Vec<Candidate> {
    let servers = snapshot.servers();
    let winner = choice.winner.and_then(|winner| snapshot.by_id(winner));
    let first = choice.winner.and_then(|winner| snapshot.position(winner)).map_or(0, usize::from);
    let noted = |position: usize| (position + servers.len() - first) % servers.len();
    let is_new = !matches!(choice.kind, Kind::Hashed | Kind::TakenOver | Kind::FromServer | Kind::Named);
    let mut all: Vec<Candidate> = servers
        .iter()
        .enumerate()
        .map(|(position, server)| {
            let place = noted(position);
            let noted = |bits: u64| place < ROOMS && bits >> place & 1 == 1;
            let room = NoRoom { full: noted(choice.full), at_limit: noted(choice.at_limit) };
            let behind = winner.filter(|winner| is_new && server.priority > winner.priority);
            let behind =
                behind.map(|winner| Excluded::Behind { priority: server.priority, winner: winner.priority });
            Candidate {
                server: server.clone(),
                won: choice.winner == Some(server.id),
                excluded: excluded(choice, server, is_new, room, by).or(behind),
                counted: choice.figures.get(place).filter(|_| place < FIGURES).copied(),
                share_permille: None,
            }
        })
        .collect();
    share(&mut all, by);
    all.sort_by_key(|candidate| candidate.server.index);
    all
}

/// What was noted of a server that might have been named.
#[derive(Clone, Copy)]
struct NoRoom {
    full: bool,
    at_limit: bool,
}

fn excluded(choice: &Choice, server: &Server, is_new: bool, room: NoRoom, by: By) -> Option<Excluded> {
    match server.condition {
        // The condition may have changed between the choice and its cause; the winner still won.
        _ if choice.winner == Some(server.id) => None,
        Condition::Failed => Some(Excluded::Failed(server.cause)),
        _ if choice.from == Some(server.id) => Some(Excluded::HadTheCall),
        Condition::KnownCallsOnly if is_new => Some(Excluded::KnownCallsOnly(server.cause)),
        Condition::Active | Condition::Trial if is_new && (room.full || server.residual_calls == Some(0)) => {
            Some(Excluded::NoRoom)
        }
        Condition::Active | Condition::Trial if is_new && room.at_limit => Some(Excluded::AtLimit {
            calls_max: server.calls_max,
            calls_per_second_max: server.pace.as_ref().map(|pace| pace.per_second_max()),
        }),
        Condition::Active | Condition::Trial
            if by == By::Selection(Selection::Score)
                && server.score.is_some_and(|score| score == Score::default()) =>
        {
            Some(Excluded::ZeroScore)
        }
        Condition::Active | Condition::Trial | Condition::KnownCallsOnly => None,
    }
}

/// Sets the share of each candidate, if the policy gives shares.
fn share(all: &mut [Candidate], by: By) {
    let weight = |candidate: &Candidate| u64::from(candidate.server.weight);
    let part = |candidate: &Candidate, mean: u64| match by {
        By::Selection(Selection::RoundRobin) => Some(weight(candidate)),
        By::Selection(Selection::Score) => {
            let score = candidate.server.score.map_or(mean, |score| u64::from(score.hundredths()));
            Some(score * weight(candidate))
        }
        By::Selection(Selection::LeastLoaded | Selection::Cjsq | Selection::Tjsq | Selection::Tlwl)
        | By::Selection(Selection::Hash)
        | By::Hash(_)
        | By::Itself
        | By::Request => None,
    };
    let open = |candidate: &&Candidate| candidate.excluded.is_none();
    let scores: Vec<u64> = all
        .iter()
        .filter(open)
        .filter_map(|candidate| candidate.server.score.map(|score| score.hundredths().into()))
        .collect();
    // A server without figures counts as an average one, as in the active table.
    let mean = (scores.iter().sum::<u64>()).checked_div(scores.len() as u64).unwrap_or(1);
    let sum: u64 = all.iter().filter(open).filter_map(|candidate| part(candidate, mean)).sum();
    for candidate in all.iter_mut().filter(|candidate| candidate.excluded.is_none()) {
        candidate.share_permille =
            part(candidate, mean).and_then(|part| (part * 1000).checked_div(sum)).map(|share| share as u32);
    }
}
