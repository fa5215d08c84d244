//! Commands on their way from engines to the store, as the engine's links send them: again while no answer comes, to the server
//! that is the primary, until they are given up.

use base::Duration;
use state::{Answer, Ask, Command, Reply, Unanswered};

use super::event::Event;
use super::member::{Incoming, OTHER};
use super::queries::Query;
use super::shard::Effect;
use super::world::World;

/// Share of answers that are lost while many are, of a thousand.
const MANY_LOST_PERMILLE: u32 = 300;

/// A process that stands still is looked at after this time for what it would have sent.
const STANDS_STILL: Duration = Duration::from_millis(50);

impl World {
    /// An engine asks.
    pub(super) fn ask(&mut self, member: usize, ask: Ask) {
        let now = self.now();
        let at_once = match &ask.command {
            Command::Due(_) => self.poll(member, &ask),
            Command::Mark(_) if ask.partition == OTHER => {
                let millis = self.millis();
                Some(Ok(self.shard.asked_elsewhere(millis, &ask.command)))
            }
            _ => None,
        };
        if let Some(answer) = at_once {
            let reply = Reply { token: ask.token, answer };
            let deeds = self.members[member].receive(now, Incoming::Reply(reply));
            // The turn that asked looks at the timers at its end.
            if !deeds.is_empty() {
                self.carry_out(member, deeds);
            }
            return;
        }
        let number = self.members[member].number;
        let until = now + self.case.given_up_after;
        let said = if self.trace.is_some() { named(&ask) } else { Default::default() };
        let query = self.queries.add(Query { member, number, ask, attempt: 0, until });
        self.note(|| format!("{now:?}   member {member} asks {query}: {said}"));
        self.try_query(query);
    }

    /// The answer to a poll that finds nothing comes at once: a run has thousands of them. `None`: it goes the way of all.
    fn poll(&self, member: usize, ask: &Ask) -> Option<Result<Answer, Unanswered>> {
        if !self.shard.is_well(self.members[member].believes) {
            return Some(Err(Unanswered::Busy));
        }
        self.shard.is_blank(ask.partition).then(|| Ok(Answer::Due(Vec::new())))
    }

    fn try_query(&mut self, number: u64) {
        let now = self.now();
        let Some(query) = self.queries.open.get(&number) else { return };
        let (server, ask, attempt) = (self.members[query.member].believes, query.ask.clone(), query.attempt);
        let arrives = now + self.way();
        self.clock.add(arrives, Event::Query { server, query: number, ask: Box::new(ask) });
        // A server that is gone refuses the connection.
        let wait = if self.shard.is_up(server) { self.case.again_after } else { Duration::from_millis(50) };
        self.clock.add(now + wait, Event::Again { query: number, attempt });
    }

    pub(super) fn query_again(&mut self, number: u64, attempt: u32) {
        let now = self.now();
        let Some(query) = self.queries.open.get_mut(&number).filter(|query| query.attempt == attempt) else {
            return;
        };
        let member = &self.members[query.member];
        if !member.lives() || member.number != query.number {
            // Nobody is there to send it again.
            self.queries.open.remove(&number);
            return;
        }
        if member.frozen.is_some() {
            query.until = query.until + STANDS_STILL;
            return self.clock.add(now + STANDS_STILL, Event::Again { query: number, attempt });
        }
        if query.until <= now {
            self.queries.given_up += 1;
            return self.replied(number, Err(Unanswered::OutOfReach));
        }
        query.attempt += 1;
        self.queries.again += 1;
        self.try_query(number);
    }

    /// The engine asked a server that is not the primary.
    pub(super) fn moved(&mut self, number: u64, to: usize) {
        let Some(query) = self.queries.open.get_mut(&number) else { return };
        query.attempt += 1;
        let member = query.member;
        self.members[member].believes = to;
        self.try_query(number);
    }

    pub(super) fn replied(&mut self, number: u64, answer: Result<Answer, Unanswered>) {
        let Some(query) = self.queries.open.remove(&number) else { return };
        let Query { member, ask, number: life, .. } = query;
        let now = self.now();
        self.note(|| format!("{now:?}   member {member} hears {number}: {}", told(&answer)));
        if self.members[member].lives() && self.members[member].number == life {
            self.receive(member, Incoming::Reply(Reply { token: ask.token, answer }));
        }
    }

    /// Carries out what a shard wants of the network.
    pub(super) fn travel(&mut self, effects: Vec<Effect>) {
        let now = self.now();
        for effect in effects {
            let mut arrives = now + self.way();
            match effect {
                Effect::Reply { query, answer } => {
                    let many = now < self.replies_lost_until;
                    let lost = if many { MANY_LOST_PERMILLE } else { self.case.replies_lost_permille };
                    if !self.chance.permille(lost) {
                        self.clock.add(arrives, Event::Reply { query, answer });
                    }
                }
                Effect::Moved { query, to } => {
                    self.clock.add(arrives + Duration::from_millis(5), Event::Moved { query, to });
                }
                Effect::Stream { to, reign, at, write } => {
                    if let Some((lagging, until)) = self.lags
                        && lagging == to
                        && now < until
                    {
                        arrives = arrives + Duration::from_millis(self.chance.below(400));
                    }
                    let last = self.streams.entry(to).or_default();
                    *last = arrives.max(*last);
                    let arrives = *last;
                    self.clock.add(arrives, Event::Stream { to, reign, at, write });
                }
                Effect::Ack { primary, reign, replica, count } => {
                    self.clock.add(arrives, Event::Ack { primary, reign, replica, count });
                }
            }
        }
    }

    /// How long a message of the state tier takes.
    pub(super) fn way(&mut self) -> Duration {
        let most = if self.chance.permille(20) { 30_000 } else { 800 };
        Duration::from_micros(50 + self.chance.below(most))
    }
}

fn named(ask: &Ask) -> String {
    let expected = |stamp: &state::Stamp| format!("{}/{}", stamp.fence.engine, stamp.version % 1_000_000);
    match &ask.command {
        Command::Create(create) => format!("create {}", create.key),
        Command::Put(put) => format!("put {} over {}", put.key, expected(&put.expected)),
        Command::Del(del) => format!("del {} over {}", del.key, expected(&del.expected)),
        Command::Peek { key, cached } => format!("peek {key} {:?}", cached.as_ref().map(expected)),
        Command::Mark(mark) => format!("mark of {}", mark.engine),
        Command::Wake { key, .. } => format!("wake {key}"),
        other => format!("{other:?}"),
    }
}

fn told(answer: &Result<Answer, Unanswered>) -> String {
    let stamp = |bytes: &[u8]| {
        let stamp = state::Stamp::of(bytes).unwrap_or_default();
        let gone = if state::Header::is_of_tombstone(bytes) { " gone" } else { "" };
        format!("{}/{}{gone}", stamp.fence.engine, stamp.version % 1_000_000)
    };
    match answer {
        Ok(Answer::Record(record)) => format!("record {:?}", record.as_deref().map(stamp)),
        Ok(Answer::Refused(there)) => format!("refused {:?}", there.as_deref().map(stamp)),
        Ok(Answer::Marks(marks)) => format!("{} marks", marks.len()),
        Ok(Answer::Due(due)) => format!("{} due", due.len()),
        other => format!("{other:?}"),
    }
}
