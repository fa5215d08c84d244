//! What the agent beside a server of a cluster does when that server dies: it has a replica promoted that was in step, and lets
//! the server start again only when another one has its partitions. A server without an appended file comes back empty; as the
//! primary that it was, it would empty its replicas too.
//!
//! **In step** is a replica that the primary listed as connected and as one that may be promoted, for a second or more, until a
//! second or less before its end; that said itself, within the last second, that it is connected; and that has, after the end,
//! as much as it had said before. Each write that an engine takes for kept is there. A replica that is not in step is left to
//! the cluster's own failover, which may take it or not.
//!
//! Times are those of the questions, not of the answers: an agent that stood still finds answers that are old.

mod follower;
mod held;
#[cfg(test)]
mod tests;
mod word;

use std::collections::BTreeMap;

use base::{Duration, Time};

use follower::{FRESH, Follower};
pub use held::Held;
pub use word::Word;

/// Between two questions to a server, while its neighbour lives. Three answers are a fraction of a millisecond of a server.
pub const LOOK_EVERY: Duration = Duration::from_millis(200);
/// The same after its end: it waits for a promotion, which takes a server 0.1 s.
const LOOK_EVERY_AFTER: Duration = Duration::from_millis(20);
/// The same when that has lasted for [`SOON`].
const LOOK_EVERY_LATE: Duration = Duration::from_millis(200);
/// A promotion that was asked for has come after this time, or the cluster's own failover (3.6 s) has.
const SOON: Duration = Duration::from_secs(5);
/// If a replica does not say within this time what it has, the next one is asked.
const CANDIDATE_PATIENCE: Duration = Duration::from_millis(150);
/// Servers vote for one replica of a primary within two node timeouts, 3 s; another one would ask in vain before.
const FORCE_PATIENCE: Duration = Duration::from_millis(3_200);
/// Promotions that are asked for after one death.
const FORCES_MAX: u32 = 3;
/// No replica stands for election by itself after ten node timeouts and the period of its pings, 25 s. Where none has records,
/// nothing is lost if the server starts then.
const NOBODY_AFTER: Duration = Duration::from_secs(30);
/// Between two lines of the log while a server may not start.
const REMIND_EVERY: Duration = Duration::from_secs(10);
/// Servers of a cluster that are asked. More are none of one farm.
pub(crate) const PEERS_MAX: usize = 32;

/// What is to be done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Ask this server for a [`Word`].
    Look(Box<str>),
    /// Have this replica promoted: `CLUSTER FAILOVER FORCE`.
    Force(Box<str>),
    /// For the log.
    Say(String),
    /// The same; somebody must do something.
    Warn(String),
}

/// The server has died.
#[derive(Debug)]
struct Death {
    at: Time,
    /// Those in step that are not asked for yet, the best one last.
    candidates: Vec<(Box<str>, u64)>,
    /// The last of them is asked what it has since then.
    asked: Time,
    /// One is to be promoted since then, and what it had said that it has.
    forced: Option<(Box<str>, u64, Time)>,
    forces: u32,
    /// When a replica last said that it has records of this server.
    records: Option<(Box<str>, Time)>,
    reminded: Time,
}

#[derive(Debug)]
enum Phase {
    /// It lives, or may be started.
    Open,
    Dead(Death),
}

/// See the head of this module.
#[derive(Debug)]
pub struct Failover {
    own: Box<str>,
    held: Held,
    /// Whether it has said something since its start.
    known: bool,
    /// Whether its last word was that it serves, or is connected to its primary.
    settled: bool,
    followers: BTreeMap<Box<str>, Follower>,
    phase: Phase,
    look_at: Time,
}

impl Failover {
    /// For the server that the others know at `own`. `held`: what an earlier agent has left.
    pub fn new(own: &str, held: Held, now: Time) -> Failover {
        Failover {
            own: own.into(),
            held,
            known: false,
            settled: false,
            followers: BTreeMap::new(),
            phase: Phase::Open,
            look_at: now,
        }
    }

    /// What another agent would have to know.
    pub fn held(&self) -> &Held {
        &self.held
    }

    /// Whether the server may be started: while it is dead, another one must have its partitions first.
    pub fn may_start(&self) -> bool {
        matches!(self.phase, Phase::Open)
    }

