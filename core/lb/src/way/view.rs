//! What a worker sees while it handles one message: the state shared by all workers, the current tables, its own counters. No
//! message changes a view. Its methods are in the files of this directory, by topic.

use std::sync::Arc;

use base::Time;
use sip::validate::GoodRequest;
use sip::{Message, Method};

use crate::counters::{Counter, WorkerCounters};
use crate::farm::server::{Server, ServerId};
use crate::farm::snapshot::Snapshot;
use crate::shared::Shared;
use crate::way::request::Request;
use crate::why::{Kind, Note, Ring};

pub(crate) struct View {
    pub shared: Arc<Shared>,
    pub snapshot: Arc<Snapshot>,
    pub worker: u8,
    counters: Arc<WorkerCounters>,
    /// Where choices of servers are noted.
    why: Arc<Ring>,
}

impl View {
    pub(crate) fn new(shared: Arc<Shared>, worker: u8) -> View {
        let snapshot = shared.snapshot();
        let (counters, why) = (shared.counters_of(worker), shared.why.ring(worker));
        View { shared, snapshot, worker, counters, why }
    }

    pub(crate) fn count(&self, counter: Counter) {
        self.counters.add(counter);
    }

    /// The count of this worker.
    pub(crate) fn counted(&self, counter: Counter) -> u64 {
        self.counters.get(counter)
    }

    /// Reads a request of a call that may have begun under keys that are gone.
    pub(crate) fn read<'m>(
        &self,
        now: Time,
        message: &'m Message<'m>,
        good: &'m GoodRequest<'m>,
    ) -> Request<'m> {
        let shared = &self.shared;
        let request = Request::new(message, good, &shared.keys);
        request.going_on(&shared.keys, |call| shared.calls.remembers(now, call))
    }

    /// An ACK asks for no answer, so silence after it says nothing.
    pub(crate) fn note_sent(&self, server: &Server, method: Method) {
        if method != Method::Ack {
            self.shared.tables.evidence.sent(self.worker, server.seat.slot);
        }
    }

    pub(crate) fn note_answered(&self, server: ServerId) {
        if let Some(server) = self.snapshot.by_id(server) {
            self.shared.tables.evidence.answered(self.worker, server.seat.slot);
        }
    }

    /// A request failed through the server's fault.
    pub(crate) fn note_failed(&self, server: ServerId) {
        if let Some(server) = self.snapshot.by_id(server) {
            self.shared.tables.evidence.failed(self.worker, server.seat.slot);
        }
    }

    /// Notes the choice of a server, for `strowger why`. To be called before the choice is counted.
    pub(crate) fn note_choice(
        &self,
        now: Time,
        request: &Request<'_>,
        kind: Kind,
        winner: Option<ServerId>,
        from: Option<ServerId>,
    ) {
        let note = Note { kind, call: request.call, call_id: request.call_id, winner, from };
        self.why.note(now, &self.snapshot, &self.shared.selector, &note);
    }
}
