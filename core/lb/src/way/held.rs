//! Held requests in routing: which are held and why, where copies go, and what a response means for a held request.

use base::Time;
use sip::headers::via;
use sip::{Flow, Message, Method, Reject, Target, Transport};
use transaction::hop_by_hop;
use turn::Outgoing;

use crate::counters::Counter;
use crate::farm::server::ServerId;
use crate::hold::{Asker, Cancelled, Class, GoesTo, Kept, Speaker, Verdict};
use crate::outbox::Outbox;
use crate::settings::HoldSetup;
use crate::signed::branch::branch_key;
use crate::signed::hop::{self, Asked, Hop};
use crate::signed::tag::Direction;
use crate::way::core::Core;
use crate::way::draft::Draft;
use crate::way::own_via::Response;
use crate::way::plan::Way;
use crate::way::request::Request;
use crate::way::turn::Turn;
use crate::way::view::View;

/// What the held requests say about a request that has just come.
pub(crate) enum Repeat {
    /// Nothing: the request is routed.
    No,
    /// The request belongs to a held transaction at this server.
    At(ServerId),
    /// The request was dropped or answered; nothing more is to be done.
    Done,
}

pub(crate) fn class(method: Method) -> Class {
    match method {
        Method::Invite => Class::Invite,
        Method::Cancel => Class::Cancel,
        _ => Class::Other,
    }
}

impl Core {
    /// Handles a copy of a held request, its CANCEL, or the ACK to its failure.
    pub(crate) fn copy(&mut self, turn: &mut Turn<'_>, draft: &Draft<'_, '_>) -> Repeat {
        let held = &self.view.shared.held;
        if held.is_empty() {
            return Repeat::No;
        }
        let (request, branch, now) = (draft.request, draft.branch, turn.now);
        let place = match request.method {
            Method::Cancel => {
                let kept = kept(request, ServerId(0), turn.flow, false);
                match held.cancel(now, &mut self.alarms, branch.0, &kept) {
                    Cancelled::NotHeld => GoesTo::NotHeld,
                    Cancelled::Forward(server) => GoesTo::At(server),
                    Cancelled::Answer => {
                        self.answer(turn, request.message, &Reject::ok());
                        return Repeat::Done;
                    }
                }
            }
            Method::Ack => held.acknowledged(now, &mut self.alarms, branch.0),
            method => held.place(branch.0, class(method)),
        };
        match place {
            GoesTo::NotHeld => Repeat::No,
            GoesTo::At(server) => Repeat::At(server),
            GoesTo::Nowhere => Repeat::Done,
            GoesTo::Answered(status) => {
                if request.method != Method::Ack {
                    self.answer(turn, request.message, &self.view.final_answer(status));
                }
                Repeat::Done
            }
        }
    }

    /// Holds a request that is about to be sent, if it needs holding: a request that its sender does not repeat, since it
    /// came over a stream, or an INVITE that another server may take over. Gives when the request was first sent. An ACK is
    /// never held: no answer would end that. The ACK to a 2xx is sent again when the 2xx is (RFC 3261 §13.2.2.4), whatever
    /// the transport.
    pub(crate) fn hold(&mut self, turn: &Turn<'_>, draft: &Draft<'_, '_>, way: &Way) -> Option<Time> {
        let (request, flow) = (draft.request, turn.flow);
        if request.method == Method::Ack {
            return None;
        }
        let to_client = (way.direction == Direction::ToClient).then_some(way.target);
        let server_reliable = !matches!(way.target, Target::Datagram { .. });
        // A stream may be lost with what was written to it; towards a client we could do nothing about that.
        let may_be_lost = !server_reliable || to_client.is_none() && request.method != Method::Invite;
        let repeat = flow.transport.is_reliable() && may_be_lost;
        // A copy that crossed its 2xx asks nothing of another server.
        let crossed = || request.first && self.view.shared.calls.was_heard(turn.now, request.call, false);
        let failover = request.method == Method::Invite
            && to_client.is_none()
            && !crossed()
            && match self.view.shared.settings.hold_setup {
                HoldSetup::Off => false,
                HoldSetup::Stream => flow.transport.is_reliable(),
                HoldSetup::All => true,
            };
        if !repeat && !failover {
            return None;
        }
        let kept = Kept { to_client, failover, ..kept(request, way.server, flow, server_reliable) };
        let held = &self.view.shared.held;
        match held.keep(turn.now, &mut self.alarms, draft.branch.0, &kept) {
            Ok(()) => Some(turn.now),
            // A copy: it is the same bytes as the first, or another server of a state tier sends it.
            Err(crate::hold::NotKept::Present) => {
                if to_client.is_some() && self.view.snapshot.has_tiers() {
                    self.asked_again(turn, draft, &kept);
                }
                let since = self.view.shared.held.since(draft.branch.0, class(request.method));
                Some(since.unwrap_or(turn.now))
            }
            Err(crate::hold::NotKept::Full) => {
                self.view.count(Counter::HeldFull);
                None
            }
        }
    }

    /// A copy of a held request to a client: if another server of the tier sends it, the response goes there.
    fn asked_again(&mut self, turn: &Turn<'_>, draft: &Draft<'_, '_>, kept: &Kept<'_>) {
        let (view, via, flow) = (&self.view, draft.request.via, turn.flow);
        let to = view.way_back(Some(via), flow);
        let back = match flow.connection {
            Some(id) => Target::Connection { listener: flow.listener, id, to, or_connect: true },
            None => Target::Datagram { listener: flow.listener, to },
        };
        let mut marked = Vec::new();
        via.write_marked(via.bytes, flow.remote, &mut marked);
        let asker = Asker { server: kept.server, back, via: marked.into() };
        view.shared.held.asked_again(turn.now, &mut self.alarms, draft.branch.0, (kept, asker), |holder| {
            view.snapshot.are_of_one_tier(holder, kept.server)
        });
    }

