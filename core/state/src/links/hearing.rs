//! What comes from the connections.

use base::Time;

use super::connection::Sent;
use super::kept::Id;
use super::link::{Fault, Link, Role, Said, Words};
use super::{LATER, Links, WAIT_MS, outcome};
use crate::ask::Unanswered;
use crate::command::{Answer, Command};
use crate::skew::Reading;

impl Links {
    /// A connection takes commands. `life` changes when the node is started anew.
    pub fn up(&mut self, now: Time, link: Link, life: u64) {
        let Some(node) = self.nodes.get_mut(&link.node) else { return };
        if node.connection(link.role).is_closed() || node.connection(link.role).is_up() {
            return;
        }
        node.connection_mut(link.role).up(now);
        node.changed(link.role);
        node.life = life;
    }

    /// A connection is gone, or could not be made.
    pub fn lost(&mut self, now: Time, link: Link) {
        let Some(node) = self.nodes.get_mut(&link.node) else { return };
        if node.connection(link.role).is_closed() {
            return;
        }
        let was_up = node.connection(link.role).is_up();
        let owed = node.connection_mut(link.role).closed(now);
        if was_up {
            self.counters.lost += 1;
            node.changed(link.role);
            self.look_around();
        }
        self.again(owed);
    }

    /// What the next answer on a connection belongs to. `None`: it need not be read.
    pub fn expected(&self, link: Link) -> Option<Words<'_>> {
        match self.nodes.get(&link.node)?.connection(link.role).expected()? {
            Sent::Command(id) => {
                let ask = &self.asks.get(id)?.ask;
                Some(Words::Command { partition: ask.partition, command: &ask.command })
            }
            Sent::Progress => Some(Words::Progress),
            Sent::Wait(replicas) => Some(Words::Wait { replicas, millis: WAIT_MS }),
            Sent::Look(_) => Some(Words::Look),
            Sent::Time(_) => Some(Words::Time),
        }
    }

    /// The next answer on a connection. An answer that nobody expects is passed over.
    pub fn said(&mut self, now: Time, link: Link, said: Said) {
        let Some(node) = self.nodes.get_mut(&link.node) else { return };
        let Some(sent) = node.connection_mut(link.role).heard(now) else { return };
        match (sent, said) {
            (Sent::Command(id), said) => self.answered(now, link, id, said),
            (Sent::Progress, Said::Progress(progress)) => {
                node.connection_mut(link.role).batch.progress.push(progress);
            }
            (Sent::Look(changes), Said::Sight(sight)) => {
                node.is_looking = false;
                self.sighted(link.node, changes, sight);
            }
            (Sent::Look(_), _) => node.is_looking = false,
            (Sent::Time(asked), Said::Micros(micros)) => {
                let reading = Reading { server: link.node, life: node.life, asked, answered: now, micros };
                let servers = self.nodes.len();
                self.clock.read(reading, servers);
            }
            (Sent::Wait(_) | Sent::Progress | Sent::Time(_), _) => {}
        }
        self.settle(link);
    }

    fn answered(&mut self, now: Time, link: Link, id: Id, said: Said) {
        // Patience may have ended before the answer came.
        let Some(kept) = self.asks.get_mut(id) else { return };
        let fault = match said {
            Said::Answer(answer) => {
                let answer = match kept.repeated {
                    true => outcome::of_repeated(&kept.ask.command, answer),
                    false => answer,
                };
                match link.role {
                    Role::Reader => self.reply(id, Ok(answer)),
                    Role::FirstWriter | Role::SecondWriter => kept.answer = Some(answer),
                }
                return;
            }
            Said::Fault(fault) => fault,
            Said::Replicas(_) | Said::Progress(_) | Said::Sight(_) | Said::Micros(_) | Said::Unread => {
                Fault::Refused
            }
        };
        let is_repeated = outcome::is_repeated(&kept.ask.command);
        let begins = matches!(kept.ask.command, Command::Create(_) | Command::Count { .. });
        if let Some(node) = self.nodes.get_mut(&link.node) {
            node.connection_mut(link.role).batch.ids.retain(|other| *other != id);
            // The functions are brought by whoever connects a reader.
            let reader = node.connection_mut(Role::Reader);
            reader.is_useless |= fault == Fault::NoFunctions && reader.is_up();
        }
        match fault {
            Fault::Elsewhere(_) | Fault::NotNow | Fault::NoFunctions => {
                if let Fault::Elsewhere(address) = &fault {
                    self.add_node(address, false);
                }
                self.look_around();
                match is_repeated {
                    true => self.later.push_back((now + LATER, id)),
                    false => self.reply(id, Err(Unanswered::OutOfReach)),
                }
            }
            Fault::NoRoom if begins => self.reply(id, Ok(Answer::Full)),
            Fault::NoRoom | Fault::Refused => self.reply(id, Err(Unanswered::Failed)),
        }
    }

    /// A writer owes nothing any longer: its commits are kept, or are sent again.
    fn settle(&mut self, link: Link) {
        let Some(node) = self.nodes.get_mut(&link.node) else { return };
        let connection = node.connection_mut(link.role);
        if connection.owes() > 0 || connection.batch.ids.is_empty() {
            return;
        }
        let batch = std::mem::take(&mut connection.batch);
        node.replicas.learn(&batch);
        if node.view.is_none() || !batch.is_kept(&node.replicas) {
            self.counters.short += 1;
            node.doubt();
            self.again(batch.ids);
            return;
        }
        for id in batch.ids {
            match self.asks.get_mut(id).and_then(|kept| kept.answer.take()) {
                Some(answer) => self.reply(id, Ok(answer)),
                None => self.again(vec![id]),
            }
        }
    }

    /// These were sent, and nobody knows what became of them: they go first when their node is ready.
    fn again(&mut self, ids: Vec<Id>) {
        for id in ids.into_iter().rev() {
            let Some(kept) = self.asks.get_mut(id) else { continue };
            if !outcome::is_repeated(&kept.ask.command) {
                self.reply(id, Err(Unanswered::OutOfReach));
                continue;
            }
            self.counters.repeated += 1;
            kept.repeated = true;
            kept.answer = None;
            let owner = self.owners[usize::from(kept.ask.partition)];
            match owner.and_then(|number| self.nodes.get_mut(&number)) {
                Some(node) if kept.ask.replicated => node.commits.push_front(id),
                Some(node) => node.others.push_front(id),
                None => self.homeless.push_front(id),
            }
        }
    }
}
