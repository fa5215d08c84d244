//! A shard of the state tier: servers with the same records, of which one is the primary. It carries out commands, gives its
//! writes to the replicas one behind the other, and answers a replicated command when every replica in its view has all that
//! came before. A replica may be promoted while the primary is dead, or lives on without knowing.

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use state::{Answer, Ask, Command, Counts, Key, Millis, Partition};

use super::holder::{BOUNDS, Holder, Write};

/// What a shard wants of the network.
#[derive(Debug)]
pub(super) enum Effect {
    /// The asker gets this answer.
    Reply { query: u64, answer: Answer },
    /// The asker is told to ask this server.
    Moved { query: u64, to: usize },
    /// A replica gets a write.
    Stream { to: usize, reign: u64, at: usize, write: Rc<Write> },
    /// The primary hears that a replica has so many writes.
    Ack { primary: usize, reign: u64, replica: usize, count: usize },
}

/// A server's part.
#[derive(Debug)]
enum Part {
    Primary(Reign),
    /// Follows the primary of this reign.
    Replica {
        reign: u64,
    },
    /// Gets all records anew, and cannot be promoted meanwhile.
    Empty,
    Dead,
}

/// What a primary knows.
#[derive(Debug)]
struct Reign {
    number: u64,
    /// Replicas that a replicated write waits for, with the number of writes that each has.
    view: BTreeMap<usize, usize>,
    /// Answers that wait until the view has so many writes.
    waiting: Vec<(usize, u64, Answer)>,
}

#[derive(Debug)]
struct Server {
    part: Part,
    holder: Holder,
    /// Commands that came while the process stood still.
    backlog: Option<Vec<(u64, Ask)>>,
}

/// See the head of this module.
#[derive(Debug)]
pub(super) struct Shard {
    servers: Vec<Server>,
    /// The marks of the tier's other primary.
    elsewhere: Partition,
    /// The present primary, as the cluster sees it.
    pub(super) primary: usize,
    reigns: u64,
    /// Writes that were carried out and are lost.
    pub(super) lost: Vec<Rc<Write>>,
}

impl Shard {
    pub(super) fn new(replicas: usize) -> Shard {
        let server = |part| Server { part, holder: Holder::default(), backlog: None };
        let view = (1..=replicas).map(|replica| (replica, 0)).collect();
        let first = Reign { number: 0, view, waiting: Vec::new() };
        let others = (0..replicas).map(|_| server(Part::Replica { reign: 0 }));
        let servers = std::iter::once(server(Part::Primary(first))).chain(others).collect();
        let elsewhere = Partition::new(BOUNDS);
        Shard { servers, elsewhere, primary: 0, reigns: 0, lost: Vec::new() }
    }

    /// The other primary of the tier carries out a command.
    pub(super) fn asked_elsewhere(&mut self, now: Millis, command: &Command) -> Answer {
        self.elsewhere.apply(now, command.clone())
    }

    /// What the farm knows at last.
    pub(super) fn counts(&self) -> Counts {
        self.servers[self.primary].holder.counts()
    }

    /// The number of the present primary's reign.
    pub(super) fn reign(&self) -> u64 {
        self.reigns
    }

    /// The server answers at once; false also if it believes itself to be the primary and is not.
    pub(super) fn is_well(&self, server: usize) -> bool {
        server == self.primary && self.is_up(server) && self.servers[server].backlog.is_none()
    }

    pub(super) fn is_up(&self, server: usize) -> bool {
        !matches!(self.servers[server].part, Part::Dead)
    }

    pub(super) fn is_blank(&self, partition: u8) -> bool {
        self.servers[self.primary].holder.is_blank(partition)
    }

    /// Replicas that may be promoted.
    pub(super) fn replicas(&self) -> Vec<usize> {
        let Part::Primary(reign) = &self.servers[self.primary].part else {
            return self.followers(self.reigns);
        };
        reign.view.keys().copied().filter(|replica| self.is_up(*replica)).collect()
    }

