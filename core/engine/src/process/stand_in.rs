//! Whose call it is: what comes for a call that is not up yet goes to its owner; if that is dead, this engine becomes the owner.

use base::{Duration, Time};
use sip::headers::via;
use sip::{Flow, Message, Target};
use state::Key;
use state::planted::{self, Bug};

use super::call::{Known, Owned, WAITING_MAX};
use super::{Engine, Outbox};
use crate::letter;
use crate::names::OwnVia;
use crate::record::{LegState, Record};
use crate::step::Event;

/// What happens to the call of an engine that is not known yet happens again after this time.
const NEW_OWNER_AGAIN: Duration = Duration::from_millis(250);

impl Engine {
    /// Somebody must run the timers of the record: it has another owner, or it is ours and nothing of it is in memory. The
    /// store did not answer its create, and has it nonetheless.
    pub(super) fn must_take_over(&self, key: Key) -> bool {
        let Some(call) = self.calls.get(key) else { return false };
        let Known::Up(record) = &call.known else { return false };
        let runs_here = record.header.owner == self.settings.engine && !call.soft.is_empty();
        !runs_here && is_in_progress(record)
    }

    /// Whether another engine goes on with the call.
    pub(super) fn owner_lives(&self, key: Key) -> bool {
        let Some(call) = self.calls.get(key) else { return false };
        let Known::Up(record) = &call.known else { return false };
        let owner = record.header.owner;
        owner != self.settings.engine && call.heard_dead != Some(owner) && self.tier.lives(owner)
    }

    pub(super) fn is_of_dead_engine(&self, record: &Record) -> bool {
        record.header.owner != self.settings.engine && !self.tier.lives(record.header.owner)
    }

    /// Whether the owner may have started so lately that this engine does not know it: what happened then happens again a little
    /// later. Else this engine would take over what the other one has just begun.
    pub(super) fn waits_for_new_owner(&mut self, now: Time, key: Key, owned: &dyn Fn() -> Owned) -> bool {
        let engine = self.settings.engine;
        let Some(call) = self.calls.get_mut(key) else { return false };
        let Known::Up(record) = &call.known else { return false };
        let owner = record.header.owner;
        let is_asked = owner == engine || call.heard_dead == Some(owner) || call.again.len() >= WAITING_MAX;
        if is_asked || !self.tier.may_be_new(owner) {
            return false;
        }
        let event = owned();
        if !call.again.iter().any(|(_, other)| *other == event) {
            call.again.push((now + NEW_OWNER_AGAIN, event));
        }
        (call.known, call.attempts) = (Known::Unread, 0);
        true
    }

    /// Gives the message to the owner. False: it is dead, or the message has been handed on too often.
    pub(super) fn hand_over(&mut self, key: Key, event: &Event<'_>, out: &mut Outbox) -> bool {
        let Some(Known::Up(record)) = self.calls.get(key).map(|call| &call.known) else { return false };
        let owner = record.header.owner;
        self.hand_to_one_of(key, &[owner], event, out)
    }

    /// Gives the message to the first of these engines that lives.
    pub(super) fn hand_to_one_of(
        &mut self,
        key: Key,
        engines: &[u32],
        event: &Event<'_>,
        out: &mut Outbox,
    ) -> bool {
        let (message, flow) = match event {
            Event::Request { request, flow, .. } => (request, *flow),
            Event::Response { response } => (response, no_flow()),
            Event::Timer(_) | Event::TakeOver => return false,
        };
        let is_handed = engines.iter().any(|engine| self.hand_to(*engine, message, &flow, out));
        // That engine changes the record; this one reads it anew.
        if is_handed && let Some(call) = self.calls.get_mut(key) {
            call.known = Known::Unread;
        }
        is_handed
    }

    /// Gives a response to the engine that sent the request, which waits for it. False: it is this one, or it is dead; or it
    /// has handed the response over itself, because the call has another owner by now.
    pub(super) fn hand_back(&mut self, response: &Message<'_>, out: &mut Outbox) -> bool {
        let asked = || OwnVia::read(&via::top(response)?.ok()?)?.engine;
        match asked().filter(|engine| {
            self.hops == 0 && *engine != self.settings.engine && !planted::is(Bug::NoHandBack)
        }) {
            Some(engine) => self.hand_to(engine, response, &no_flow(), out),
            None => false,
        }
    }

    fn hand_to(&mut self, engine: u32, message: &Message<'_>, flow: &Flow, out: &mut Outbox) -> bool {
        let address = self.tier.address_of(engine).and_then(|address| address.parse().ok());
        let Some(to) = address.filter(|_| self.tier.lives(engine) && self.hops < letter::HOPS_MAX) else {
            return false;
        };
        let bytes = &message.bytes()[..message.end() as usize];
        let sealed = letter::seal(&self.settings.secret, self.hops + 1, flow, bytes);
        self.counters.letters.add(1);
        out.post(&sealed, Target::Datagram { listener: flow_listener(&self.settings), to });
        true
    }
}

/// A response needs no way back.
fn no_flow() -> Flow {
    let remote = std::net::SocketAddr::from(([0, 0, 0, 0], 0));
    Flow { listener: 0, transport: sip::Transport::Udp, remote, connection: None }
}

/// The first listener that sends datagrams.
pub(super) fn flow_listener(settings: &crate::settings::Settings) -> u8 {
    let udp = settings.listeners.iter().position(|own| !own.transport.is_reliable());
    udp.unwrap_or_default() as u8
}

/// Somebody waits for a message of ours.
pub(super) fn is_in_progress(record: &Record) -> bool {
    let (caller, callees) =
        record.legs.split_first().map_or((None, &[][..]), |(one, rest)| (Some(one), rest));
    let waits = caller.is_some_and(|caller| {
        matches!(
            caller.state,
            LegState::Calling | LegState::Early | LegState::Cancelling | LegState::Failed | LegState::Ending
        )
    });
    waits || callees.iter().any(|leg| leg.is_open() || leg.state == LegState::Ending)
}
