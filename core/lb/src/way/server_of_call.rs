//! Which server a call has: the one that it was given to while that is there, else the one that takes it over (SPEC A9); and where
//! neither memory nor tag says it, the one that the hash of the Call-ID finds.

use base::Time;
use heartbeat::notice::What;
use sip::{Flow, Method, Reject};

use crate::counters::Counter;
use crate::farm::server::{Server, ServerId};
use crate::memory::calls::is_tried;
use crate::memory::expiring::Entry;
use crate::outbox::{Event, Outbox};
use crate::selection::hash;
use crate::selection::known::known;
use crate::settings::Affinity;
use crate::way::request::Request;
use crate::way::router::Core;
use crate::why::Kind;

impl Core {
    /// The same for a call that is remembered. One that was given to a server on trial is there as long as that may be.
    pub(crate) fn present_or_tried(
        &mut self,
        now: Time,
        entry: Entry,
        request: &Request<'_>,
        flow: Flow,
        out: &mut Outbox,
    ) -> Result<ServerId, Reject> {
        let server = ServerId(entry.server);
        if is_tried(entry) && self.snapshot.by_id(server).is_some_and(Server::awaits_answer) {
            return Ok(server);
        }
        self.present(now, server, request, flow, out)
    }

    /// The server itself if it is up; else the one that takes its calls over (SPEC A9), with a record of it.
    pub(crate) fn present(
        &mut self,
        now: Time,
        server: ServerId,
        request: &Request<'_>,
        flow: Flow,
        out: &mut Outbox,
    ) -> Result<ServerId, Reject> {
        let known = self.snapshot.by_id(server);
        if known.is_some_and(|server| server.is_reachable() || self.has_answered(server)) {
            return Ok(server);
        }
        let was = known.map(|server| server.address);
        let to = self.by_hash(request)?;
        if to == server {
            return Ok(server);
        }
        let Some(taker) = self.snapshot.by_id(to).cloned() else {
            return Err(Reject::no_server(self.shared.settings.retry_after));
        };
        self.note_choice(now, request, Kind::TakenOver, Some(to), Some(server));
        self.shared.calls.moved(now, request.call, &taker);
        self.tell(request.call, to, What::Moved, out);
        self.count(Counter::TakenOver);
        out.events.push(Event::TakenOver {
            call_id: request.call_id.into(),
            method: request.token.into(),
            client: flow.remote,
            from: was,
            to: taker.address,
            why: if known.is_some() { "server failed" } else { "server removed" },
        });
        Ok(to)
    }

    /// The memory of calls is full: the hash says where a new call goes, among those that any choice may name.
    pub(crate) fn by_hash_of_new(&self, request: &Request<'_>) -> Result<ServerId, Reject> {
        let (shared, snapshot, call) = (&self.shared, &self.snapshot, request.call.0);
        let found = hash::with_room(snapshot, shared.settings.hash_kind(), call, shared.selector.admitted());
        match found {
            Some(server) => Ok(server.id),
            // As where there is room to remember it.
            None if request.uri.is_emergency() => self.by_hash(request),
            None => {
                self.count(Counter::NoServer);
                Err(Reject::no_server(shared.settings.retry_after))
            }
        }
    }

    /// Of a call that neither memory nor tag knows. What began while the memory was full is where new calls went then: its CANCEL, and
    /// the ACK to its failure, have no tag. With hash affinity a dialog has one, where the hash does not say it.
    pub(crate) fn by_hash_of_unknown(&self, request: &Request<'_>) -> Result<ServerId, Reject> {
        let shared = &self.shared;
        let set_up = matches!(request.method, Method::Cancel | Method::Ack);
        if shared.calls.is_full() && (set_up || shared.settings.affinity != Affinity::Hash) {
            let (kind, admitted) = (shared.settings.hash_kind(), shared.selector.admitted());
            if let Some(server) = hash::with_room(&self.snapshot, kind, request.call.0, admitted) {
                return Ok(server.id);
            }
        }
        self.by_hash(request)
    }

    /// A server on trial has answered, which the table has not yet seen: so its calls are there.
    fn has_answered(&self, server: &Server) -> bool {
        let answered = || self.shared.tables.evidence.totals(server.seat.slot).answered as u32;
        server.awaits_answer() && answered() != server.answered_before
    }

    /// Where memory and tag say nothing, the hash of the Call-ID does: every load manager finds the same server.
    fn by_hash(&self, request: &Request<'_>) -> Result<ServerId, Reject> {
        let found = known(&self.snapshot, self.shared.settings.hash_kind(), request.call.0);
        found.map(|server| server.id).ok_or_else(|| {
            self.count(Counter::NoServer);
            Reject::no_server(self.shared.settings.retry_after)
        })
    }
}
