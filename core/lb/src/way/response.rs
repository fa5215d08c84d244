//! Responses: no table is asked where one goes. Our own topmost Via says it (RFC 3261 §16.11, §18.2.2; SPEC C4).
//!
//! The hop in it is authenticated and holds all that is needed, so a datagram whose second line is a Via of ours is passed on
//! without a look at the rest ([`Core::quick_response`]). Every other response is parsed; of it the topmost Via and the CSeq
//! must be good, which is what a response is known by (RFC 3261 §17.1.3), and nothing else.

use std::net::SocketAddr;
use std::ops::Range;

use base::Time;
use sip::headers::via;
use sip::text::line_end;
use sip::validate::GoodResponse;
use sip::{Message, Method, Name, Start, Target};
use turn::Outgoing;

use crate::connections::keep_alive;
use crate::connections::own::OwnAddresses;
use crate::counters::Counter;
use crate::farm::delays::Delay;
use crate::hold::Why;
use crate::memory::calls::{Ended, News};
use crate::outbox::Outbox;
use crate::signed::branch::{BRANCH_LENGTH, branch_key};
use crate::signed::hop::{self, Asked, Hop};
use crate::signed::stamp::Stamp;
use crate::way::encapsulated::NextHop;
use crate::way::forward;
use crate::way::router::Core;

impl Core {
    /// False: this datagram takes the whole way.
    pub(crate) fn quick_response(&mut self, now: Time, bytes: &[u8], out: &mut Outbox) -> bool {
        let Some(ours) = OwnVia::second_line(bytes, &self.shared.own) else { return false };
        let Some(hop) = Hop::read(&self.shared.keys, ours.hop, ours.branch) else { return false };
        // A stream needs the exact length, what is held or ours needs more than the hop, a server may say that it is full, and one
        // that failed hears nothing.
        let is_special = hop.probe || hop.held || hop.connection.is_some() || ours.status == 503;
        if is_special || hop.to_client && self.has_failed(hop.server) {
            return false;
        }
        self.pass_on(now, (&hop, None), ours.branch, ours.status, out, |_, text| {
            text.extend_from_slice(&bytes[..ours.cut.start]);
            text.extend_from_slice(&bytes[ours.cut.end..]);
        });
        true
    }

