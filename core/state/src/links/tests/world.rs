//! The links of one worker, connections in memory, and servers at their other ends.

use std::collections::{BTreeMap, VecDeque};

use base::{Duration, Time};

use super::server::{Life, Request, Server};
use crate::links::{Bounds, Link, Links, Progress, Said, Wires, Words};
use crate::{Ask, Command, Reply};

/// One connection. What was written when it was lost may still be carried out.
pub(super) struct Wire {
    pub(super) server: usize,
    pub(super) asked: VecDeque<Request>,
    pub(super) answers: VecDeque<Said>,
    /// The length of the server's log after the last command of this connection; 0: there was none yet.
    wrote: usize,
    waits: Option<(u32, Time)>,
    pub(super) is_up: bool,
}

/// The connections. What the links have written, as text, for tests that read it.
#[derive(Default)]
pub(super) struct Net {
    pub(super) wires: BTreeMap<Link, Wire>,
    /// Connections that are gone, and whose commands are still on their way.
    pub(super) late: Vec<Wire>,
    addresses: Vec<Box<str>>,
    pub(super) written: Vec<String>,
}

impl Wires for Net {
    fn open(&mut self, link: Link, address: &str) -> bool {
        let Some(server) = self.addresses.iter().position(|other| &**other == address) else { return false };
        let wire = Wire {
            server,
            asked: VecDeque::new(),
            answers: VecDeque::new(),
            wrote: 0,
            waits: None,
            is_up: false,
        };
        assert!(self.wires.insert(link, wire).is_none(), "{link:?} is opened twice");
        true
    }

    fn close(&mut self, link: Link) {
        let wire = self.wires.remove(&link).expect("only what was opened is closed");
        self.late.push(wire);
    }

    fn write(&mut self, link: Link, words: Words<'_>) {
        let wire = self.wires.get_mut(&link).expect("only what is open is written to");
        assert!(wire.is_up);
        wire.asked.push_back(match words {
            Words::Command { partition, command } => Request::Command(partition, command.clone()),
            Words::Wait { replicas, millis } => Request::Wait(replicas, millis),
            Words::Progress => Request::Progress,
            Words::Look => Request::Look,
            Words::Time => Request::Time,
        });
        let name = match words {
            Words::Command { command: Command::Create(_), .. } => "create".into(),
            Words::Command { command: Command::Put(_), .. } => "put".into(),
            Words::Command { command: Command::Del(_), .. } => "del".into(),
            Words::Command { .. } => "other".into(),
            Words::Wait { replicas, .. } => format!("wait {replicas}"),
            Words::Progress => "progress".into(),
            Words::Look | Words::Time => return,
        };
        self.written.push(format!("{} {:?} {name}", link.node, link.role));
    }

    fn flush(&mut self, link: Link) {
        assert!(!self.wires[&link].asked.is_empty());
    }
}

pub(super) struct World {
    pub(super) now: Time,
    pub(super) links: Links,
    pub(super) net: Net,
    pub(super) servers: Vec<Server>,
    /// Servers say that all replicas have a write which none may have.
    pub(super) lies: bool,
}

impl World {
    /// A primary, which is server 0, and its replicas, all in step.
    pub(super) fn new(replicas: usize, bounds: Bounds) -> World {
        let mut servers: Vec<Server> = (0..=replicas).map(Server::new).collect();
        for number in 1..=replicas {
            servers[number].follows = Some(0);
            servers[number].promotable_since = Some(Time::ZERO);
            servers[0].replicas.insert(number, true);
        }
        let addresses: Vec<Box<str>> = servers.iter().map(|server| server.address.clone()).collect();
        let links = Links::new(bounds, [addresses[0].clone()]);
        let net = Net { addresses, ..Net::default() };
        World { now: Time::from_secs(3600), links, net, servers, lies: false }
    }

    pub(super) fn turn(&mut self) {
        self.links.turn(self.now, &mut self.net);
    }

    pub(super) fn ask(&mut self, token: u64, command: Command, replicated: bool) {
        self.links.ask(self.now, Ask { token, partition: super::PARTITION, command, replicated });
    }

