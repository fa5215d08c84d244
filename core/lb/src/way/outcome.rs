//! What a response says of its call and of its server. It is passed to the memory of calls, to the notes that
//! [`crate::farm::failing`] judges by, and to the figures of the score.

use base::Time;
use sip::Method;

use crate::farm::server::ServerId;
use crate::memory::calls::ended::{Ended, News};
use crate::outbox::Outbox;
use crate::signed::branch::branch_key;
use crate::signed::hop::{Asked, Hop};
use crate::way::own_via::Response;
use crate::way::request::Request;
use crate::way::view::View;

impl View {
    /// Tells the memory of calls what a response says. Most responses say nothing and cost no look-up.
    pub(crate) fn remember_response(&self, now: Time, response: &Response<'_>, out: &mut Outbox) {
        let &Response { hop, branch, status } = response;
        let ended = Ended::of(hop, status);
        if status >= 200 {
            self.shared.calls.transaction_ended(now, branch, ended);
        }
        let large = self.shared.calls.large_invites();
        if ended == Ended::Ringing
            && !large.is_empty()
            && let (Some(server), Some(branch)) = (self.snapshot.by_id(hop.server), branch_key(branch))
        {
            large.rings(now, branch, server.address);
        }
        let mut news = News::Unknown;
        if ended != Ended::Nothing {
            let told;
            (told, news) = self.shared.calls.ended(now, hop.call, ended, hop.is_of_servers_call());
            if let Some(what) = told {
                self.tell(hop.call, hop.server, what, out);
            }
            if ended == Ended::Answered && matches!(news, News::First | News::Further) && !hop.to_client {
                self.answered_by(now, hop);
            }
        }
        if hop.asked == Asked::Invite && hop.first {
            self.note_outcome(response, ended, news);
        }
        if hop.asked != Asked::Other {
            self.measure(now, response, ended, news);
        }
    }

    /// The call is at the server that answered it, even if the held set-up was given to another server meanwhile.
    fn answered_by(&self, now: Time, hop: &Hop) {
        let remembered = self.shared.calls.server_of(now, hop.call);
        if remembered.is_some_and(|remembered| remembered != hop.server)
            && let Some(server) = self.snapshot.by_id(hop.server).filter(|server| server.is_reachable())
        {
            self.shared.calls.moved(now, hop.call, server);
        }
    }

    /// The server of a request has answered it.
    pub(crate) fn heard(&self, hop: &Hop) {
        if !hop.to_client {
            self.note_answered(hop.server);
        }
    }

    /// Counts what the failure factor of the score is made of (SPEC B1): time-outs, the server's own errors, and calls that
    /// it lost; not the caller's faults or the callee's choices.
    pub(crate) fn note_failure(&self, hop: &Hop, status: u16) {
        let failed = match status {
            // RFC 3261 §21.5: not implemented, version, and too large are about the request.
            501 | 505 | 513 => false,
            408 | 500..600 => true,
            481 => !hop.first,
            _ => false,
        };
        if failed && !hop.to_client {
            self.note_failed(hop.server);
        }
    }

    /// The server of a held call said nothing at all, and another server gets the call.
    pub(crate) fn note_silence(&self, request: &Request<'_>, server: ServerId) {
        if request.method == Method::Invite
            && request.first
            && let Some(server) = self.snapshot.by_id(server)
        {
            self.shared.tables.evidence.setup_failed(self.worker, server.seat.slot);
        }
    }

    /// A response said something of a call. Each call counts once, as long as it is remembered: one call that is repeated
    /// without end must not count for many.
    pub(crate) fn note_outcome(&self, response: &Response<'_>, ended: Ended, news: News) {
        let &Response { hop, status, .. } = response;
        if hop.to_client {
            return;
        }
        let Some(server) = self.snapshot.by_id(hop.server) else { return };
        let (evidence, slot) = (&self.shared.tables.evidence, server.seat.slot);
        match (ended, news) {
            (Ended::Broken, News::First | News::Further) => evidence.setup_failed(self.worker, slot),
            // The server itself waited in vain, and nobody rang: if its neighbours do better, the server is at fault.
            (Ended::Failed, News::First) if status == 408 => evidence.setup_failed(self.worker, slot),
            (Ended::Ringing | Ended::Answered | Ended::Failed, News::First) => {
                evidence.setup_taken(self.worker, slot);
            }
            _ => {}
        }
    }
}

impl Ended {
    fn of(hop: &Hop, status: u16) -> Ended {
        match (hop.asked, status) {
            (_, 100) => Ended::Nothing,
            (Asked::Invite, 101..200) if hop.first => Ended::Ringing,
            (_, 101..200) => Ended::Nothing,
            (Asked::Invite, 200..300) if hop.first => Ended::Answered,
            // The caller tries again at once with the same Call-ID: the call goes on.
            (Asked::Invite | Asked::Bye | Asked::ByeOfServersCall, 401 | 407 | 422) => Ended::Nothing,
            (Asked::Invite, 500 | 502..=504) if hop.first && !hop.to_client => Ended::Broken,
            (Asked::Invite, _) if hop.first => Ended::Failed,
            (Asked::Bye | Asked::ByeOfServersCall, _) => Ended::Over,
            (Asked::Invite | Asked::Register | Asked::Other, _) => Ended::Nothing,
        }
    }
}
