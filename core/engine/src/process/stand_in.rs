//! Whose call it is: what comes for a call that is not up yet goes to its owner; if that is dead, this engine becomes the owner.

use sip::Target;
use state::Key;

use super::calls::Known;
use super::{Engine, Outbox};
use crate::letter;
use crate::record::{LegState, Record};
use crate::step::Event;

impl Engine {
    /// The record has another owner, and somebody must run its timers.
    pub(super) fn must_take_over(&self, key: Key) -> bool {
        match self.calls.get(key).map(|call| &call.known) {
            Some(Known::Up(record)) => record.header.owner != self.settings.engine && is_in_progress(record),
            _ => false,
        }
    }

    /// Gives the message to the owner. False: it is dead, or the message has been handed on too often.
    pub(super) fn hand_over(&mut self, key: Key, event: &Event<'_>, out: &mut Outbox) -> bool {
        let Some(Known::Up(record)) = self.calls.get(key).map(|call| &call.known) else { return false };
        let owner = record.header.owner;
        let (message, flow) = match event {
            Event::Request { request, flow, .. } => (request, Some(*flow)),
            Event::Response { response } => (response, self.response_flow()),
            Event::Timer(_) | Event::TakeOver => return false,
        };
        let address = self.tier.address_of(owner).and_then(|address| address.parse().ok());
        let (Some(to), Some(flow)) = (address, flow) else { return false };
        if !self.tier.lives(owner) || self.hops >= letter::HOPS_MAX {
            return false;
        }
        let bytes = &message.bytes()[..message.end() as usize];
        let sealed = letter::seal(&self.settings.secret, self.hops + 1, &flow, bytes);
        self.counters.letters.add(1);
        out.post(&sealed, Target::Datagram { listener: flow_listener(&self.settings), to });
        // The owner changes the record; this engine reads it anew.
        if let Some(call) = self.calls.get_mut(key) {
            call.known = Known::Unread;
        }
        true
    }

    /// A response needs no way back.
    fn response_flow(&self) -> Option<sip::Flow> {
        let remote = std::net::SocketAddr::from(([0, 0, 0, 0], 0));
        Some(sip::Flow { listener: 0, transport: sip::Transport::Udp, remote, connection: None })
    }
}

/// The first listener that sends datagrams.
fn flow_listener(settings: &crate::settings::Settings) -> u8 {
    let udp = settings.listeners.iter().position(|own| !own.transport.is_reliable());
    udp.unwrap_or_default() as u8
}

/// Somebody waits for a message of ours.
pub(super) fn is_in_progress(record: &Record) -> bool {
    let (caller, callees) =
        record.legs.split_first().map_or((None, &[][..]), |(one, rest)| (Some(one), rest));
    let waits = caller.is_some_and(|caller| {
        matches!(caller.state, LegState::Calling | LegState::Early | LegState::Cancelling | LegState::Failed)
    });
    waits || callees.iter().any(|leg| leg.is_open() || leg.state == LegState::Ending)
}