    pub(super) fn pass(&mut self, millis: u64) {
        self.now = self.now + Duration::from_millis(millis);
        self.turn();
    }

    pub(super) fn replies(&mut self) -> Vec<Reply> {
        let mut replies = Vec::new();
        self.links.replies(&mut replies);
        replies
    }

    /// A connection that is being made is made, or refused by a dead server.
    pub(super) fn connect(&mut self, link: Link) {
        let wire = self.net.wires.get_mut(&link).expect("a connection");
        match self.servers[wire.server].life {
            _ if wire.is_up => {}
            Life::Running => {
                wire.is_up = true;
                self.links.up(self.now, link, self.servers[wire.server].born);
            }
            Life::Frozen => {}
            Life::Dead => self.lose(link),
        }
    }

    pub(super) fn lose(&mut self, link: Link) {
        let wire = self.net.wires.remove(&link).expect("a connection");
        self.net.late.push(wire);
        self.links.lost(self.now, link);
    }

    pub(super) fn lose_all(&mut self, server: usize) {
        let of_server = self.net.wires.iter().filter(|(_, wire)| wire.server == server);
        let links: Vec<Link> = of_server.map(|(link, _)| *link).collect();
        links.into_iter().for_each(|link| self.lose(link));
    }

    /// A server dies, and its connections with it.
    pub(super) fn kill(&mut self, server: usize) {
        self.servers[server].life = Life::Dead;
        self.lose_all(server);
        self.net.late.retain(|wire| wire.server != server);
    }

    /// A replica becomes a primary. Those that it replaces and that it leaves behind do not know it yet.
    pub(super) fn promote(&mut self, server: usize) {
        let epoch = self.servers.iter().map(|one| one.epoch).max().unwrap_or(0) + 1;
        let history = self.servers.iter().map(|one| one.history).max().unwrap_or(0) + 1;
        let promoted = &mut self.servers[server];
        (promoted.follows, promoted.epoch, promoted.history) = (None, epoch, history);
        promoted.replicas.clear();
        // Whoever copied it in an earlier reign must copy it anew.
        self.servers.iter_mut().for_each(|server| server.promotable_since = None);
    }

    /// The primary with the highest epoch.
    pub(super) fn primary(&self) -> usize {
        let primaries = self.servers.iter().enumerate().filter(|(_, server)| server.is_primary());
        primaries.max_by_key(|(_, server)| server.epoch).map_or(0, |(number, _)| number)
    }

    /// A running server learns which primary there is, and copies it from now on.
    pub(super) fn learn(&mut self, server: usize) {
        let primary = self.primary();
        let is_running = |number: usize| self.servers[number].life == Life::Running;
        if server == primary || !is_running(server) || !is_running(primary) {
            return;
        }
        if self.servers[server].follows != Some(primary) {
            self.servers[server].follows = Some(primary);
            self.servers[server].promotable_since = None;
            self.servers[server].replicas.clear();
        }
        self.servers[primary].replicas.entry(server).or_insert(false);
    }

    /// The server takes the next request of a connection.
    pub(super) fn serve(&mut self, link: Link) {
        if let Some(mut wire) = self.net.wires.remove(&link) {
            self.serve_wire(&mut wire);
            self.net.wires.insert(link, wire);
        }
    }

    /// A command of a connection that is gone is carried out after all.
    pub(super) fn serve_late(&mut self) {
        if !self.net.late.is_empty() {
            let mut wire = self.net.late.remove(0);
            self.serve_wire(&mut wire);
            if !wire.asked.is_empty() {
                self.net.late.push(wire);
            }
        }
    }