    /// `from`: who sent it. `next_hop`: the server named it; else it is where the request came from. An error says why nobody gets the response.
    pub(crate) fn response(
        &mut self,
        now: Time,
        message: &Message<'_>,
        from: SocketAddr,
        next_hop: Option<NextHop>,
        out: &mut Outbox,
    ) -> Result<(), &'static str> {
        let Ok(good) = sip::validate::response(message) else {
            self.count(Counter::BadResponse);
            return Err("not a valid response");
        };
        let Some(way) = self.our_hop(&good) else {
            self.count(Counter::ForeignResponse);
            return Err("the topmost Via is not ours");
        };
        self.response_by_hop(now, message, &good, way, (from, next_hop), out);
        Ok(())
    }

    /// A valid response to a request that we sent on.
    fn response_by_hop(
        &mut self,
        now: Time,
        message: &Message<'_>,
        good: &GoodResponse<'_>,
        (mut hop, branch): (Hop, &[u8]),
        (from, next_hop): (SocketAddr, Option<NextHop>),
        out: &mut Outbox,
    ) {
        let Start::Response { status, .. } = message.start() else { return };
        if hop.probe {
            return self.probe_answered(message, &hop, status);
        }
        if let Some(next_hop) = next_hop {
            if !hop.fits(next_hop.transport) || hop.to.is_ipv4() != next_hop.address.is_ipv4() {
                return self.count(Counter::NoListener);
            }
            hop.to = next_hop.address;
        }
        if good.cseq.method == Method::Register && hop.connection.is_some() {
            self.note_registered(now, message, &hop, branch, status);
        }
        let cut = via::pop(message, &good.via).filter(|_| good.has_below);
        let method = good.cseq.method;
        let mut keeps_away = false;
        let full = self.said_full(&hop, status, message);
        if let Some(seconds) = full {
            self.call_refused(&hop, message, seconds);
            keeps_away = self.another_has_room(&hop);
        }
        let refused = match full {
            Some(_) => Some(Why::Full),
            None => self.refuses_by_its_fault(&hop, status).then_some(Why::Refused),
        };
        if let Some(why) = refused
            && self.give_to_another(now, &hop, branch, why, message, out)
        {
            self.heard(&hop);
            if why == Why::Refused && self.shared.calls.refused(now, hop.call) {
                self.note_outcome(&hop, Ended::Broken, status, News::First);
            }
            return self.note_failure(&hop, status);
        }
        // Held for its answer alone (`register`); a server that sends one to a client has no answer of ours to wait for.
        // One that nobody may have as it is comes to nothing but a sign of life.
        if method == Method::Register && hop.held && (cut.is_some() || status < 200) {
            return self.register_response(now, message, &hop, branch, status);
        }
        if hop.held && !self.held_response(now, message, hop.server, branch, status, method, out) {
            self.heard(&hop);
            return self.count(Counter::LateResponse);
        }
        let Some(cut) = cut else { return self.for_us(now, &hop, branch, status, out) };
        // A 100 is for one hop, and that one is gone.
        let taker = match status {
            100 => None,
            _ => self.taker_of_response(now, &hop, message, good.cseq.token, from, out),
        };
        self.pass_on(now, (&hop, taker), branch, status, out, |core, text| {
            core.edits.clear();
            core.edits.delete(cut);
            if keeps_away {
                core.take_out_retry_after(message);
            }
            if message.first(Name::RecordRoute).is_some() {
                core.write_copies(message, &hop);
            }
            if hop.connection.is_some() || taker.is_some() {
                forward::add_length(message, &mut core.edits);
            }
            if method == Method::Register
                && !hop.to_client
                && let Some(own) = core.shared.own.get(hop.listener)
            {
                let first_hop = keep_alive::has_vias(message, 2);
                keep_alive::add_flow_timer(message, first_hop, own.transport, &mut core.edits);
            }
            core.edits.write_into(message.bytes(), message.end(), text);
        });
    }

    /// The hop and the branch of the topmost Via, if that is one of this farm's. The rest of our Via may be written as the
    /// server likes: its parameters in another order, more of them, another case, the default port in or out.
    fn our_hop<'m>(&self, good: &GoodResponse<'m>) -> Option<(Hop, &'m [u8])> {
        let branch = unquoted(good.via.branch?);
        let hop = Hop::read(&self.shared.keys, unquoted(good.via.parameter(hop::PARAMETER)?), branch)?;
        Some((hop, branch))
    }

    /// No Via below ours: the response goes no further (RFC 3261 §16.7 step 3). A 100 may well be so, as it is for one hop;
    /// whoever writes any other so has lost what its caller needs.
    fn for_us(&mut self, now: Time, hop: &Hop, branch: &[u8], status: u16, out: &mut Outbox) {
        self.heard(hop);
        if status != 100 {
            self.note_failure(hop, status);
            self.count(Counter::BadResponse);
            self.remember_response(now, hop, branch, status, Ended::of(hop, status), out);
        }
    }

    fn heard(&self, hop: &Hop) {
        if !hop.to_client {
            self.answered(hop.server);
        }
    }

    /// What a failure factor in the score is made of (SPEC B1): time-outs, errors of the server's own, and calls that it
    /// lost. Not what is the caller's fault or the callee's choice.
    fn note_failure(&self, hop: &Hop, status: u16) {
        let failed = match status {
            // RFC 3261 §21.5: not implemented, version, and too large are said of the request.
            501 | 505 | 513 => false,
            408 | 500..600 => true,
            481 => !hop.first,
            _ => false,
        };
        if failed && !hop.to_client {
            self.failed(hop.server);
        }
    }

    fn pass_on(
        &mut self,
        now: Time,
        (hop, taker): (&Hop, Option<Target>),
        branch: &[u8],
        status: u16,
        out: &mut Outbox,
        write: impl FnOnce(&mut Core, &mut Vec<u8>),
    ) {
        let ended = Ended::of(hop, status);
        self.heard(hop);
        self.note_failure(hop, status);
        let fits =
            taker.is_some() || self.shared.own.get(hop.listener).is_some_and(|own| hop.fits(own.transport));
        if fits {
            let from = out.bytes.len() as u32;
            write(self, &mut out.bytes);
            out.sends.push(Outgoing {
                bytes: from..out.bytes.len() as u32,
                to: taker.unwrap_or(hop.target()),
                fallback: None,
                call: hop.call.0,
            });
        }
        self.count(if fits { Counter::Response } else { Counter::NoListener });
        self.remember_response(now, hop, branch, status, ended, out);
    }

    /// How the set-up of a session ended, in the classes of RFC 6076 §4.
    fn count_session(&self, status: u16) {
        self.count(match status {
            200..300 => Counter::SessionEstablished,
            300..=399 => Counter::SessionRedirected,
            401 | 402 | 407 => return,
            480 | 486 | 600 | 603 => Counter::SessionDeclined,
            408 | 500 | 503 | 504 => Counter::SessionIneffective,
            _ => Counter::SessionFailed,
        });
    }

    /// What a response tells the memory of calls. Most tell nothing and cost no look-up.
    fn remember_response(
        &self,
        now: Time,
        hop: &Hop,
        branch: &[u8],
        status: u16,
        ended: Ended,
        out: &mut Outbox,
    ) {
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
            self.note_outcome(hop, ended, status, news);
        }
        if hop.asked != Asked::Other {
            self.measure(now, hop, ended, status, news);
        }
    }

    /// The call is up at the server that answered it, also where a set-up that was held had been given to another meanwhile.
    fn answered_by(&self, now: Time, hop: &Hop) {
        let remembered = self.shared.calls.server_of(now, hop.call);
        if remembered.is_some_and(|remembered| remembered != hop.server)
            && let Some(server) = self.snapshot.by_id(hop.server).filter(|server| server.is_reachable())
        {
            self.shared.calls.moved(now, hop.call, server);
        }
    }

    /// What a response says of its session or registration, counted and timed as RFC 6076 §4 has it. A repeated response counts
    /// once, as long as its call is remembered.
    fn measure(&self, now: Time, hop: &Hop, ended: Ended, status: u16, news: News) {
        let repeated = news == News::Repeated;
        let first = news == News::First;
        let challenge = matches!(status, 401 | 402 | 407);
        let delay = match (hop.asked, ended) {
            (Asked::Invite, Ended::Ringing) => first.then_some(Delay::Session),
            (Asked::Invite, Ended::Answered) => {
                if !repeated && !hop.to_client {
                    self.count_session(status);
                }
                first.then_some(Delay::Session)
            }
            (Asked::Invite, Ended::Failed | Ended::Broken) => {
                if !repeated && !hop.to_client {
                    self.count_session(status);
                }
                (first && status >= 400 && !challenge).then_some(Delay::FailedSession)
            }
            (Asked::Bye | Asked::ByeOfServersCall, Ended::Over) => {
                let good = status < 300;
                if !repeated && !challenge && hop.asked == Asked::Bye {
                    self.count(if good { Counter::SessionCompleted } else { Counter::SessionNotCompleted });
                }
                let what = if good { Delay::Disconnect } else { Delay::FailedDisconnect };
                (!repeated && !challenge).then_some(what)
            }
            (Asked::Register, _) if !hop.to_client => {
                if status >= 300 && !challenge {
                    self.count(Counter::RegisterFailed);
                }
                (200..300).contains(&status).then_some(Delay::Registration)
            }
            _ => None,
        };
        if let Some(delay) = delay {
            self.took(now, hop, delay);
        }
    }

    /// A server answered, and this is how long it took.
    pub(crate) fn took(&self, now: Time, hop: &Hop, delay: Delay) {
        if hop.to_client || !hop.is_timed() {
            return;
        }
        if let Some(took) = Stamp::new(now, self.shared.clock_began_us).since(hop.sent)
            && let Some(server) = self.snapshot.by_id(hop.server)
        {
            self.shared.tables.delays.note(self.worker, server.seat, delay, took);
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
            // Tried again at once with the same Call-ID: the call goes on.
            (Asked::Invite | Asked::Bye | Asked::ByeOfServersCall, 401 | 407 | 422) => Ended::Nothing,
            (Asked::Invite, 500 | 502..=504) if hop.first && !hop.to_client => Ended::Broken,
            (Asked::Invite, _) if hop.first => Ended::Failed,
            (Asked::Bye | Asked::ByeOfServersCall, _) => Ended::Over,
            (Asked::Invite | Asked::Register | Asked::Other, _) => Ended::Nothing,
        }
    }
}

