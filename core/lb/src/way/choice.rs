//! Notes the choice of a server, for those who ask why.

use crate::farm::server::ServerId;
use crate::way::request::Request;
use crate::way::router::Core;
use crate::why::{Kind, Note};
use base::Time;

impl Core {
    /// To be called before the choice is counted.
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
