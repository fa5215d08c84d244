//! Held requests on their way through routing: what is held and why, where copies go, what a response means for one, and
//! what is done when [`crate::hold::Held`] says that something is due.

use base::Time;
use heartbeat::notice::What as Told;
use sip::headers::via;
use sip::{Flow, Message, Method, Reject, Target, Transport};
use transaction::hop_by_hop;
use turn::Outgoing;

use crate::counters::Counter;
use crate::farm::server::{Server, ServerId};
use crate::hold::{Action, Cancelled, Class, GoesTo, Kept, Verdict, What, Why};
use crate::outbox::{Event, Outbox};
use crate::selection::known::known;
use crate::settings::HoldSetup;
use crate::signed::branch::{BranchKey, branch_key};
use crate::signed::hop;
use crate::signed::tag::Direction;
use crate::way::plan::{Holding, Way};
use crate::way::request::Request;
use crate::way::route_set::RouteSet;
use crate::way::router::Core;
use crate::why::Kind;

/// What holding says about a request that has just come.
pub(crate) enum Repeat {
    /// Nothing: it is routed.
    No,
    /// It belongs to a held transaction at this server.
    At(ServerId),
    /// It needs nothing more: dropped or answered.
    Done,
}

fn class(method: Method) -> Class {
    match method {
        Method::Invite => Class::Invite,
        Method::Cancel => Class::Cancel,
        _ => Class::Other,
    }
}

impl Core {
    /// A copy of a held request, the CANCEL of one, or the ACK to its failure.
    pub(crate) fn copy(
        &mut self,
        now: Time,
        request: &Request<'_>,
        branch: BranchKey,
        flow: Flow,
        out: &mut Outbox,
    ) -> Repeat {
        if self.shared.held.is_empty() {
            return Repeat::No;
        }
        let shared = self.shared.clone();
        let place = match request.method {
            Method::Cancel => {
                let kept = self.kept(request, ServerId(0), flow, false);
                match shared.held.cancel(now, &mut self.alarms, branch.0, &kept) {
                    Cancelled::NotHeld => GoesTo::NotHeld,
                    Cancelled::Forward(server) => GoesTo::At(server),
                    Cancelled::Answer => {
                        self.answer(request.message, &Reject::ok(), flow, out);
                        return Repeat::Done;
                    }
                }
            }
            Method::Ack => shared.held.acknowledged(now, &mut self.alarms, branch.0),
            method => shared.held.place(branch.0, class(method)),
        };
        match place {
            GoesTo::NotHeld => Repeat::No,
            GoesTo::At(server) => Repeat::At(server),
            GoesTo::Nowhere => Repeat::Done,
            GoesTo::Answered(status) => {
                if request.method != Method::Ack {
                    self.answer(request.message, &self.final_answer(status), flow, out);
                }
                Repeat::Done
            }
        }
    }

    /// Holds a request that is about to be sent, where that is wanted: one that its sender does not repeat, since it came
    /// over a stream, and an INVITE that another server may take over. True: its hop says so. An ACK is never held: no
    /// answer would end that. The one to a 2xx is sent again when the 2xx is (RFC 3261 §13.2.2.4), whatever the transport.
    pub(crate) fn hold(
        &mut self,
        now: Time,
        request: &Request<'_>,
        branch: BranchKey,
        way: &Way,
        flow: Flow,
    ) -> bool {
        if request.method == Method::Ack {
            return false;
        }
        let to_client = (way.direction == Direction::ToClient).then_some(way.target);
        let server_reliable = !matches!(way.target, Target::Datagram { .. });
        // A stream may be lost with what was written into it; towards a client nothing could be done about that.
        let may_be_lost = !server_reliable || to_client.is_none() && request.method != Method::Invite;
        let repeat = flow.transport.is_reliable() && may_be_lost;
        let failover = request.method == Method::Invite
            && to_client.is_none()
            && match self.shared.settings.hold_setup {
                HoldSetup::Off => false,
                HoldSetup::Stream => flow.transport.is_reliable(),
                HoldSetup::All => true,
            };
        if !repeat && !failover {
            return false;
        }
        let shared = self.shared.clone();
        let kept = Kept { to_client, failover, ..self.kept(request, way.server, flow, server_reliable) };
        match shared.held.keep(now, &mut self.alarms, branch.0, &kept) {
            Ok(()) | Err(crate::hold::NotKept::Present) => true,
            Err(crate::hold::NotKept::Full) => {
                self.count(Counter::HeldFull);
                false
            }
        }
    }