    fn followers(&self, of: u64) -> Vec<usize> {
        let follows =
            |server: &usize| matches!(self.servers[*server].part, Part::Replica { reign } if reign == of);
        (0..self.servers.len()).filter(follows).collect()
    }

    /// A command comes to a server.
    pub(super) fn ask(&mut self, now: Millis, server: usize, query: u64, ask: &Ask, out: &mut Vec<Effect>) {
        let to = self.primary;
        let one = &mut self.servers[server];
        if let Some(backlog) = &mut one.backlog {
            return backlog.push((query, ask.clone()));
        }
        let reign = match &one.part {
            Part::Primary(reign) => reign.number,
            Part::Replica { .. } | Part::Empty => return out.push(Effect::Moved { query, to }),
            Part::Dead => return,
        };
        let before = one.holder.log.len();
        let answer = one.holder.carry_out(now, ask.partition, &ask.command);
        let count = one.holder.log.len();
        let followers = self.followers(reign);
        for (at, write) in self.servers[server].holder.log.iter().enumerate().skip(before) {
            let stream = |to: &usize| Effect::Stream { to: *to, reign, at, write: Rc::clone(write) };
            out.extend(followers.iter().map(stream));
        }
        let Part::Primary(reign) = &mut self.servers[server].part else { return };
        if ask.replicated {
            reign.waiting.push((count, query, answer));
            self.release(server, out);
        } else {
            out.push(Effect::Reply { query, answer });
        }
    }

    /// Answers what the whole view has.
    fn release(&mut self, server: usize, out: &mut Vec<Effect>) {
        let Part::Primary(reign) = &mut self.servers[server].part else { return };
        let kept = reign.view.values().copied().min().unwrap_or(usize::MAX);
        let ready = reign.waiting.extract_if(.., |(count, _, _)| *count <= kept);
        out.extend(ready.map(|(_, query, answer)| Effect::Reply { query, answer }));
    }

    /// A write comes to a replica.
    pub(super) fn stream(
        &mut self,
        server: usize,
        reign: u64,
        at: usize,
        write: &Rc<Write>,
        out: &mut Vec<Effect>,
    ) {
        let one = &mut self.servers[server];
        let follows = matches!(one.part, Part::Replica { reign: own } if own == reign);
        if follows && one.holder.log.len() == at {
            one.holder.follow(write);
            let count = at + 1;
            let leads = |one: &Server| matches!(&one.part, Part::Primary(own) if own.number == reign);
            if let Some(primary) = self.servers.iter().position(leads) {
                out.push(Effect::Ack { primary, reign, replica: server, count });
            }
        }
    }

    /// An acknowledgement comes to a primary.
    pub(super) fn ack(
        &mut self,
        primary: usize,
        reign: u64,
        replica: usize,
        count: usize,
        out: &mut Vec<Effect>,
    ) {
        if let Part::Primary(own) = &mut self.servers[primary].part
            && own.number == reign
            && let Some(known) = own.view.get_mut(&replica)
        {
            *known = count.max(*known);
            self.release(primary, out);
        }
    }

    pub(super) fn kill(&mut self, server: usize) {
        (self.servers[server].part, self.servers[server].backlog) = (Part::Dead, None);
    }

    /// The process stands still.
    pub(super) fn stall(&mut self, server: usize) {
        self.servers[server].backlog.get_or_insert_default();
    }

    pub(super) fn resume(&mut self, now: Millis, server: usize, out: &mut Vec<Effect>) {
        for (query, ask) in self.servers[server].backlog.take().into_iter().flatten() {
            self.ask(now, server, query, &ask, out);
        }
    }

    /// A dead replica does not count any longer.
    pub(super) fn leaves_view(&mut self, replica: usize, out: &mut Vec<Effect>) {
        if self.is_up(replica) {
            return;
        }
        let primary = self.primary;
        if let Part::Primary(reign) = &mut self.servers[primary].part {
            reign.view.remove(&replica);
            self.release(primary, out);
        }
    }

