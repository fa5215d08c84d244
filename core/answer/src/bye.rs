//! BYEs: the caller's BYE, and the server's own BYE with its answer.

use std::net::SocketAddr;

use base::Time;
use sip::headers::{cseq, via};
use sip::{Flow, Message, Method, Name, Parser, Target};
use transaction::{NonInviteClient, NonInviteClientEvent, NonInviteClientState, Output};
use turn::Outbox;

use super::Answerer;
use super::call::Phase;
use super::request::{answered, key, to_tag};
use super::text::{branch_text, bye};

impl Answerer {
    pub(super) fn bye(
        &mut self,
        now: Time,
        request: &Message<'_>,
        flow: Flow,
        (slot, sequence): (Option<u64>, u32),
        out: &mut Outbox,
    ) {
        let known = slot.filter(|slot| {
            self.book.get(*slot).is_some_and(|call| to_tag(request) == Some(&call.own_tag[..]))
        });
        let Some(slot) = known else {
            if self.behaviour.take_over && to_tag(request).is_some() {
                self.counters.taken_over.add(1);
                return self.plain(request, flow, 200, out);
            }
            self.counters.unknown.add(1);
            return self.plain(request, flow, 481, out);
        };
        self.plain(request, flow, 200, out);
        if self.is_unanswered(slot) {
            self.abandon_search(slot);
            // RFC 3261 §15.1.2: an INVITE that is still open ends with 487.
            self.counters.ended.add(1);
            return self.refuse(now, slot, 487, out);
        }
        let (timers, counters, byes) = (&self.timers, &self.counters, &mut self.byes_on_streams);
        self.book.update(now, slot, |call| {
            if matches!(call.phase, Phase::Ended { .. } | Phase::Refused) {
                return counters.repeated.add(1);
            }
            counters.ended.add(1);
            byes.remove(slot, call);
            call.sequence = sequence;
            call.end(Some(answered(now, timers)));
        });
        self.forget_if_done(now, slot);
    }

    /// Handles an answer to our BYE. With `take_over`, any other response is passed on.
    pub(super) fn response(
        &mut self,
        now: Time,
        response: &Message<'_>,
        status: u16,
        flow: Flow,
        out: &mut Outbox,
    ) {
        if sip::validate::response(response).is_err() {
            return self.counters.rejected.add(1);
        }
        let Some(slot) = key(response, Name::To).and_then(|key| self.book.find(&key)) else {
            if self.behaviour.take_over {
                self.pass_back(response, flow, out);
            }
            return;
        };
        let event =
            if status < 200 { NonInviteClientEvent::Provisional } else { NonInviteClientEvent::Final };
        let (timers, byes) = (&self.timers, &mut self.byes_on_streams);
        self.book.update(now, slot, |call| {
            if let Phase::HangingUp { bye, branch, .. } = &mut call.phase
                && is_of_bye(response, *branch)
                && bye.handle(now, event, timers) == Output::Pass
                && status >= 200
            {
                byes.remove(slot, call);
                // A BYE of the caller may be on its way, too.
                call.end(Some(answered(now, timers)));
            }
        });
        self.forget_if_done(now, slot);
    }

    pub(super) fn hang_up(&mut self, now: Time, slot: u64, out: &mut Outbox) {
        let branch = self.chance.next_u64();
        let Some(call) = self.book.get(slot) else { return };
        let mut parser = Parser::new();
        let written = parser.parse(&call.invite).ok().and_then(|invite| {
            let own = (&call.own_tag[..], call.own_sequence + 1, branch);
            bye(&invite, call.target, &self.addresses, own, call.remote_target.as_deref())
        });
        // Without a usable Contact the caller cannot get a BYE; the call ends all the same.
        let Some((bytes, target)) = written else {
            self.counters.unsent.add(1);
            return self.book.remove(slot);
        };
        self.counters.hung_up.add(1);
        out.post(&bytes, target);
        let reliable = !matches!(target, Target::Datagram { .. });
        let bye = NonInviteClient::start(now, reliable, &self.timers);
        let byes = &mut self.byes_on_streams;
        self.book.update(now, slot, |call| {
            call.own_sequence += 1;
            call.target = target;
            call.last = bytes.into();
            call.invite = Box::default();
            call.phase = Phase::HangingUp { bye, branch, again_at: None };
            byes.add(slot, call);
        });
    }

    pub(super) fn repeat_bye(&mut self, now: Time, slot: u64, out: &mut Outbox) {
        let (timers, byes) = (&self.timers, &mut self.byes_on_streams);
        self.book.update(now, slot, |call| {
            let Phase::HangingUp { bye, again_at, .. } = &mut call.phase else { return };
            if again_at.take_if(|at| *at <= now).is_some() {
                out.post(&call.last, call.target);
            }
            let Some(event) = bye.due(now) else { return };
            match bye.handle(now, event, timers) {
                Output::Repeat => out.post(&call.last, call.target),
                _ if bye.state() == NonInviteClientState::Terminated => {
                    byes.remove(slot, call);
                    call.end(None);
                }
                _ => {}
            }
        });
    }

    /// A message could not be sent to this target.
    pub(super) fn stream_lost(&mut self, now: Time, to: Target) {
        if let Target::Connection { to, .. } | Target::Stream { to, .. } = to {
            self.connection_lost(now, to);
        }
    }

    /// A stream to this address has ended. Unanswered BYEs on it are sent again over another connection, after the pause of a
    /// first copy. The last answer to an INVITE is repeated when a copy of the INVITE comes or its timer runs out.
    pub(super) fn connection_lost(&mut self, now: Time, end: SocketAddr) {
        let again = now + self.timers.t1;
        for slot in self.byes_on_streams.at(end) {
            self.book.update(now, slot, |call| {
                if let Phase::HangingUp { again_at, .. } = &mut call.phase {
                    *again_at = Some(again);
                }
            });
        }
    }
}

/// Whether the response answers the BYE with this branch (RFC 3261 §17.1.3).
fn is_of_bye(response: &Message<'_>, branch: u64) -> bool {
    let top = via::top(response).and_then(Result::ok).and_then(|top| top.branch);
    let method = response.first_value(Name::CSeq).and_then(cseq::parse).map(|sequence| sequence.method);
    top.is_some_and(|top| top.eq_ignore_ascii_case(branch_text(branch).as_bytes()))
        && method == Some(Method::Bye)
}