    /// The last message in the outbox is a failure that goes to a client. If nobody else will repeat it, we do.
    pub(crate) fn repeat_failure(&mut self, turn: &Turn<'_>, response: &Response<'_>) {
        let (Some(key), Some(sent)) = (branch_key(response.branch), turn.out.sends.last()) else { return };
        let &Hop { listener, to: remote, server, .. } = response.hop;
        let flow = Flow { listener, transport: Transport::Udp, remote, connection: None };
        let failure = &turn.out.bytes[sent.bytes.start as usize..sent.bytes.end as usize];
        let held = &self.view.shared.held;
        held.failure_passed(turn.now, &mut self.alarms, key.0, server, (flow, failure));
    }

    /// A response to a held request. False: it goes nowhere.
    pub(crate) fn held_response(
        &mut self,
        turn: &mut Turn<'_>,
        message: &Message<'_>,
        response: &Response<'_>,
        method: Method,
    ) -> bool {
        let Some(key) = branch_key(response.branch) else { return true };
        let (view, status, server) = (&self.view, response.status, response.hop.server);
        let speaks_for = |holder| view.speaks_for((server, holder), (response.hop, status), message);
        let speaker = Speaker { server, speaks_for: &speaks_for };
        let held = &view.shared.held;
        let verdict = held.response(turn.now, &mut self.alarms, key.0, class(method), status, speaker);
        view.carry_out(&verdict, message, server, turn.out)
    }
}

impl View {
    /// Whether the request is held: its hop says so, or the INVITE was not held when it was sent but a later copy is. A
    /// server answers the copy with the Via of the first.
    pub(crate) fn is_held(&self, response: &Response<'_>) -> bool {
        let (hop, held) = (response.hop, &self.shared.held);
        let is_copy = || {
            let key = branch_key(response.branch);
            key.is_some_and(|key| held.place(key.0, Class::Invite) != GoesTo::NotHeld)
        };
        hop.held || hop.asked == Asked::Invite && !held.is_empty() && is_copy()
    }

    /// False: the response goes nowhere.
    pub(crate) fn carry_out(
        &self,
        verdict: &Verdict,
        message: &Message<'_>,
        server: ServerId,
        out: &mut Outbox,
    ) -> bool {
        let from = out.bytes.len();
        if matches!(verdict, Verdict::Pass | Verdict::Drop) {
            return *verdict == Verdict::Pass;
        }
        let Some(Ok(via)) = via::top(message) else { return false };
        let left_by = self.shared.own.named_by(&via);
        let as_sent = left_by.and_then(|(listener, exactly)| {
            let hop = via.parameter(hop::PARAMETER).filter(|_| exactly)?;
            self.shared.own.via_of(listener, via.branch?, hop)
        });
        let text = as_sent.as_deref().unwrap_or(via.bytes);
        let (written, client) = match verdict {
            Verdict::Pass | Verdict::Drop => return false,
            Verdict::Acknowledge(line, to) => {
                (hop_by_hop::acknowledge(line, text, message, &mut out.bytes), *to)
            }
            Verdict::Cancel { line, in_dialog } => {
                (hop_by_hop::cancel(line, *in_dialog, text, message, &mut out.bytes), None)
            }
        };
        let target = client.or_else(|| {
            let server = self.snapshot.by_id(server)?;
            self.way_to(server, 0).ok().map(|way| way.target)
        });
        let target = target.map(|target| match left_by {
            Some((listener, _)) => self.by_listener(target, listener),
            None => target,
        });
        match target.filter(|_| written) {
            Some(to) => {
                let bytes = from as u32..out.bytes.len() as u32;
                out.sends.push(Outgoing { bytes, to, fallback: None, call: 0 });
            }
            None => out.bytes.truncate(from),
        }
        false
    }

    /// The same place, by the listener (and so the transport) that the INVITE left by (RFC 3261 §9.1, §17.1.1.3).
    fn by_listener(&self, target: Target, listener: u8) -> Target {
        let transport = self.shared.own.get(listener).map(|own| own.transport);
        match (target, transport) {
            (Target::Datagram { to, .. }, Some(Transport::Udp)) => Target::Datagram { listener, to },
            (Target::Datagram { to, .. }, Some(Transport::Tcp)) => Target::Stream { listener, to },
            (Target::Stream { to, .. }, Some(transport)) if transport.is_reliable() => {
                Target::Stream { listener, to }
            }
            _ => target,
        }
    }

    pub(crate) fn final_answer(&self, status: u16) -> Reject {
        match status {
            408 => Reject::timeout(),
            487 => Reject::request_terminated(),
            503 => Reject::no_server(self.shared.settings.retry_after),
            _ => Reject::server_error("Server Lost During Call Set-Up"),
        }
    }
}

fn kept<'m>(request: &Request<'m>, server: ServerId, flow: Flow, server_reliable: bool) -> Kept<'m> {
    let message = request.message;
    Kept {
        class: class(request.method),
        message: &message.bytes()[..message.end() as usize],
        flow,
        server,
        server_reliable,
        to_client: None,
        failover: false,
        in_dialog: !request.first,
        route_fields: b"",
    }
}
