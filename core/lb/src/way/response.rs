//! Responses: no table is asked where a response goes. Our own topmost Via says it (RFC 3261 §16.11, §18.2.2; SPEC C4).
//!
//! The hop in that Via is authenticated and holds all that is needed, so a datagram whose second line is a Via of ours is
//! passed on without a look at the rest ([`View::quick_response`]). Every other response is parsed; only its topmost Via and
//! its CSeq must be good, which identify a response (RFC 3261 §17.1.3).

use sip::headers::via;
use sip::validate::GoodResponse;
use sip::{Edits, Message, Method, Name, Parser, Start, Target};
use turn::Outgoing;

use crate::connections::keep_alive;
use crate::counters::Counter;
use crate::hold::Why;
use crate::memory::calls::ended::{Ended, News};
use crate::way::core::Core;
use crate::way::encapsulated::{self, Encapsulated, NextHop};
use crate::way::forward;
use crate::way::full;
use crate::way::held;
use crate::way::own_via::{OwnVia, Response};
use crate::way::private_tag;
use crate::way::probe;
use crate::way::tier;
use crate::way::turn::Turn;
use crate::way::view::View;

impl Core {
    /// Passes on the response in an encapsulated response, to the next hop that the server named: on the connection that the
    /// request came on, or, if that is gone, on one to the next hop (RFC 3261 §18.2.2).
    #[cold]
    pub(crate) fn encapsulated(
        &mut self,
        turn: &mut Turn<'_>,
        bytes: &[u8],
        parser: &mut Parser,
        edits: &mut Edits,
    ) {
        let view = &self.view;
        let is_server = view.snapshot.is_server_ip(turn.flow.remote.ip());
        let key = view.shared.settings.keys.heartbeat.as_deref().filter(|_| is_server);
        let believed = key.and_then(|key| encapsulated::read(bytes, key).ok());
        let Some(Encapsulated { next_hop, response }) = believed else {
            view.count(Counter::ForgedEncapsulation);
            return self.refusals.dropped(turn, None, "an encapsulated response that is not believed");
        };
        match parser.parse(&bytes[response]) {
            Ok(message) if matches!(message.start(), Start::Response { .. }) => {
                view.count(Counter::Encapsulated);
                self.response(turn, &message, Some(next_hop), edits);
            }
            _ => view.count(Counter::BadResponse),
        }
    }

    /// `next_hop`: named by the server; else the response goes where the request came from.
    pub(crate) fn response(
        &mut self,
        turn: &mut Turn<'_>,
        message: &Message<'_>,
        next_hop: Option<NextHop>,
        edits: &mut Edits,
    ) {
        let Start::Response { status, .. } = message.start() else { return };
        let Ok(good) = sip::validate::response(message) else {
            self.view.count(Counter::BadResponse);
            return self.refusals.dropped(turn, Some(message), "not a valid response");
        };
        let via = OwnVia::read(&good);
        let hop = via.as_ref().and_then(|via| via.hop(&self.view.shared.keys));
        let (Some(via), Some(mut hop)) = (via, hop) else {
            self.view.count(Counter::ForeignResponse);
            return self.refusals.dropped(turn, Some(message), "the topmost Via is not ours");
        };
        if hop.probe {
            return probe::answered(message, hop.server, status, &self.view.shared.probes);
        }
        if let Some(next_hop) = next_hop {
            if !hop.fits(next_hop.transport) || hop.to.is_ipv4() != next_hop.address.is_ipv4() {
                return self.view.count(Counter::NoListener);
            }
            hop.to = next_hop.address;
        }
        self.view.name_speaker(&mut hop, turn.flow);
        let response = Response { hop: &hop, branch: via.branch, status };
        self.response_by_hop(turn, message, &good, &response, edits);
    }