    /// Whether a promotion is on its way that this agent has asked for, or will ask for.
    pub fn is_forcing(&self) -> bool {
        match &self.phase {
            Phase::Dead(death) => death.forced.is_some() || !death.candidates.is_empty(),
            Phase::Open => false,
        }
    }

    /// Whether the server takes part: as a primary that serves, or as a replica that has its copy.
    pub fn is_settled(&self) -> bool {
        self.settled
    }

    /// Replicas that could be promoted now.
    pub fn in_step(&self, now: Time) -> usize {
        self.followers.values().filter(|one| one.in_step(now, Duration::ZERO)).count()
    }

    /// Whether the server is a primary with calls, as far as is known.
    pub fn is_primary(&self) -> bool {
        !self.held.nothing()
    }

    /// The time of the next [`Failover::tick`].
    pub fn wake(&self) -> Time {
        self.look_at
    }

    /// The server runs anew.
    pub fn started(&mut self, now: Time) {
        self.phase = Phase::Open;
        self.known = false;
        self.settled = false;
        self.followers.clear();
        self.look_at = now;
    }

    /// The server has died. `hung`: it had not answered for so long, and was killed for it.
    pub fn died(&mut self, hung: Duration, now: Time, out: &mut Vec<Effect>) {
        self.settled = false;
        if self.held.nothing() || self.held.peers.is_empty() {
            return;
        }
        let followers = std::mem::take(&mut self.followers);
        let mut candidates: Vec<(Box<str>, u64)> = followers
            .into_iter()
            .filter(|(_, follower)| follower.in_step(now, hung))
            .map(|(address, follower)| (address, follower.offset))
            .collect();
        candidates.sort_by_key(|(_, offset)| *offset);
        if candidates.is_empty() {
            let why = if self.known { "" } else { ", since it has not said anything yet" };
            out.push(Effect::Warn(format!(
                "no replica is known to be in step{why}: the cluster's own failover decides, and the server waits for it"
            )));
        }
        self.phase = Phase::Dead(Death {
            at: now,
            candidates,
            asked: now,
            forced: None,
            forces: 0,
            records: None,
            reminded: now,
        });
        self.look_at = now;
        self.tick(now, out);
    }

    /// Time has passed.
    pub fn tick(&mut self, now: Time, out: &mut Vec<Effect>) {
        let due = now >= self.look_at;
        let Phase::Dead(death) = &mut self.phase else {
            if due {
                out.push(Effect::Look(self.own.clone()));
                out.extend(self.followers.keys().cloned().map(Effect::Look));
                self.look_at = now + LOOK_EVERY;
            }
            return;
        };
        death.go_on(now, out);
        if death.is_over(&self.own, now, out) {
            self.phase = Phase::Open;
        } else if due {
            let soon = now.since(death.at) < SOON;
            out.extend(self.held.peers.iter().cloned().map(Effect::Look));
            self.look_at = now + if soon { LOOK_EVERY_AFTER } else { LOOK_EVERY_LATE };
        }
    }

    /// What a server has said.
    pub fn heard(&mut self, server: &str, word: &Word, now: Time, out: &mut Vec<Effect>) {
        match &mut self.phase {
            Phase::Open if server == &*self.own => self.own_word(word),
            Phase::Open => {
                let own = &self.own;
                if let Some(follower) = self.followers.get_mut(server) {
                    let connected = word.follows(server).is_some_and(|(primary, up)| up && primary == &**own);
                    follower.says(word, connected);
                }
            }
            Phase::Dead(death) if word.asked >= death.at => {
                if let Some(successor) = self.held.successor(&self.own, word) {
                    let after = now.since(death.at).as_millis();
                    out.push(Effect::Say(format!(
                        "{successor} is the primary now, {after} ms after the death; the server may start as its replica"
                    )));
                    self.phase = Phase::Open;
                } else {
                    death.heard(&self.own, server, word, now, out);
                }
            }
            Phase::Dead(_) => {}
        }
    }

    /// A server does not carry out what it was asked for.
    pub fn refused(&mut self, server: &str, why: &str, now: Time, out: &mut Vec<Effect>) {
        if let Phase::Dead(death) = &mut self.phase
            && death.forced.as_ref().is_some_and(|(forced, ..)| &**forced == server)
        {
            out.push(Effect::Warn(format!("the replica {server} is not promoted: {why}")));
            (death.forced, death.asked) = (None, now);
        }
    }