    fn kept<'m>(
        &self,
        request: &Request<'m>,
        server: ServerId,
        flow: Flow,
        server_reliable: bool,
    ) -> Kept<'m> {
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

    /// A response to a held request. False: it goes nowhere.
    #[allow(clippy::too_many_arguments)]
    pub(crate) fn held_response(
        &mut self,
        now: Time,
        message: &Message<'_>,
        server: ServerId,
        branch: &[u8],
        status: u16,
        method: Method,
        out: &mut Outbox,
    ) -> bool {
        let Some(key) = branch_key(branch) else { return true };
        let shared = self.shared.clone();
        let verdict = shared.held.response(now, &mut self.alarms, key.0, class(method), status, server);
        self.carry_out(&verdict, message, server, out)
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

    /// The same place by the listener, and so the transport, that the INVITE left by (RFC 3261 §9.1, §17.1.1.3).
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

    /// Something is due at a held request; `message` is as it was received.
    pub(crate) fn act(&mut self, now: Time, message: &Message<'_>, action: &Action, out: &mut Outbox) {
        let shared = self.shared.clone();
        let Ok(good) = sip::validate::request(message) else { return };
        let request = self.read(now, message, &good);
        let branch = BranchKey(action.key);
        match action.what {
            What::Send { server } => {
                self.count(Counter::Repeated);
                self.send_held(now, &request, branch, server, action, out);
            }
            What::Answer { status } => {
                let reject = self.final_answer(status);
                self.answer(message, &reject, action.flow, out);
            }
            What::Reroute { tried, why } => {
                // An earlier copy passed unheld, because there was no room or no reason, and the server answered that one: only
                // the memory of calls knows. Who has been moved once was not heard by it since.
                let is_first_move = tried.iter().count() == 1;
                if action.class == Class::Invite
                    && request.first
                    && is_first_move
                    && shared.calls.was_heard(now, request.call, why == Why::Silent)
                {
                    return shared.held.let_go(action.key, action.class);
                }
                let snapshot = self.snapshot.clone();
                let may_be = |to: &&Server| {
                    let listener = action.flow.listener;
                    !tried.contains(to.id)
                        && shared.own.outgoing(listener, to.transport, to.address.ip()).is_some()
                };
                // Whoever takes a dialog over is the one that its later requests will find.
                let of_dialog =
                    || known(&snapshot, shared.settings.hash_kind(), request.call.0).filter(may_be);
                let found = (!request.first).then(of_dialog).flatten().or_else(|| {
                    shared.selector.candidates(&snapshot, request.call.0, &mut self.chance).find(may_be)
                });
                let Some(to) = found.cloned() else {
                    return shared.held.no_server(now, &mut self.alarms, action.key, action.class);
                };
                let reliable = to.transport.is_reliable();
                if !shared.held.moved(now, &mut self.alarms, action.key, action.class, to.id, reliable) {
                    return;
                }
                self.setup_moved(now, &request, action, tried.last(), &to, why, out);
                self.send_held(now, &request, branch, to.id, action, out);
            }
        }
    }

    #[allow(clippy::too_many_arguments)]
    fn setup_moved(
        &mut self,
        now: Time,
        request: &Request<'_>,
        action: &Action,
        from: Option<ServerId>,
        to: &Server,
        why: Why,
        out: &mut Outbox,
    ) {
        self.count(Counter::SetupMoved);
        let kind = match why {
            Why::Failed => Kind::MovedFailed,
            Why::Silent => Kind::MovedSilent,
            Why::Full => Kind::MovedFull,
            Why::Refused => Kind::MovedRefused,
        };
        self.note_choice(now, request, kind, Some(to.id), from);
        if let (Some(from), Why::Silent) = (from, why) {
            self.failed(from);
            self.note_silence(request, from);
        }
        self.shared.calls.moved(now, request.call, to);
        self.tell(request.call, to.id, Told::Moved, out);
        self.shared.selector.admit(to);
        if matches!(why, Why::Full | Why::Refused) {
            // Nobody's fault, so no fault record; `strowger why` tells of it.
            return;
        }
        out.events.push(Event::TakenOver {
            call_id: request.call_id.into(),
            method: request.token.into(),
            client: action.flow.remote,
            from: from.and_then(|server| self.snapshot.by_id(server)).map(|server| server.address),
            to: to.address,
            why: match (why, action.class) {
                (Why::Failed | Why::Full | Why::Refused, Class::Invite) => "server failed during call set-up",
                (Why::Silent, Class::Invite) => "server silent during call set-up",
                (Why::Failed | Why::Full | Why::Refused, _) => "server failed before it answered",
                (Why::Silent, _) => "server silent",
            },
        });
    }

    /// The same bytes as before, which routing makes of the same message again. What cannot be sent any more is answered
    /// and let go: its timers would lead to the same answer again and again.
    fn send_held(
        &mut self,
        now: Time,
        request: &Request<'_>,
        branch: BranchKey,
        server: ServerId,
        action: &Action,
        out: &mut Outbox,
    ) {
        let (shared, flow) = (self.shared.clone(), action.flow);
        let server = self.snapshot.by_id(server).cloned();
        if server.is_none() && !action.to_client {
            return;
        }
        let mut set = RouteSet::default();
        let sent = set.take(request, &shared.own, &shared.keys).and_then(|()| {
            let way = match server.filter(|_| !action.to_client) {
                Some(server) => {
                    self.note_sent(&server, request.method);
                    let of_call = self.is_of_call(now, request, set.tag.as_ref());
                    Way { of_call, ..self.way_to(&server, flow.listener)? }
                }
                None => {
                    self.add_echoed_tag(request, &mut set);
                    self.way_to_client(now, request, &set, flow, out)?
                }
            };
            self.send(now, request, &set, branch, &way, Holding::Held { since: action.since }, flow, out)
        });
        if let Err(reject) = sent {
            shared.held.let_go(action.key, action.class);
            // A CANCEL that is held has its answer.
            if action.class != Class::Cancel {
                self.answer(request.message, &reject, flow, out);
            }
        }
    }

    fn final_answer(&self, status: u16) -> Reject {
        match status {
            408 => Reject::timeout(),
            487 => Reject::request_terminated(),
            503 => Reject::no_server(self.shared.settings.retry_after),
            _ => Reject::server_error("Server Lost During Call Set-Up"),
        }
    }
}
