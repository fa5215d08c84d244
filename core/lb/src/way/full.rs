//! A server that says with 503 and Retry-After that it is full (RFC 3261 §21.5.4). It gets no new calls for that time; a held
//! call goes to another server; and the caller is not told to keep away, as long as another has room: what the caller would
//! keep away from is the whole farm, which has one address.

use base::Time;
use sip::{Message, Name};

use crate::farm::condition::Condition;
use crate::farm::probes::{ProbeResult, push};
use crate::farm::server::Server;
use crate::outbox::Outbox;
use crate::signed::branch::branch_key;
use crate::signed::hop::{Asked, Hop};
use crate::way::probe::leading_number;
use crate::way::router::Core;

impl Core {
    /// For how many seconds the server of this request says that it is full. Without Retry-After 503 says no more than 500.
    #[cold]
    pub(crate) fn said_full(&self, hop: &Hop, status: u16, response: &Message<'_>) -> Option<u32> {
        let seconds = response.first_value(Name::RetryAfter).and_then(leading_number)?;
        (status == 503 && !hop.to_client && seconds > 0).then_some(seconds)
    }

    /// A call was refused: the control thread is told, where the server takes new calls.
    pub(crate) fn call_refused(&self, hop: &Hop, seconds: u32) {
        let takes_calls = |server: &&Server| server.condition == Condition::Active;
        if hop.asked == Asked::Invite && self.snapshot.by_id(hop.server).filter(takes_calls).is_some() {
            let result =
                ProbeResult { server: hop.server, call: true, status: 503, retry_after: Some(seconds) };
            push(&self.shared.probes.results, result);
        }
    }

    /// Whether another server takes what this one refused.
    pub(crate) fn another_has_room(&self, hop: &Hop) -> bool {
        let servers = self.snapshot.servers().iter();
        servers.filter(|server| server.id != hop.server).any(Server::takes_new_calls)
    }

    /// A held call goes to another server, and the refusal no further. False: it passes.
    pub(crate) fn give_to_another(
        &mut self,
        now: Time,
        hop: &Hop,
        branch: &[u8],
        response: &Message<'_>,
        out: &mut Outbox,
    ) -> bool {
        if !hop.held || hop.asked != Asked::Invite {
            return false;
        }
        let Some(key) = branch_key(branch) else { return false };
        let shared = self.shared.clone();
        let Some(verdict) = shared.held.refused(now, &mut self.alarms, key.0, hop.server) else {
            return false;
        };
        self.carry_out(&verdict, response, hop.server, out);
        true
    }

    /// Takes out what would tell the caller to keep away; 503 stays, so that whoever has another way may take it.
    pub(crate) fn take_out_retry_after(&mut self, response: &Message<'_>) {
        for header in response.all(Name::RetryAfter) {
            self.edits.delete(header.start..header.end);
        }
    }
}