    fn own_word(&mut self, word: &Word) {
        self.known = true;
        self.held = Held::of(&self.own, word);
        self.settled = match word.follows(&self.own) {
            Some((_, connected)) => connected,
            None => word.serves || self.held.nothing(),
        };
        let connected = |address: &str| {
            word.replication.replicas.iter().any(|one| &*one.address == address && one.in_view)
        };
        let listed: Vec<&Box<str>> = word
            .cluster
            .replicas
            .iter()
            .filter(|one| one.primary == self.own && one.in_view && connected(&one.address))
            .map(|one| &one.address)
            .take(PEERS_MAX)
            .collect();
        self.followers.retain(|address, _| listed.contains(&address));
        for address in listed {
            let new = Follower::listed_at(word.asked);
            let follower = self.followers.entry(address.clone()).or_insert(new);
            if word.asked.since(follower.listed) > FRESH {
                *follower = new;
            }
            follower.listed = word.asked;
        }
    }
}

impl Death {
    /// Passes over whoever does not answer, and gives up what does not come.
    fn go_on(&mut self, now: Time, out: &mut Vec<Effect>) {
        if let Some((server, offset, at)) = self.forced.take() {
            if now.since(at) < FORCE_PATIENCE {
                self.forced = Some((server, offset, at));
                return;
            }
            out.push(Effect::Warn(format!(
                "the replica {server} was not promoted within {FORCE_PATIENCE:?}"
            )));
            self.asked = now;
            if self.forces < FORCES_MAX {
                // Perhaps too few of the others voted. It is asked again after the rest.
                self.candidates.insert(0, (server, offset));
            } else {
                self.candidates.clear();
            }
        }
        if now.since(self.asked) < CANDIDATE_PATIENCE {
            return;
        }
        if now.since(self.at) >= SOON {
            // The cluster has found it out by itself.
            for (server, _) in self.candidates.drain(..) {
                out.push(Effect::Warn(format!(
                    "the replica {server} does not say what it has: it is passed over"
                )));
            }
        } else if self.candidates.len() > 1 {
            // It may answer later.
            self.candidates.rotate_right(1);
            self.asked = now;
        }
    }

    fn heard(&mut self, own: &str, server: &str, word: &Word, now: Time, out: &mut Vec<Effect>) {
        let follows = word.follows(server).is_some_and(|(primary, _)| primary == own);
        if follows && word.holds {
            self.records = Some((server.into(), now));
        }
        if self.forced.is_some() || self.candidates.last().is_none_or(|(candidate, _)| &**candidate != server)
        {
            return;
        }
        let Some((candidate, offset)) = self.candidates.pop() else { return };
        self.asked = now;
        if !follows || word.copying || word.offset < offset {
            out.push(Effect::Warn(format!(
                "the replica {server} has no longer what it had: it is passed over"
            )));
            return;
        }
        self.forces += 1;
        out.push(Effect::Say(format!("the replica {server} was in step: it is to be promoted")));
        out.push(Effect::Force(candidate.clone()));
        self.forced = Some((candidate, offset, now));
    }

    /// Whether waiting any longer helps nobody.
    fn is_over(&mut self, own: &str, now: Time, out: &mut Vec<Effect>) -> bool {
        let records = self.records.as_ref().filter(|(_, at)| now.since(*at) <= FRESH);
        if now.since(self.at) >= NOBODY_AFTER && records.is_none() {
            out.push(Effect::Warn(
                "no server has records of its calls, and none has become their primary: the server starts, empty"
                    .to_owned(),
            ));
            return true;
        }
        if now.since(self.reminded) >= REMIND_EVERY {
            self.reminded = now;
            let remedy = match records {
                Some((server, _)) => format!(
                    "{server} has its records: see that a majority of the primaries runs, or have it promoted without one: \
                     CLUSTER FAILOVER TAKEOVER"
                ),
                None => "see that the other servers of the cluster run".to_owned(),
            };
            let seconds = now.since(self.at).as_secs();
            out.push(Effect::Warn(format!(
                "{own} is not started since {seconds} s: nobody has become the primary of its calls; remedy: {remedy}"
            )));
        }
        false
    }
}
