//! Which server an HTTP request goes to (SPEC A13): the server of its session, so that SIP and HTTP of one session meet at
//! one place. A pure function of the request's head and of what is known of the farm; the edge handles connections.
//!
//! An identifier that is a tag names its server, as in SIP. Any other identifier is taken for a Call-ID: memory says where
//! that call is, else the hash, which is the same as SIP's. Without an identifier a server is chosen, and a cookie names it.
//! Nothing that a client sends names a place: it names a server of the table or none, and the configuration says where that
//! server's HTTP is.

use std::collections::HashMap;
use std::net::SocketAddr;

use base::{Chance, Time};

use crate::farm::active_table::Tier;
use crate::farm::server::{Server, ServerId};
use crate::farm::snapshot::Snapshot;
use crate::http::identifier::{as_cookie, session_id, session_text};
use crate::selection::hash::first_usable;
use crate::selection::round_robin::RoundRobin;
use crate::settings::Affinity;
use crate::shared::Shared;

pub mod identifier;

pub use identifier::{Asked, Carrier, Head, Identifier, Names};

/// Where the HTTP of the servers is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Places {
    /// Servers with an HTTP address of their own.
    pub named: HashMap<ServerId, SocketAddr>,
    /// The HTTP port of all others, at their SIP address; `None`: they have no HTTP.
    pub port: Option<u16>,
}

impl Places {
    pub fn of(&self, server: &Server) -> Option<SocketAddr> {
        let at_port = || self.port.map(|port| SocketAddr::new(server.address.ip(), port));
        self.named.get(&server.id).copied().or_else(at_port)
    }
}

/// How the server was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Found {
    /// A tag named it.
    Tag,
    /// The memory of calls named it.
    Memory,
    /// The hash of the identifier named it.
    Hash,
    /// It was chosen for a new session.
    Selected,
    /// Another server has the session, and that server is gone, has no HTTP, or does not answer.
    TakenOver,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Choice {
    pub server: ServerId,
    pub place: SocketAddr,
    pub found: Found,
    /// Value of the cookie that the response is to set.
    pub cookie: Option<String>,
}

/// Chooses servers; one chooser for all requests.
#[derive(Debug, Default)]
pub struct Chooser {
    turn: RoundRobin,
}

/// The farm as known at this moment.
#[derive(Clone, Copy)]
pub struct View<'a> {
    pub now: Time,
    pub shared: &'a Shared,
    pub snapshot: &'a Snapshot,
    pub places: &'a Places,
}

impl Chooser {
    /// The server for a request. The servers in `not` do not answer. `None`: there is none (503).
    pub fn choose(
        &self,
        view: View<'_>,
        asked: &Asked,
        not: &[ServerId],
        chance: &mut Chance,
    ) -> Option<Choice> {
        let Some((identifier, carrier, text)) = &asked.who else {
            return self.select(view, not, chance);
        };
        let (server, found) = view.server_of(identifier, not)?;
        let keys = &view.shared.keys;
        let cookie = match identifier {
            // The same session at another server: every load manager finds that server, even before the new cookie comes.
            Identifier::Tagged { id, .. } if identifier.is_of_http() && found == Found::TakenOver => {
                Some(session_text(keys, server.id, id))
            }
            // Pages that a link led to make further requests without the link's parameter.
            _ if *carrier == Carrier::Parameter && !asked.has_cookie => Some(text.clone()),
            _ => None,
        };
        let place = view.places.of(server)?;
        Some(Choice { server: server.id, place, found, cookie: cookie.map(|text| as_cookie(&text)) })
    }

    /// In turn, by weight, among the servers of the best priority that take new calls.
    fn select(&self, view: View<'_>, not: &[ServerId], chance: &mut Chance) -> Option<Choice> {
        if view.shared.closing {
            return None;
        }
        let server_at = |position: u16| &view.snapshot.servers()[usize::from(position)];
        let of_tier = |tier| self.turn.next(tier, |position| view.usable(server_at(position), not));
        let server = server_at(view.snapshot.active().tiers().iter().find_map(of_tier)?);
        let text = session_text(&view.shared.keys, server.id, &session_id(chance.next_u64()));
        let place = view.places.of(server)?;
        Some(Choice { server: server.id, place, found: Found::Selected, cookie: Some(as_cookie(&text)) })
    }
}

impl<'a> View<'a> {
    fn usable(&self, server: &Server, not: &[ServerId]) -> bool {
        self.places.of(server).is_some() && !not.contains(&server.id)
    }

    fn server_of(&self, identifier: &Identifier, not: &[ServerId]) -> Option<(&'a Server, Found)> {
        let named = match identifier {
            // As in SIP: the session list knows of calls that were taken over; without a session list, the tag decides.
            Identifier::Tagged { tag, id } => match self.shared.settings.affinity {
                Affinity::Session if !identifier.is_of_http() => {
                    Some(self.remembered(id).unwrap_or((tag.server, Found::Tag)))
                }
                _ => Some((tag.server, Found::Tag)),
            },
            Identifier::Opaque(id) => self.remembered(id),
        };
        let Some((named, found)) = named else {
            return Some((self.by_hash(identifier, not)?, Found::Hash));
        };
        let server = self.snapshot.by_id(named);
        match server.filter(|server| server.is_reachable() && self.usable(server, not)) {
            Some(server) => Some((server, found)),
            None => Some((self.by_hash(identifier, not)?, Found::TakenOver)),
        }
    }

    fn remembered(&self, id: &[u8]) -> Option<(ServerId, Found)> {
        let (keys, calls) = (&self.shared.keys, &self.shared.calls);
        let keys = [Some(keys.call(id)), keys.previous_call(id)];
        let server = keys.into_iter().flatten().find_map(|call| calls.server_of(self.now, call))?;
        Some((server, Found::Memory))
    }

    /// The same search as in SIP for a call of which nothing else is known, so that both find the same server. A session of
    /// HTTP alone goes preferably to a server that takes new calls.
    fn by_hash(&self, identifier: &Identifier, not: &[ServerId]) -> Option<&'a Server> {
        let (snapshot, kind) = (self.snapshot, self.shared.settings.hash_kind());
        let hash = self.shared.keys.call(identifier.id()).0;
        let find = |good: &dyn Fn(&Server) -> bool| {
            let usable = |position: u16| {
                let server = &snapshot.servers()[usize::from(position)];
                good(server) && self.usable(server, not)
            };
            first_usable(snapshot, kind, hash, usable).map(|at| &snapshot.servers()[usize::from(at)])
        };
        let open = || {
            let of_tier =
                |tier: &Tier| find(&|server| server.takes_new_calls() && server.priority == tier.priority());
            snapshot.active().tiers().iter().find_map(of_tier)
        };
        identifier.is_of_http().then(open).flatten().or_else(|| find(&Server::is_reachable))
    }
}

#[cfg(test)]
mod tests;
