//! What leaves: connections are opened and closed, nodes are asked about themselves, questions are sent.

use base::{Duration, Time};

use super::batch::Batch;
use super::connection::Sent;
use super::link::{Link, Role, Wires, Words};
use super::{Links, WAIT_MS};
use crate::ask::Unanswered;

/// How often each node is asked what it sees.
const LOOK_EVERY: Duration = Duration::from_millis(500);
/// The same while a primary has a replica outside its view: it may come into it at any time.
const LOOK_EVERY_FOR_REPLICAS: Duration = Duration::from_millis(200);
/// The same while a partition cannot be committed to.
const LOOK_EVERY_IN_TROUBLE: Duration = Duration::from_millis(100);
/// How often each node is asked for its time ([`crate::skew`]).
const TIME_EVERY: Duration = Duration::from_secs(1);
/// How often patience is looked at.
const PATIENCE_EVERY: Duration = Duration::from_millis(50);
/// Commits in one piece. More wait for the other writer: a node carries out a piece without looking at anybody else.
const BATCH_MAX: usize = 1024;
/// Questions that a reader may owe.
const READS_MAX: usize = 1024;

impl Links {
    /// Sends what can be sent. Called after everything else, and when [`Links::next_deadline`] has passed.
    pub fn turn(&mut self, now: Time, wires: &mut impl Wires) {
        self.end_patience(now);
        while self.later.front().is_some_and(|(at, _)| *at <= now) {
            let Some((_, id)) = self.later.pop_front() else { break };
            self.route(id);
        }
        let numbers: Vec<u32> = self.nodes.keys().copied().collect();
        for number in &numbers {
            Role::ALL.into_iter().for_each(|role| self.tend(now, Link { node: *number, role }, wires));
        }
        let every = match self.nodes.values().any(|node| node.owned > 0 && node.replicas.has_others()) {
            _ if self.is_troubled() => LOOK_EVERY_IN_TROUBLE,
            true => LOOK_EVERY_FOR_REPLICAS,
            false => LOOK_EVERY,
        };
        for number in numbers {
            self.read(now, number, every, wires);
            self.commit(now, number, wires);
        }
        self.deadline = self.find_deadline();
    }

    fn end_patience(&mut self, now: Time) {
        if now < self.patience_at {
            return;
        }
        self.patience_at = now + PATIENCE_EVERY;
        let late = self.asks.take_late(now);
        if late.is_empty() {
            return;
        }
        late.iter().for_each(|kept| self.reply_to(kept, Err(Unanswered::OutOfReach)));
        // Their names would fill the queues of a node that nobody reaches.
        let asks = &self.asks;
        let queues = self.nodes.values_mut().flat_map(|node| [&mut node.commits, &mut node.others]);
        queues.chain([&mut self.homeless]).for_each(|queue| queue.retain(|id| asks.get(*id).is_some()));
    }

    /// Opens a connection that is wanted, and closes one that is not, or is silent.
    fn tend(&mut self, now: Time, link: Link, wires: &mut impl Wires) {
        let Some(node) = self.nodes.get_mut(&link.node) else { return };
        let is_wanted = node.is_wanted(link.role);
        let connection = node.connection_mut(link.role);
        let is_idle = !is_wanted && connection.owes() == 0;
        if !connection.is_closed() && (connection.is_given_up(now) || connection.is_useless || is_idle) {
            wires.close(link);
            self.lost(now, link);
            return;
        }
        if is_wanted && connection.may_open(now) {
            connection.opening(now);
            let address = node.address.clone();
            if !wires.open(link, &address) {
                self.lost(now, link);
            }
            return;
        }
        let is_gone =
            node.is_forgotten && Role::ALL.into_iter().all(|role| node.connection(role).is_closed());
        if is_gone {
            self.nodes.remove(&link.node);
            self.clock.forget(link.node);
        }
    }

    /// Asks a node about itself, and everything that need not be replicated.
    fn read(&mut self, now: Time, number: u32, look_every: Duration, wires: &mut impl Wires) {
        let Some(node) = self.nodes.get_mut(&number) else { return };
        let link = Link { node: number, role: Role::Reader };
        if !node.connection(Role::Reader).is_up() {
            return;
        }
        let mut wrote = false;
        if !node.is_looking && node.look_at <= now {
            node.is_looking = true;
            node.look_at = now + look_every;
            let changes = node.changes;
            node.connection_mut(Role::Reader).wrote(now, Sent::Look(changes));
            wires.write(link, Words::Look);
            self.counters.looks += 1;
            wrote = true;
        }
        if node.time_at <= now {
            node.time_at = now + TIME_EVERY;
            node.connection_mut(Role::Reader).wrote(now, Sent::Time(now));
            wires.write(link, Words::Time);
            wrote = true;
        }
        while node.is_looked_at && node.connection(Role::Reader).owes() < READS_MAX {
            let Some(id) = node.others.pop_front() else { break };
            let Some(kept) = self.asks.get(id) else { continue };
            node.connection_mut(Role::Reader).wrote(now, Sent::Command(id));
            let (partition, command) = (kept.ask.partition, &kept.ask.command);
            wires.write(link, Words::Command { partition, command });
            wrote = true;
        }
        if wrote {
            wires.flush(link);
        }
    }

    /// Sends the commits that wait for a node, if a writer is free and the node's view is known.
    fn commit(&mut self, now: Time, number: u32, wires: &mut impl Wires) {
        let Some(node) = self.nodes.get_mut(&number) else { return };
        if node.view.is_none() {
            return;
        }
        while !node.commits.is_empty()
            && let Some(role) = node.free_writer()
        {
            let link = Link { node: number, role };
            let mut batch = Batch::default();
            while batch.ids.len() < BATCH_MAX
                && let Some(id) = node.commits.pop_front()
            {
                let Some(kept) = self.asks.get(id) else { continue };
                batch.ids.push(id);
                node.connection_mut(role).wrote(now, Sent::Command(id));
                let (partition, command) = (kept.ask.partition, &kept.ask.command);
                wires.write(link, Words::Command { partition, command });
            }
            if batch.ids.is_empty() {
                break;
            }
            self.counters.batches += 1;
            let (has_view, replicas) = (!node.replicas.in_view.is_empty(), node.replicas.waited_for());
            let connection = node.connection_mut(role);
            connection.batch = batch;
            let mut write = |sent, words| {
                connection.wrote(now, sent);
                wires.write(link, words);
            };
            if has_view {
                write(Sent::Progress, Words::Progress);
                write(Sent::Wait(replicas), Words::Wait { replicas, millis: WAIT_MS });
                write(Sent::Progress, Words::Progress);
            }
            wires.flush(link);
        }
    }

    fn find_deadline(&self) -> Time {
        let patience = if self.asks.len() > 0 { self.patience_at } else { Time::NEVER };
        let later = self.later.front().map_or(Time::NEVER, |(at, _)| *at);
        let of_nodes = self.nodes.values().map(|node| {
            let wanted = Role::ALL.into_iter().filter(|role| node.is_wanted(*role));
            let connections = wanted.map(|role| node.connection(role).deadline()).min();
            let is_up = node.connection(Role::Reader).is_up();
            let look = if is_up && !node.is_looking { node.look_at } else { Time::NEVER };
            let time = if is_up { node.time_at } else { Time::NEVER };
            connections.unwrap_or(Time::NEVER).min(look).min(time)
        });
        of_nodes.min().unwrap_or(Time::NEVER).min(patience).min(later)
    }
}