/// A value without the quotes that a server may have put around it.
fn unquoted(value: &[u8]) -> &[u8] {
    value.strip_prefix(b"\"").and_then(|rest| rest.strip_suffix(b"\"")).unwrap_or(value)
}

/// A response that begins as we made its Via: the status line, and a line that is our Via to the letter.
struct OwnVia<'m> {
    status: u16,
    branch: &'m [u8],
    hop: &'m [u8],
    /// The line with our Via.
    cut: Range<usize>,
}

impl<'m> OwnVia<'m> {
    fn second_line(bytes: &'m [u8], own: &OwnAddresses) -> Option<OwnVia<'m>> {
        let status = match bytes.strip_prefix(b"SIP/2.0 ")? {
            [a @ b'1'..=b'6', b @ b'0'..=b'9', c @ b'0'..=b'9', b' ', ..] => {
                [a, b, c].iter().fold(0, |sum, digit| sum * 10 + u16::from(**digit - b'0'))
            }
            _ => return None,
        };
        let start = line_end(bytes, 12)?;
        let line = &bytes[start..];
        let behind = start + own.via_length(line)?;
        let branch_end = behind + BRANCH_LENGTH;
        let branch = bytes.get(behind..branch_end)?;
        let hop_start = branch_end + hop::BEHIND_BRANCH.len();
        if bytes.get(branch_end..hop_start)? != hop::BEHIND_BRANCH {
            return None;
        }
        let end = line_end(bytes, hop_start)?;
        let below = &bytes[end..];
        if !below.starts_with(b"Via:") && !below.starts_with(b"v:") {
            return None;
        }
        Some(OwnVia { status, branch, hop: &bytes[hop_start..end - 2], cut: start..end })
    }
}