    /// A valid response to a request that we sent on.
    fn response_by_hop(
        &mut self,
        turn: &mut Turn<'_>,
        message: &Message<'_>,
        good: &GoodResponse<'_>,
        response: &Response<'_>,
        edits: &mut Edits,
    ) {
        let (hop, status, method) = (response.hop, response.status, good.cseq.method);
        self.view.look_past(turn, response, message.bytes());
        if method == Method::Register && hop.connection.is_some() {
            self.view.note_registered(turn.now, message, response);
        }
        let cut = via::pop(message, &good.via).filter(|_| good.has_below);
        let mut keeps_away = false;
        let is_own = status >= 300 && self.view.may_differ_elsewhere(hop, status, message);
        let full = full::said_full(hop, status, message).filter(|_| is_own);
        if let Some(seconds) = full {
            self.view.call_refused(hop, message, seconds);
            keeps_away = self.view.another_has_room(turn.now, hop);
        }
        let refused = match full {
            Some(_) => Some(Why::Full),
            None => (is_own && self.view.refuses_by_its_fault(hop, status)).then_some(Why::Refused),
        };
        if let Some(why) = refused
            && self.give_to_another(turn, message, response, why)
        {
            self.view.heard(hop);
            if why == Why::Refused && self.view.shared.calls.refused(turn.now, hop.call) {
                self.view.note_outcome(response, Ended::Broken, News::First);
            }
            return self.view.note_failure(hop, status);
        }
        // Held for its answer alone (`register`); a server that sends a REGISTER to a client waits for no answer of ours. A
        // response that nobody may get as it is counts only as a sign of life.
        if method == Method::Register && hop.held && (cut.is_some() || status < 200) {
            return self.register_response(turn.now, message, response);
        }
        let asker = self.view.last_asker(response, held::class(method));
        if self.view.is_held(response) && !self.held_response(turn, message, response, method) {
            self.view.heard(hop);
            return self.view.count(Counter::LateResponse);
        }
        let view = &self.view;
        let Some(cut) = cut else { return view.for_us(turn, response) };
        let taker = match &asker {
            Some(asker) => Some(asker.back),
            // A 100 is for one hop, and that hop is gone.
            None if status == 100 => None,
            None => view.taker_of_response(turn, hop, message, good.cseq.token),
        };
        let passed = view.pass_on(turn, response, taker, |text| {
            edits.clear();
            edits.delete(cut);
            if keeps_away {
                full::take_out_retry_after(message, edits);
            }
            view.edit_response(message, response, method, taker.is_some(), edits);
            if let Some(asker) = &asker {
                tier::write_via_of(asker, message, &good.via, edits);
            }
            edits.write_into(message.bytes(), message.end(), text);
        });
        let is_failure = method == Method::Invite && status >= 300 && !hop.to_client;
        if passed && is_failure && turn.flow.transport.is_reliable() && hop.connection.is_none() {
            self.repeat_failure(turn, response);
        }
    }
}

impl View {
    /// False: this datagram must be parsed.
    pub(crate) fn quick_response(&self, turn: &mut Turn<'_>, bytes: &[u8]) -> bool {
        let shared = &self.shared;
        let Some((status, via, cut)) = OwnVia::second_line(bytes, &shared.own) else { return false };
        let Some(mut hop) = via.hop(&shared.keys) else { return false };
        self.name_speaker(&mut hop, turn.flow);
        // A stream needs the exact length; a held request or a probe of ours needs more than the hop; a 503 may say that the
        // server is full; a server that failed gets nothing.
        let response = Response { hop: &hop, branch: via.branch, status };
        let is_held = self.is_held(&response);
        let is_special = hop.probe || is_held || hop.connection.is_some() || status == 503;
        if is_special || hop.to_client && self.snapshot.is_gone(hop.server) {
            return false;
        }
        self.look_past(turn, &response, bytes);
        self.pass_on(turn, &response, None, |text| {
            text.extend_from_slice(&bytes[..cut.start]);
            text.extend_from_slice(&bytes[cut.end..]);
        });
        true
    }

    /// Changes a response beside our Via. `moved`: it goes to another server than the one that asked.
    fn edit_response(
        &self,
        message: &Message<'_>,
        response: &Response<'_>,
        method: Method,
        moved: bool,
        edits: &mut Edits,
    ) {
        let hop = response.hop;
        if message.first(Name::RecordRoute).is_some() {
            private_tag::write_copies(message, hop, &self.shared.keys, edits);
        }
        if hop.connection.is_some() || moved {
            forward::add_length(message, edits);
        }
        if method == Method::Register
            && !hop.to_client
            && let Some(own) = self.shared.own.get(hop.listener)
        {
            let first_hop = keep_alive::has_vias(message, 2);
            keep_alive::add_flow_timer(message, first_hop, own.transport, edits);
        }
    }

    /// There is no Via below ours: the response goes no further (RFC 3261 §16.7 step 3). A 100 may be so, as it is for one
    /// hop; in any other response the sender has lost the Via that its caller needs.
    fn for_us(&self, turn: &mut Turn<'_>, response: &Response<'_>) {
        self.heard(response.hop);
        if response.status != 100 {
            self.note_failure(response.hop, response.status);
            self.count(Counter::BadResponse);
            self.remember_response(turn.now, response, turn.out);
        }
    }

    /// False: no listener of ours can send it.
    fn pass_on(
        &self,
        turn: &mut Turn<'_>,
        response: &Response<'_>,
        taker: Option<Target>,
        write: impl FnOnce(&mut Vec<u8>),
    ) -> bool {
        let hop = response.hop;
        self.heard(hop);
        self.note_failure(hop, response.status);
        let fits =
            taker.is_some() || self.shared.own.get(hop.listener).is_some_and(|own| hop.fits(own.transport));
        if fits {
            let from = turn.out.bytes.len() as u32;
            write(&mut turn.out.bytes);
            turn.out.sends.push(Outgoing {
                bytes: from..turn.out.bytes.len() as u32,
                to: taker.unwrap_or(hop.target()),
                fallback: None,
                call: hop.call.0,
            });
        }
        self.count(if fits { Counter::Response } else { Counter::NoListener });
        self.remember_response(turn.now, response, turn.out);
        fits
    }
}
