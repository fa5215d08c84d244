//! A server that says with 503 and Retry-After that it is full (RFC 3261 §21.5.4). It gets no new calls for that time, and a
//! held call goes to another server. As long as another server has room, the caller gets no Retry-After: it would keep away
//! from the whole farm, which has one address.

use std::net::IpAddr;

use base::Time;
use sip::{Edits, Message, Name};
use xxhash_rust::xxh3::xxh3_64;

use crate::farm::condition::Condition;
use crate::farm::hearsay::Refused;
use crate::farm::probes::{ProbeResult, push};
use crate::farm::server::Server;
use crate::hold::{Tried, Why};
use crate::signed::branch::branch_key;
use crate::signed::hop::{Asked, Hop};
use crate::way::core::Core;
use crate::way::own_via::Response;
use crate::way::turn::Turn;
use crate::way::view::View;

/// For how many seconds the server of this request says that it is full. A 503 without Retry-After says no more than a 500.
#[cold]
pub(crate) fn said_full(hop: &Hop, status: u16, response: &Message<'_>) -> Option<u32> {
    let seconds = response.first_value(Name::RetryAfter).and_then(sip::text::leading_decimal)?;
    (status == 503 && !hop.to_client && seconds > 0).then_some(seconds)
}

/// Takes the Retry-After out; the 503 stays, so that a caller with another way may take it.
pub(crate) fn take_out_retry_after(response: &Message<'_>, edits: &mut Edits) {
    for header in response.all(Name::RetryAfter) {
        edits.delete(header.start..header.end);
    }
}

impl View {
    /// A call was refused: tells the control thread, if the server takes new calls.
    pub(crate) fn call_refused(&self, hop: &Hop, response: &Message<'_>, seconds: u32) {
        let takes_calls = |server: &&Server| server.condition == Condition::Active;
        if hop.asked == Asked::Invite && self.snapshot.by_id(hop.server).filter(takes_calls).is_some() {
            let callee = response.first_value(Name::To).map_or(&b""[..], address_in);
            let refused = Refused { caller: hash_of_ip(hop.to.ip()), callee: xxh3_64(callee) };
            let result = ProbeResult {
                server: hop.server,
                call: Some(refused),
                status: 503,
                retry_after: Some(seconds),
            };
            push(&self.shared.probes.results, result);
        }
    }

    /// Whether another server takes new calls.
    pub(crate) fn another_has_room(&self, now: Time, hop: &Hop) -> bool {
        let servers = self.snapshot.servers().iter();
        servers.filter(|server| server.id != hop.server).any(|server| self.is_open(now, server))
    }

    /// The server takes new calls, as of its last heartbeat, and is at no limit of the configuration.
    fn is_open(&self, now: Time, server: &Server) -> bool {
        server.takes_new_calls() && !self.shared.selector.is_at_limit(now, server)
    }

    /// The server refuses a new call by its own fault, and the settings say that another server is then asked. A 502 is about
    /// a gateway behind the server, and goes to the caller.
    pub(crate) fn refuses_by_its_fault(&self, hop: &Hop, status: u16) -> bool {
        matches!(status, 500 | 503 | 504)
            && hop.held
            && hop.first
            && !hop.to_client
            && self.shared.settings.retry_refused
    }
}

impl Core {
    /// Gives a held call to another server that takes new calls and was not tried; the refusal goes no further. False: the
    /// refusal passes.
    pub(crate) fn give_to_another(
        &mut self,
        turn: &mut Turn<'_>,
        message: &Message<'_>,
        response: &Response<'_>,
        why: Why,
    ) -> bool {
        let hop = response.hop;
        if !hop.held || hop.asked != Asked::Invite {
            return false;
        }
        let Some(key) = branch_key(response.branch) else { return false };
        let view = &self.view;
        let another = |tried: &Tried| {
            let servers = view.snapshot.servers().iter().filter(|server| view.is_open(turn.now, server));
            servers.map(|server| server.id).any(|server| server != hop.server && !tried.contains(server))
        };
        let (alarms, server) = (&mut self.alarms, hop.server);
        let Some(verdict) = view.shared.held.refused(turn.now, alarms, key.0, server, why, another) else {
            return false;
        };
        view.carry_out(&verdict, message, server, turn.out);
        true
    }
}

/// A hash that stands for an address, so that the tables need not keep addresses.
fn hash_of_ip(ip: IpAddr) -> u64 {
    match ip.to_canonical() {
        IpAddr::V4(ip) => xxh3_64(&ip.octets()),
        // The owner of one IPv6 address has the 64 bits behind it.
        IpAddr::V6(ip) => xxh3_64(&ip.octets()[..8]),
    }
}

/// A To field without what follows its URI: the parameters differ with each call.
fn address_in(field: &[u8]) -> &[u8] {
    let end = field.iter().position(|byte| matches!(byte, b';' | b'>')).unwrap_or(field.len());
    &field[..end]
}
