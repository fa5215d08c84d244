//! What one worker owns beside its view: deadlines, chance, what could not be sent, what was refused. Each is a type of its
//! own; `Core` has the few functions that need several of them at once.

use std::net::SocketAddr;
use std::sync::Arc;

use base::{Chance, Time};

use crate::farm::condition::Condition;
use crate::farm::server::Server;
use crate::hold::Alarms;
use crate::outbox::Outbox;
use crate::shared::Shared;
use crate::way::probe;
use crate::way::refused::Refusals;
use crate::way::unsent::Unsent;
use crate::way::view::View;
use crate::way::waiting::Waiting;

/// Held requests handled in one turn; the rest keep the deadline in the past.
pub(crate) const ACTIONS_MAX: usize = 256;

/// All of a router except the parser and the edits, which lend the message and its changes.
pub(crate) struct Core {
    pub view: View,
    pub chance: Chance,
    pub alarms: Alarms,
    pub alarms_of_registrations: Alarms,
    pub unsent: Unsent,
    pub refusals: Refusals,
    /// Requests to host names that are being looked up.
    pub waiting: Waiting,
}

impl Core {
    pub(crate) fn new(shared: Arc<Shared>, worker: u8, chance: Chance) -> Core {
        Core {
            chance,
            alarms: Alarms::new(worker, shared.settings.held_max),
            alarms_of_registrations: Alarms::new(worker, shared.settings.register.in_progress_max),
            unsent: Unsent::default(),
            refusals: Refusals::default(),
            waiting: Waiting::default(),
            view: View::new(shared, worker),
        }
    }

    /// Takes a new snapshot, if there is one. Requests that are held at a server which has failed since are freed for
    /// other servers.
    pub(crate) fn refresh(&mut self, now: Time) {
        let view = &mut self.view;
        if view.shared.epoch() == view.snapshot.epoch {
            return;
        }
        let (renewed, snapshot) = view.shared.published();
        if let Some(renewed) = renewed {
            view.shared = Arc::new(renewed);
        }
        let before = std::mem::replace(&mut view.snapshot, snapshot);
        let (held, registrations) = (&view.shared.held, &view.shared.registrations);
        if held.is_empty() && registrations.is_empty() {
            return;
        }
        // A server on trial has requests, too: those of the calls that try it.
        for server in before.servers().iter().filter(|server| server.condition != Condition::Failed) {
            let stays = |now: &Server| now.is_reachable() || now.since == server.since;
            if !view.snapshot.by_id(server.id).is_some_and(stays) {
                registrations.server_failed(now, &mut self.alarms_of_registrations, server.id);
                match server.state_tier {
                    Some(_) => held.server_failed_in_tier(now, &mut self.alarms, server.id),
                    None => held.server_failed(now, &mut self.alarms, server.id),
                }
            }
        }
    }

    /// A server that ends a connection may want it no longer, or may be dead. Held requests that wait for an answer from that
    /// server are sent again over a new connection. A server that seemed to live is also probed at once: if it is dead, the
    /// connection that the probe needs is refused.
    pub(crate) fn closed(&mut self, now: Time, peer: SocketAddr, out: &mut Outbox) {
        let view = &self.view;
        if view.shared.held.is_empty() {
            return;
        }
        let server = view.snapshot.by_address(peer).filter(|server| server.transport.is_reliable());
        if let Some(server) = server
            && view.shared.held.connection_lost(now, &mut self.alarms, server.id) > 0
            && server.is_reachable()
        {
            for _ in 0..view.shared.settings.fail_after {
                probe::send(view, &mut self.chance, now, server, out);
            }
        }
    }
}
