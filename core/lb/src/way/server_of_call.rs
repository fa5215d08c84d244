//! Which server a call has: the server that it was given to, as long as that is there, else the one that takes it over
//! (SPEC A9). If neither memory nor tag says it: the server by the hash of the Call-ID. A new call is given to a server by
//! selection.

use base::{Chance, Time};
use heartbeat::notice::What;
use sip::{Method, Reject};

use crate::counters::Counter;
use crate::farm::server::{Server, ServerId};
use crate::memory::calls::flags::is_tried;
use crate::memory::expiring::{Entry, Remembered};
use crate::memory::mark::Mark;
use crate::outbox::Event;
use crate::selection::hash;
use crate::selection::known::known;
use crate::settings::Affinity;
use crate::signed::tag::Tag;
use crate::way::request::Request;
use crate::way::turn::Turn;
use crate::way::view::View;
use crate::why::Kind;

impl View {
    /// The server of the request's call, chosen if the call is new; and whether the request's tags, too, are of that
    /// call.
    pub(crate) fn server_for(
        &self,
        turn: &mut Turn<'_>,
        request: &Request<'_>,
        tag: Option<&Tag>,
        chance: &mut Chance,
    ) -> Result<(ServerId, bool), Reject> {
        let (shared, now) = (&*self.shared, turn.now);
        let tagged = tag.map(|tag| tag.server);
        // Only a request that may be the first of its call is remembered. ACK and CANCEL follow another request.
        let may_be_new = request.first && !matches!(request.method, Method::Ack | Method::Cancel);
        if shared.settings.affinity == Affinity::Tag
            && let Some(server) = tagged
        {
            let of_call = self.is_of_call(now, request, tag);
            return Ok((self.present(turn, server, request)?, of_call));
        }
        if !may_be_new {
            let known = shared.calls.of_dialog(now, request.call);
            let mark = known.and_then(|entry| Mark::in_flags(entry.flags));
            let of_call = fits(mark, request, tag);
            let server = match (known, shared.settings.affinity) {
                (Some(entry), _) => {
                    return Ok((self.present_or_tried(turn, entry, request)?, of_call));
                }
                (None, Affinity::Session | Affinity::Tag) => match tagged {
                    Some(server) => {
                        shared.calls.adopt(now, request.call, server);
                        server
                    }
                    None => self.by_hash_of_unknown(now, request)?,
                },
                (None, Affinity::Hash) => match tag.filter(|tag| tag.placed) {
                    Some(tag) => tag.server,
                    None => self.by_hash_of_unknown(now, request)?,
                },
            };
            return Ok((self.present(turn, server, request)?, of_call));
        }
        let (emergency, call) = (request.uri.is_emergency(), request.call.0);
        let remembered = shared.calls.server_or(now, request.call, request.from_tag, || {
            let mut candidates = shared.selector.candidates(now, &self.snapshot, call, chance);
            let chosen = if shared.closing && !emergency { None } else { candidates.next() };
            // A call for help is not turned away because servers are full or draining (RFC 5031): any live server gets
            // it.
            let anyone = || known(&self.snapshot, shared.settings.hash_kind(), call).filter(|_| emergency);
            chosen.or_else(anyone).map(|server| (server.id, server.awaits_answer()))
        });
        let (server, kind) = match remembered {
            Remembered::New { entry, .. } => {
                self.count(Counter::NewCall);
                (ServerId(entry.server), Kind::Selected)
            }
            Remembered::Known(entry) => {
                self.count(Counter::Remembered);
                let of_call = fits(Mark::in_flags(entry.flags), request, tag);
                let server = self.present_or_tried(turn, entry, request)?;
                return Ok((server, of_call));
            }
            Remembered::Full | Remembered::Declined if shared.closing && !emergency => {
                self.count(Counter::Closing);
                return Err(Reject::no_server(shared.settings.retry_after));
            }
            Remembered::Full => {
                self.count(Counter::MemoryFull);
                (self.by_hash_of_new(now, request)?, Kind::Hashed)
            }
            Remembered::Declined => {
                self.note_choice(now, request, Kind::Refused, None, None);
                return Err(self.no_room(now));
            }
        };
        shared.selector.note_limits(now, &self.snapshot);
        self.note_choice(now, request, kind, Some(server), None);
        self.tell(request.call, server, What::Begun, turn.out);
        if let Some(chosen) = self.snapshot.by_id(server) {
            self.shared.selector.admit(now, chosen);
            if request.method == Method::Invite {
                self.shared.calls.begun(now, request.call, chosen);
            }
        }
        Ok((server, true))
    }

    /// Whether a request, by its tags, is of the call that has its Call-ID. Looked up only if something is kept of answered
    /// calls.
    pub(crate) fn is_of_call(&self, now: Time, request: &Request<'_>, tag: Option<&Tag>) -> bool {
        // No other request within a dialog ends anything.
        let may_end = request.method == Method::Bye || request.method == Method::Invite && request.first;
        if !may_end || !self.shared.calls.keeps_anything() {
            return true;
        }
        fits(self.shared.calls.mark(now, request.call), request, tag)
    }