    /// A replica becomes the primary. What it does not have is lost. The former primary may live, and not know it yet.
    pub(super) fn promote(&mut self, server: usize, out: &mut Vec<Effect>) {
        let own = self.servers[server].holder.log.len();
        let former = self.primary;
        self.lost.extend(self.servers[former].holder.log.iter().skip(own).cloned());
        let others = self.followers(self.reigns);
        self.reigns += 1;
        self.primary = server;
        let (mut view, number) = (BTreeMap::new(), self.reigns);
        for other in others.into_iter().filter(|other| *other != server) {
            if !self.servers[other].holder.is_behind(&self.servers[server].holder) {
                self.servers[other].part = Part::Empty;
                continue;
            }
            self.servers[other].part = Part::Replica { reign: number };
            view.insert(other, self.servers[other].holder.log.len());
            let known = self.servers[other].holder.log.len();
            let missing = self.servers[server].holder.log.iter().enumerate().skip(known);
            let stream = |(at, write): (usize, &Rc<Write>)| Effect::Stream {
                to: other,
                reign: number,
                at,
                write: Rc::clone(write),
            };
            out.extend(missing.map(stream));
        }
        self.servers[server].part = Part::Primary(Reign { number, view, waiting: Vec::new() });
    }

    /// A former primary hears of its successor, or a dead server is started: it gets all records anew.
    pub(super) fn empty(&mut self, server: usize) {
        if server != self.primary {
            let present = &self.servers[self.primary].holder.log;
            let kept = |(at, write): (usize, &Rc<Write>)| {
                present.get(at).is_some_and(|same| Rc::ptr_eq(same, write))
            };
            let own = self.servers[server].holder.log.iter();
            let lost = own.enumerate().filter(|one| !kept(*one)).map(|(_, write)| Rc::clone(write));
            self.lost.extend(lost.collect::<Vec<_>>());
            let one = &mut self.servers[server];
            (one.part, one.holder, one.backlog) = (Part::Empty, Holder::default(), None);
        }
    }

    /// Servers that need all records.
    pub(super) fn empty_ones(&self) -> Vec<usize> {
        let empty = |server: &usize| matches!(self.servers[*server].part, Part::Empty);
        (0..self.servers.len()).filter(empty).collect()
    }

    /// A server has got all records of the primary, and follows it from now on.
    pub(super) fn copied(&mut self, server: usize) {
        let primary = self.primary;
        if !matches!(self.servers[server].part, Part::Empty) {
            return;
        }
        let copy = self.servers[primary].holder.copy();
        if let Part::Primary(reign) = &mut self.servers[primary].part {
            reign.view.insert(server, copy.log.len());
            let part = Part::Replica { reign: reign.number };
            (self.servers[server].part, self.servers[server].holder) = (part, copy);
        }
    }

    /// Records that stay although their end was carried out: it was lost with a primary, since nobody waits until it is kept.
    pub(super) fn ends_lost(&self) -> BTreeSet<Key> {
        let ends = self.lost.iter().filter(|write| matches!(write.command, Command::Del(_)));
        ends.filter_map(|write| key_of(&write.command)).collect()
    }

    /// Calls that have a record.
    pub(super) fn records(&self) -> BTreeSet<Key> {
        let mut keys = BTreeSet::new();
        for command in self.servers[self.primary].holder.log.iter().map(|write| &write.command) {
            match (key_of(command), command) {
                (Some(key), Command::Del(_)) => _ = keys.remove(&key),
                (Some(key), _) => _ = keys.insert(key),
                (None, _) => {}
            }
        }
        keys
    }
}

/// The call that a command is about.
pub(super) fn key_of(command: &Command) -> Option<Key> {
    match command {
        Command::Create(create) => Some(create.key),
        Command::Put(put) => Some(put.key),
        Command::Del(del) => Some(del.key),
        _ => None,
    }
}
