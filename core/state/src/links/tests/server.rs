//! A node of the tests: real partitions, a log that replicas copy, and the flags of a cluster.

use std::collections::BTreeMap;

use base::Time;

use crate::command::{Answer, Command, Millis};
use crate::links::{Fault, Said};
use crate::partition::{Bounds, Partition};
use crate::view::{Partitions, Primary, Replica, Sight};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Life {
    Running,
    /// It carries out nothing, and its connections stay.
    Frozen,
    Dead,
}

/// What a connection asks of a server.
#[derive(Clone, Debug)]
pub(super) enum Request {
    Command(u8, Command),
    Wait(u32, u32),
    Progress,
    Look,
    Time,
}

type Entry = (Millis, u8, Command);

pub(super) struct Server {
    pub(super) address: Box<str>,
    pub(super) life: Life,
    pub(super) born: u64,
    /// The server that it copies. `None`: it believes that it is a primary.
    pub(super) follows: Option<usize>,
    pub(super) epoch: u64,
    /// Its replicas as it knows them, and whether each is in its view.
    pub(super) replicas: BTreeMap<usize, bool>,
    /// What it has carried out or copied.
    pub(super) log: Vec<Entry>,
    /// Changes with each promotion: who has another history must copy everything.
    pub(super) history: u64,
    /// Since when it may be promoted: in step since then, and flagged so.
    pub(super) promotable_since: Option<Time>,
    partitions: BTreeMap<u8, Partition>,
}

impl Server {
    pub(super) fn new(number: usize) -> Server {
        Server {
            address: format!("10.0.0.{number}:6379").into(),
            life: Life::Running,
            born: 1,
            follows: None,
            epoch: 1,
            replicas: BTreeMap::new(),
            log: Vec::new(),
            history: 1,
            promotable_since: None,
            partitions: BTreeMap::new(),
        }
    }

    pub(super) fn is_primary(&self) -> bool {
        self.follows.is_none()
    }

    pub(super) fn apply(&mut self, entry: Entry) -> Answer {
        let (now, partition, command) = entry.clone();
        let room = Bounds { bytes_max: 1 << 30, effects_max: 1 << 20 };
        let there = self.partitions.entry(partition).or_insert_with(|| Partition::new(room));
        let answer = there.apply(now, command);
        if matches!(answer, Answer::Done | Answer::Counted(true)) {
            self.log.push(entry);
        }
        answer
    }

    /// Copies the next entry of a primary, or everything if its history is another.
    pub(super) fn copy(&mut self, primary: &Server) {
        if self.history != primary.history || self.log.len() > primary.log.len() {
            self.history = primary.history;
            self.partitions.clear();
            self.log.clear();
            primary.log.iter().for_each(|entry| drop(self.apply(entry.clone())));
        } else if let Some(entry) = primary.log.get(self.log.len()) {
            self.apply(entry.clone());
        }
    }

    pub(super) fn has_all_of(&self, primary: &Server) -> bool {
        self.history == primary.history && self.log.len() == primary.log.len()
    }

    /// It is started again, and has nothing.
    pub(super) fn start_empty(&mut self) {
        self.life = Life::Running;
        self.born += 1;
        self.log.clear();
        self.partitions.clear();
        self.history = 0;
        self.promotable_since = None;
    }

    /// The record that lies there.
    pub(super) fn record(&mut self, now: Millis, key: crate::Key) -> Option<Box<[u8]>> {
        let there = self.partitions.get_mut(&key.partition())?;
        match there.apply(now, Command::Peek { key, cached: None }) {
            Answer::Record(record) => record,
            answer => panic!("{answer:?} to a peek"),
        }
    }

    pub(super) fn sight(&self, servers: &[Server]) -> Sight {
        let claim = if self.is_primary() { Partitions::ALL } else { Partitions::default() };
        let own = Primary { address: self.address.clone(), epoch: self.epoch, partitions: claim };
        let replicas = self.replicas.iter().map(|(number, in_view)| Replica {
            address: servers[*number].address.clone(),
            primary: self.address.clone(),
            in_view: *in_view,
        });
        let others = servers.iter().filter(|other| other.address != self.address && other.is_primary());
        let others = others.map(|other| Primary {
            address: other.address.clone(),
            epoch: other.epoch,
            partitions: Partitions::default(),
        });
        let in_view = self.replicas.values().filter(|in_view| **in_view).count() as u32;
        let view = self.is_primary().then_some(in_view);
        let primaries = others.chain(self.is_primary().then_some(own)).collect();
        Sight { primaries, replicas: replicas.collect(), view }
    }

    /// Carries out what is no WAIT.
    pub(super) fn carry_out(&mut self, now: Time, request: Request) -> Said {
        let millis = 1_790_000_000_000 + now.as_millis();
        match request {
            Request::Command(..) if !self.is_primary() => Said::Fault(Fault::NotNow),
            Request::Command(partition, command) => Said::Answer(self.apply((millis, partition, command))),
            Request::Time => Said::Micros(millis * 1000),
            Request::Look | Request::Progress | Request::Wait(..) => unreachable!("the world answers it"),
        }
    }
}
