//! What the set-up of a call came to, noted for the server that was given it: what [`crate::farm::failing`] judges by.

use sip::Method;

use crate::farm::server::ServerId;
use crate::memory::calls::{Ended, News};
use crate::signed::hop::Hop;
use crate::way::request::Request;
use crate::way::router::Core;

impl Core {
    /// The server of a held call said nothing at all, and another gets it.
    pub(crate) fn note_silence(&self, request: &Request<'_>, server: ServerId) {
        if request.method == Method::Invite
            && request.first
            && let Some(server) = self.snapshot.by_id(server)
        {
            self.shared.tables.evidence.setup_failed(self.worker, server.seat.slot);
        }
    }

    /// A response said something of a call. Each call counts once, as long as it is remembered: whoever repeats one call without
    /// end must not be able to speak for many.
    pub(crate) fn note_outcome(&self, hop: &Hop, ended: Ended, status: u16, news: News) {
        if hop.to_client {
            return;
        }
        let Some(server) = self.snapshot.by_id(hop.server) else { return };
        let (evidence, slot) = (&self.shared.tables.evidence, server.seat.slot);
        match (ended, news) {
            (Ended::Broken, News::First | News::Further) => evidence.setup_failed(self.worker, slot),
            // The server itself waited in vain, and nobody rang: where its neighbours fare better, it is at fault.
            (Ended::Failed, News::First) if status == 408 => evidence.setup_failed(self.worker, slot),
            (Ended::Ringing | Ended::Answered | Ended::Failed, News::First) => {
                evidence.setup_taken(self.worker, slot);
            }
            _ => {}
        }
    }
}
