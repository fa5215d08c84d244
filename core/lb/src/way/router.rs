//! The core that a worker drives: one message in, messages and events out.

use std::sync::Arc;

use base::{Chance, Duration, Time};
use sip::{Edits, Flow, Parser, Start, Transport};
use turn::Input;

use crate::counters::Counter;
use crate::outbox::{Ask, Event, Outbox};
use crate::shared::Shared;
use crate::way::alias;
use crate::way::core::{ACTIONS_MAX, Core};
use crate::way::encapsulated;
use crate::way::probe;
use crate::way::turn::Turn;

/// How often a worker checks whether a probe is wanted.
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// One per worker: scratch space and a reference to the shared state.
pub struct Router {
    parser: Parser,
    edits: Edits,
    core: Core,
    /// When this worker last checked for probes that the control thread wants.
    looked: Time,
    /// The held message that is being sent again.
    kept: Vec<u8>,
}

impl turn::Core for Router {
    type Ask = Ask;
    type Answer = turn::None;
    type Letter = turn::None;
    type Event = Event;

    fn handle(&mut self, now: Time, input: Input<'_>, out: &mut Outbox) {
        Router::handle(self, now, input, out);
    }

    fn handle_timeout(&mut self, now: Time, out: &mut Outbox) {
        Router::handle_timeout(self, now, out);
    }

    fn next_deadline(&self) -> Option<Time> {
        Router::next_deadline(self)
    }
}

impl Router {
    /// `chance` comes from outside. It decides ties between servers and random choices, and makes the identifiers of our own
    /// requests.
    pub fn new(shared: Arc<Shared>, worker: u8, chance: Chance) -> Router {
        let core = Core::new(shared, worker, chance);
        Router { parser: Parser::new(), edits: Edits::new(), core, looked: Time::ZERO, kept: Vec::new() }
    }

    pub(crate) fn core_mut(&mut self) -> &mut Core {
        &mut self.core
    }

    /// Never fails: a bad input becomes an answer, a counter, or both.
    pub fn handle(&mut self, now: Time, input: Input<'_>, out: &mut Outbox) {
        let core = &mut self.core;
        core.refresh(now);
        match input {
            Input::Message { bytes, flow } => self.message(bytes, &mut Turn { now, flow, out }),
            Input::BrokenFrame { bytes, flow } => self.broken_frame(bytes, &mut Turn { now, flow, out }),
            Input::SendFailed { to } => core.unsent.send_failed(now, to, &core.view, &mut core.alarms),
            Input::FellBack { bytes, to } => {
                if let Ok(message) = self.parser.parse(bytes) {
                    core.view.shared.calls.large_invites().fell_back(now, &message, to);
                }
            }
            Input::NoRoom { to } => core.unsent.no_room(now, to, &core.view, &mut core.alarms),
            Input::Returned { to, quoted } => {
                core.unsent.returned(now, to, quoted, &core.view, &mut core.alarms);
            }
            Input::Closed { id, peer } => {
                core.view.shared.flows.closed(id);
                let peer = core.view.shared.aliases.closed(id).unwrap_or(peer);
                core.closed(now, peer, out);
            }
            Input::Judged { claim, proven } => alias::judged(&core.view, claim, proven),
            Input::Answer(never) | Input::Letter(never) => match *never {},
        }
    }

    #[inline]
    fn message(&mut self, bytes: &[u8], turn: &mut Turn<'_>) {
        let Router { core, parser, edits, .. } = self;
        let Flow { connection, transport, .. } = turn.flow;
        if let Some(id) = connection {
            core.view.shared.flows.heard(id);
        }
        let mut bytes = bytes;
        // What an old telephone sends to keep the way open. STUN begins with a NUL byte, too.
        if transport == Transport::Udp
            && core.view.shared.settings.stray_bytes
            && matches!(bytes.first(), Some(b'\0' | b'\r' | b'\n'))
            && !sip::stun::is_meant(bytes)
        {
            bytes = sip::frame::without_stray(bytes);
            if bytes.is_empty() {
                return core.view.count(Counter::BlankDatagram);
            }
        }
        if transport == Transport::Udp && core.view.quick_response(turn, bytes) {
            return;
        }
        if encapsulated::is_meant(bytes) {
            return core.encapsulated(turn, bytes, parser, edits);
        }
        match parser.parse(bytes) {
            Err(_) if transport == Transport::Udp && sip::stun::is_meant(bytes) => {
                core.view.keep_alive(turn, bytes);
            }
            Err(_) => {
                core.view.count(Counter::Malformed);
                core.refusals.dropped(turn, None, "no SIP message");
            }
            Ok(message) => match message.start() {
                Start::Request { .. } => core.request(turn, &message, edits),
                Start::Response { .. } => core.response(turn, &message, None, edits),
            },
        }
    }

    /// A request whose end cannot be found is answered if its fields allow, so that its sender learns why the connection
    /// closes (RFC 3261 §18.3).
    fn broken_frame(&mut self, bytes: &[u8], turn: &mut Turn<'_>) {
        self.core.view.count(Counter::BrokenFrame);
        if let Ok(message) = self.parser.parse(bytes)
            && let Start::Request { .. } = message.start()
        {
            let reject =
                match sip::validate::request_with(&message, &self.core.view.shared.settings.proxy_require) {
                    Err(reject) => reject,
                    Ok(_) => sip::Reject::bad_request("Bad Content-Length"),
                };
            self.core.answer(turn, &message, &reject);
        }
    }

    /// Repeats and moves held requests, and sends the probes that are wanted.
    pub fn handle_timeout(&mut self, now: Time, out: &mut Outbox) {
        let looks = self.looks();
        let Router { core, parser, edits, looked, kept } = self;
        core.refresh(now);
        if looks && now >= *looked + LOOK_EVERY {
            *looked = now;
            probe::send_wanted(&core.view, &mut core.chance, now, out);
        }
        core.registrations_due(now, parser, edits, kept, out);
        core.names_due(now, parser, edits, out);
        for _ in 0..ACTIONS_MAX {
            let Some(action) = core.view.shared.held.next_due(now, &mut core.alarms, kept) else {
                break;
            };
            let turn = &mut Turn { now, flow: action.flow, out };
            match parser.parse(kept) {
                Ok(message) => core.act(turn, &message, &action, edits),
                Err(_) => core.view.count(Counter::Malformed),
            }
        }
    }

    pub fn next_deadline(&self) -> Option<Time> {
        let look = self.looks().then(|| self.looked + LOOK_EVERY);
        let names = self.core.waiting.next_deadline();
        [self.core.alarms.next_deadline(), self.core.alarms_of_registrations.next_deadline(), look, names]
            .into_iter()
            .flatten()
            .min()
    }

    /// One worker looks for all.
    fn looks(&self) -> bool {
        self.core.view.worker == 0
    }
}