    /// The server of a remembered call. A call that was given to a server on trial stays there as long as the trial lasts.
    pub(crate) fn present_or_tried(
        &self,
        turn: &mut Turn<'_>,
        entry: Entry,
        request: &Request<'_>,
    ) -> Result<ServerId, Reject> {
        let server = ServerId(entry.server);
        if is_tried(entry) && self.snapshot.by_id(server).is_some_and(Server::awaits_answer) {
            return Ok(server);
        }
        self.present(turn, server, request)
    }

    /// The server itself if it is up; else the server that takes its calls over (SPEC A9), with a record.
    pub(crate) fn present(
        &self,
        turn: &mut Turn<'_>,
        server: ServerId,
        request: &Request<'_>,
    ) -> Result<ServerId, Reject> {
        let known = self.snapshot.by_id(server);
        if known.is_some_and(|server| server.is_reachable() || self.has_answered(server)) {
            return Ok(server);
        }
        let was = known.map(|server| server.address);
        let to = match self.taker_in_tier(server, request.call, |_| true) {
            Some(taker) => taker.id,
            None => self.by_hash(request)?,
        };
        if to == server {
            return Ok(server);
        }
        let Some(taker) = self.snapshot.by_id(to) else {
            return Err(Reject::no_server(self.shared.settings.retry_after));
        };
        self.note_choice(turn.now, request, Kind::TakenOver, Some(to), Some(server));
        self.shared.calls.moved(turn.now, request.call, taker);
        self.tell(request.call, to, What::Moved, turn.out);
        self.count(Counter::TakenOver);
        turn.out.events.push(Event::TakenOver {
            call_id: request.call_id.into(),
            method: request.token.into(),
            client: turn.flow.remote,
            from: was,
            to: taker.address,
            why: if known.is_some() { "server failed" } else { "server removed" },
        });
        Ok(to)
    }

    /// The memory of calls is full: a new call goes by the hash to one of the servers that any selection may choose.
    pub(crate) fn by_hash_of_new(&self, now: Time, request: &Request<'_>) -> Result<ServerId, Reject> {
        let (shared, snapshot, call) = (&self.shared, &self.snapshot, request.call.0);
        let found = hash::with_room(now, snapshot, shared.settings.hash_kind(), call, &shared.selector);
        match found {
            Some(server) => Ok(server.id),
            // As if there were room to remember the call.
            None if request.uri.is_emergency() => self.by_hash(request),
            None => Err(self.no_room(now)),
        }
    }

    /// No server has room for a new call: the reason says whether limits of the configuration are why.
    fn no_room(&self, now: Time) -> Reject {
        let shared = &self.shared;
        self.count(Counter::NoServer);
        if shared.selector.note_limits(now, &self.snapshot) {
            self.count(Counter::LimitsReached);
            return Reject::limits_reached(shared.settings.retry_after);
        }
        Reject::no_server(shared.settings.retry_after)
    }

    /// For a call that neither memory nor tag knows. While the memory is full, such requests go where new calls go: the
    /// CANCEL of a call that began then, and the ACK to its failure, have no tag. With hash affinity a dialog has a tag if
    /// the hash does not name its server.
    pub(crate) fn by_hash_of_unknown(&self, now: Time, request: &Request<'_>) -> Result<ServerId, Reject> {
        let shared = &self.shared;
        let set_up = matches!(request.method, Method::Cancel | Method::Ack);
        if shared.calls.is_full() && (set_up || shared.settings.affinity != Affinity::Hash) {
            let (kind, call) = (shared.settings.hash_kind(), request.call.0);
            if let Some(server) = hash::with_room(now, &self.snapshot, kind, call, &shared.selector) {
                return Ok(server.id);
            }
        }
        self.by_hash(request)
    }

    /// A server on trial has answered, and the table has not seen that yet: its calls are there.
    pub(crate) fn has_answered(&self, server: &Server) -> bool {
        let answered = || self.shared.tables.evidence.totals(server.seat.slot).answered as u32;
        server.awaits_answer() && answered() != server.answered_before
    }

    /// If memory and tag say nothing, the hash of the Call-ID decides: every load manager finds the same server.
    fn by_hash(&self, request: &Request<'_>) -> Result<ServerId, Reject> {
        let found = known(&self.snapshot, self.shared.settings.hash_kind(), request.call.0);
        found.map(|server| server.id).ok_or_else(|| {
            self.count(Counter::NoServer);
            Reject::no_server(self.shared.settings.retry_after)
        })
    }
}

/// Decides by who began the call, if that is remembered; else a request within a dialog needs a tag of ours, which is bound
/// to the call.
pub(crate) fn fits(mark: Option<Mark>, request: &Request<'_>, tag: Option<&Tag>) -> bool {
    match mark {
        Some(mark) => mark.fits(request.from_tag, request.to_tag),
        None => request.first || tag.is_some(),
    }
}
