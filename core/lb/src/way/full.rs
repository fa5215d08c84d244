//! A server that says with 503 and Retry-After that it is full (RFC 3261 §21.5.4). It gets no new calls for that time; a held
//! call goes to another server; and the caller is not told to keep away, as long as another has room: what the caller would
//! keep away from is the whole farm, which has one address.

use std::net::IpAddr;

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

/// For how many seconds the server of this request says that it is full. Without Retry-After 503 says no more than 500.
#[cold]
pub(crate) fn said_full(hop: &Hop, status: u16, response: &Message<'_>) -> Option<u32> {
    let seconds = response.first_value(Name::RetryAfter).and_then(sip::text::leading_decimal)?;
    (status == 503 && !hop.to_client && seconds > 0).then_some(seconds)
}

/// Takes out what would tell the caller to keep away; 503 stays, so that whoever has another way may take it.
pub(crate) fn take_out_retry_after(response: &Message<'_>, edits: &mut Edits) {
    for header in response.all(Name::RetryAfter) {
        edits.delete(header.start..header.end);
    }
}

impl View {
    /// A call was refused: the control thread is told, where the server takes new calls.
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

    /// Whether another server takes what this one refused.
    pub(crate) fn another_has_room(&self, hop: &Hop) -> bool {
        let servers = self.snapshot.servers().iter();
        servers.filter(|server| server.id != hop.server).any(Server::takes_new_calls)
    }

    /// The server of a new call refuses it by its own fault, and the settings say that another is asked then. 502 is said of a
    /// gateway behind, and goes to the caller.
    pub(crate) fn refuses_by_its_fault(&self, hop: &Hop, status: u16) -> bool {
        matches!(status, 500 | 503 | 504)
            && hop.held
            && hop.first
            && !hop.to_client
            && self.shared.settings.retry_refused
    }
}

impl Core {
    /// A held call goes to another server that takes new calls, where there is one that was not tried, and the refusal no further. False: it passes.
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
            let servers = view.snapshot.servers().iter().filter(|server| server.takes_new_calls());
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

/// What stands for an address, so that the tables need not keep any.
fn hash_of_ip(ip: IpAddr) -> u64 {
    match ip.to_canonical() {
        IpAddr::V4(ip) => xxh3_64(&ip.octets()),
        // Whoever has one address of IPv6 has the 64 bits behind it.
        IpAddr::V6(ip) => xxh3_64(&ip.octets()[..8]),
    }
}

/// A To field less what stands behind its URI: its parameters differ with each call.
fn address_in(field: &[u8]) -> &[u8] {
    let end = field.iter().position(|byte| matches!(byte, b';' | b'>')).unwrap_or(field.len());
    &field[..end]
}
