//! The faults of a farm, when they happen.

use std::net::SocketAddr;

use super::{Event, Farm};
use crate::fate::Fate;
use crate::fault::What;
use crate::link::Way;
use crate::node::{Arrival, Id};

impl Farm {
    pub(super) fn fault(&mut self, what: What) {
        let now = self.clock.now();
        self.note(|| format!("{now:?} *** {what}"));
        let mut is_kind = true;
        match what {
            What::Server { server, fate } => {
                let (id, mut out) = (Id::Server(server), Vec::new());
                let local = self.local(id);
                self.servers[server].suffer(local, fate, &mut out);
                self.send(id, out);
                if fate == Fate::Dead {
                    self.cut_off(id);
                }
            }
            What::ManagerDies(at) => {
                self.managers[at].die();
                self.cut_off(Id::Manager(at));
            }
            What::ManagerStarts(at) => {
                let local = self.local(Id::Manager(at));
                self.managers[at].start(local);
                self.wake(Id::Manager(at));
            }
            What::AddressMoves { to } => {
                let shared = self.scenario.shared_address();
                self.nodes.insert(shared, Id::Manager(to));
                for other in self.link.connected(shared) {
                    self.link.tear(now, shared, other);
                    self.closed(other, shared);
                }
            }
            What::Cut { from, to, both } => {
                for id in [from, to] {
                    if let Id::Server(at) = id {
                        self.servers[at].failed_once = true;
                    }
                }
                self.link.cut(self.way(from, to, both));
            }
            What::Heal { from, to, both } => {
                for (arrives, packet) in self.link.heal(now, self.way(from, to, both)) {
                    self.clock.add(arrives, Event::Deliver { packet, sent: now });
                }
            }
            What::Closes { by, with } => {
                is_kind = false;
                for (one, other) in self.connections(by, with) {
                    if let Some(at) = self.link.close(now, one, other) {
                        is_kind = true;
                        self.clock.add(at, Event::Closed { one, other });
                    }
                }
            }
            What::Tears { by, with } => {
                let between = self.connections(by, with);
                is_kind = !between.is_empty();
                for (one, other) in between {
                    self.link.tear(now, one, other);
                    self.closed(one, other);
                }
            }
            What::Reload { manager, change } => {
                let local = self.local(Id::Manager(manager));
                self.managers[manager].reload(local, change);
            }
            What::ForgedUnreachable { manager, server } => {
                let to = self.servers[server].address;
                let quoted = self.stranger.quote(self.managers[manager].address, to);
                self.arrive(Id::Manager(manager), Arrival::Unreachable { to, quoted: &quoted });
            }
            What::Forged { forgery, caller, manager } => {
                let (to, caller) = (self.managers[manager].address, &self.callers[caller]);
                let packet = self.stranger.forge(forgery, to, &caller.call_id, caller.address);
                self.clock.add(now, Event::Deliver { packet, sent: now });
            }
            What::Weather(weather) => self.link.set_weather(weather),
        }
        self.seen.extend(what.name().filter(|_| is_kind));
    }

    fn way(&self, from: Id, to: Id, both: bool) -> Way {
        Way { from: self.address_of(from), to: self.address_of(to), both }
    }

    /// The connections between two nodes, one of which may also have the shared address.
    fn connections(&self, one: Id, other: Id) -> Vec<(SocketAddr, SocketAddr)> {
        let (one, other) = (self.address_of(one), self.address_of(other));
        self.link.connected(one).into_iter().filter(|to| *to == other).map(|to| (one, to)).collect()
    }

    /// The node's process is gone: the kernel ends its connections.
    fn cut_off(&mut self, id: Id) {
        let (now, address) = (self.clock.now(), self.address_of(id));
        for other in self.link.connected(address) {
            self.link.tear(now, address, other);
            self.closed(other, address);
        }
    }
}
