//! Requests whose Request-URI or next Route names a server of the farm (RFC 3261 §16.5): requests that follow a 302 or a
//! REFER, and requests within a dialog of a client that keeps no Route.
//!
//! The named server gets the request whatever the selection would say, even if the server drains or is full: what the request
//! needs is there. Only a server that has failed is passed over, as for any known call. The memory of calls follows, so that
//! later requests without such a name find the same server.

use heartbeat::notice::What;
use sip::{Method, Reject};

use crate::connections::own::address_of;
use crate::counters::Counter;
use crate::farm::server::{Server, ServerId};
use crate::memory::expiring::Remembered;
use crate::memory::mark::Mark;
use crate::way::draft::Draft;
use crate::way::request::Request;
use crate::way::server_of_call::fits;
use crate::way::turn::Turn;
use crate::way::view::View;
use crate::why::Kind;

impl View {
    /// The server that a request towards the farm names. Within a dialog that has a tag, the tag decides instead.
    pub(crate) fn named(&self, draft: &Draft<'_, '_>) -> Option<&Server> {
        let set = &draft.set;
        if set.tag.is_some() || set.is_meant_for_us() {
            return None;
        }
        let address = set.next(draft.request).and_then(address_of)?;
        self.snapshot.by_address(address).filter(|server| server.is_reachable())
    }

    /// The named server, which the memory of calls takes over; and whether the request, by its tags, is of the call that has
    /// its Call-ID. A stranger's request moves nothing. ACK and CANCEL have the Request-URI of their INVITE, and move nothing
    /// either.
    pub(crate) fn server_named(
        &self,
        turn: &mut Turn<'_>,
        draft: &Draft<'_, '_>,
    ) -> Option<Result<(ServerId, bool), Reject>> {
        let request = draft.request;
        let server = self.named(draft)?;
        if matches!(request.method, Method::Ack | Method::Cancel) {
            return Some(Ok((server.id, true)));
        }
        if request.first {
            return Some(self.begin_at(turn, request, server));
        }
        let known = self.shared.calls.of_dialog(turn.now, request.call);
        if known.is_none() {
            self.note_unknown_dialog(turn, draft, server);
        }
        let of_call = fits(known.and_then(|entry| Mark::in_flags(entry.flags)), request, None);
        if let Some(entry) = known.filter(|entry| of_call && entry.server != server.id.0) {
            self.move_to(turn, request, ServerId(entry.server), server);
        }
        Some(Ok((server.id, of_call)))
    }

    /// A request that may be the first of its call.
    pub(crate) fn begin_at(
        &self,
        turn: &mut Turn<'_>,
        request: &Request<'_>,
        server: &Server,
    ) -> Result<(ServerId, bool), Reject> {
        let (shared, now) = (&*self.shared, turn.now);
        let closing = shared.closing && !request.uri.is_emergency();
        let choose = || (!closing).then(|| (server.id, server.awaits_answer()));
        match shared.calls.server_or(now, request.call, request.from_tag, choose) {
            Remembered::Known(entry) => {
                self.count(Counter::Remembered);
                let of_call = fits(Mark::in_flags(entry.flags), request, None);
                if of_call && entry.server != server.id.0 {
                    self.move_to(turn, request, ServerId(entry.server), server);
                    shared.selector.admit(turn.now, server);
                    if request.method == Method::Invite {
                        shared.calls.begun_elsewhere(now, request.call, server);
                    }
                }
                return Ok((server.id, of_call));
            }
            Remembered::Full | Remembered::Declined if closing => {
                self.count(Counter::Closing);
                return Err(Reject::no_server(shared.settings.retry_after));
            }
            Remembered::Full => self.count(Counter::MemoryFull),
            Remembered::New { .. } | Remembered::Declined => self.count(Counter::NewCall),
        }
        self.note_choice(now, request, Kind::Named, Some(server.id), None);
        self.tell(request.call, server.id, What::Begun, turn.out);
        shared.selector.admit(turn.now, server);
        if request.method == Method::Invite {
            shared.calls.begun(now, request.call, server);
        }
        Ok((server.id, true))
    }

    /// The call was at another server.
    fn move_to(&self, turn: &mut Turn<'_>, request: &Request<'_>, from: ServerId, server: &Server) {
        self.note_choice(turn.now, request, Kind::Named, Some(server.id), Some(from));
        self.shared.calls.moved(turn.now, request.call, server);
        self.tell(request.call, server.id, What::Moved, turn.out);
    }
}
