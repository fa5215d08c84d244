//! One server of the state tier: its records, and the writes that made them, in their order.

use std::collections::HashMap;
use std::rc::Rc;

use state::{Answer, Bounds, Command, Counts, Millis, Partition};

/// Room that no run fills.
pub(super) const BOUNDS: Bounds = Bounds { bytes_max: 1 << 30, effects_max: 1000 };

/// A write, as the primary gives it to its replicas.
#[derive(Debug)]
pub(super) struct Write {
    at: Millis,
    partition: u8,
    pub(super) command: Command,
}

/// See the head of this module.
#[derive(Debug, Default)]
pub(super) struct Holder {
    partitions: HashMap<u8, Partition>,
    pub(super) log: Vec<Rc<Write>>,
}

impl Holder {
    /// Carries out a command, and keeps it if it changed something.
    pub(super) fn carry_out(&mut self, at: Millis, partition: u8, command: &Command) -> Answer {
        let answer = self.apply(at, partition, command);
        let changed = match (&answer, command) {
            (Answer::Refused(_) | Answer::Full, _)
            | (_, Command::Peek { .. } | Command::OwnedBy(_) | Command::List(_)) => false,
            (Answer::Due(taken), _) => !taken.is_empty(),
            _ => true,
        };
        if changed {
            self.log.push(Rc::new(Write { at, partition, command: command.clone() }));
        }
        answer
    }

    /// Carries out the next write of the primary.
    pub(super) fn follow(&mut self, write: &Rc<Write>) {
        self.apply(write.at, write.partition, &write.command);
        self.log.push(Rc::clone(write));
    }

    fn apply(&mut self, at: Millis, partition: u8, command: &Command) -> Answer {
        let there = self.partitions.entry(partition).or_insert_with(|| Partition::new(BOUNDS));
        there.apply(at, command.clone())
    }

    /// Whether the partition has neither records nor what is left of them.
    pub(super) fn is_blank(&self, partition: u8) -> bool {
        self.partitions.get(&partition).is_none_or(|there| there.counts() == Counts::default())
    }

    /// All writes of this server are the first ones of the other.
    pub(super) fn is_behind(&self, other: &Holder) -> bool {
        match self.log.last() {
            Some(last) => other.log.get(self.log.len() - 1).is_some_and(|same| Rc::ptr_eq(same, last)),
            None => true,
        }
    }

    /// The same records, made by the same writes.
    pub(super) fn copy(&self) -> Holder {
        let mut copy = Holder::default();
        self.log.iter().for_each(|write| copy.follow(write));
        copy
    }

    pub(super) fn counts(&self) -> Counts {
        let mut sum = Counts::default();
        for one in self.partitions.values().map(Partition::counts) {
            sum.records += one.records;
            sum.tombstones += one.tombstones;
        }
        sum
    }
}