    fn serve_wire(&mut self, wire: &mut Wire) {
        let server = &self.servers[wire.server];
        if server.life != Life::Running {
            return;
        }
        if let Some((replicas, until)) = wire.waits {
            let having = self.having(wire.server, wire.wrote);
            let having = if self.lies { replicas } else { having };
            if having < replicas && self.now < until {
                return;
            }
            wire.waits = None;
            wire.answers.push_back(Said::Replicas(having));
            return;
        }
        match wire.asked.pop_front() {
            None => {}
            Some(Request::Wait(replicas, millis)) => {
                wire.waits = Some((replicas, self.now + Duration::from_millis(u64::from(millis))));
                self.serve_wire(wire);
            }
            Some(Request::Look) => {
                wire.answers.push_back(Said::Sight(server.sight(&self.servers)));
            }
            Some(Request::Progress) => {
                wire.answers.push_back(Said::Progress(self.progress(wire.server)));
            }
            Some(request) => {
                let said = self.servers[wire.server].carry_out(self.now, request);
                wire.wrote = self.servers[wire.server].log.len();
                wire.answers.push_back(said);
            }
        }
    }

    /// How many replicas have so much of a primary's log.
    fn having(&self, primary: usize, length: usize) -> u32 {
        let history = self.servers[primary].history;
        let has = |server: &&Server| {
            server.follows == Some(primary)
                && server.life != Life::Dead
                && (length == 0 || server.history == history && server.log.len() >= length)
        };
        self.servers.iter().filter(has).count() as u32
    }

    fn progress(&self, primary: usize) -> Progress {
        if self.lies {
            let replicas = self.servers.iter().map(|server| (server.address.clone(), 0)).collect();
            return Progress { offset: 0, replicas };
        }
        let (history, offset) = (self.servers[primary].history, self.servers[primary].log.len() as u64);
        let follows = |server: &&Server| server.follows == Some(primary) && server.life != Life::Dead;
        let offset_of = |server: &Server| match server.history == history {
            true => server.log.len() as u64,
            false => 0,
        };
        let replicas = self.servers.iter().filter(follows);
        let replicas = replicas.map(|server| (server.address.clone(), offset_of(server))).collect();
        Progress { offset, replicas }
    }

    /// The links hear the next answer of a connection.
    pub(super) fn hear(&mut self, link: Link) {
        let Some(wire) = self.net.wires.get_mut(&link) else { return };
        let Some(said) = wire.answers.pop_front() else { return };
        let said = if self.links.expected(link).is_some() { said } else { Said::Unread };
        self.links.said(self.now, link, said);
    }

    /// All replicas that run copy everything.
    pub(super) fn replicate(&mut self) {
        for number in 0..self.servers.len() {
            while self.copy(number) {}
        }
    }

    /// A replica copies the next entry. False: there is none.
    pub(super) fn copy(&mut self, number: usize) -> bool {
        let Some(primary) = self.servers[number].follows else { return false };
        let is_running = |number: usize| self.servers[number].life == Life::Running;
        if !is_running(number) || !is_running(primary) || !self.servers[primary].is_primary() {
            return false;
        }
        if self.servers[number].has_all_of(&self.servers[primary]) {
            return false;
        }
        let mut replica = std::mem::replace(&mut self.servers[number], Server::new(number));
        replica.copy(&self.servers[primary]);
        self.servers[number] = replica;
        true
    }

    /// Everything happens that can happen without time.
    pub(super) fn settle(&mut self) {
        for _ in 0..50 {
            self.turn();
            self.replicate();
            let mut is_quiet = true;
            for link in self.net.wires.keys().copied().collect::<Vec<Link>>() {
                is_quiet &= self.net.wires[&link].is_up;
                self.connect(link);
                while self.net.wires.get(&link).is_some_and(|wire| self.is_busy(wire)) {
                    self.serve(link);
                    self.hear(link);
                    is_quiet = false;
                }
            }
            if is_quiet {
                break;
            }
        }
    }

    /// Whether an answer is there, or the server can do something now.
    fn is_busy(&self, wire: &Wire) -> bool {
        let may_serve = self.servers[wire.server].life == Life::Running;
        let is_over = |(replicas, until)| {
            self.lies || self.now >= until || self.having(wire.server, wire.wrote) >= replicas
        };
        let has_work = wire.waits.map_or(!wire.asked.is_empty(), is_over);
        !wire.answers.is_empty() || may_serve && has_work
    }

    /// The same for so long.
    pub(super) fn run(&mut self, millis: u64) {
        let until = self.now + Duration::from_millis(millis);
        while self.now < until {
            self.settle();
            self.pass(10);
        }
        self.settle();
    }
}
