//! Effects of steps: what leaves, and which transactions begin and end.

use base::Time;
use sip::Target;
use state::Key;
use state::planted::{self, Bug};
use transaction::{
    InviteClient, InviteClientEvent, InviteServer, InviteServerEvent, NonInviteClient, NonInviteClientEvent,
};

use super::call::Known;
use super::{Engine, Outbox};
use crate::record::Record;
use crate::soft::{Cancel, Client, Own, Relay};
use crate::step::{Counted, Effect};
use crate::text::Written;

/// Requests of one call that pass at the same time.
const RELAYS_MAX: usize = 16;

impl Engine {
    /// A planted fault: what is not written takes effect.
    pub(super) fn apply_unwritten(
        &mut self,
        now: Time,
        key: Key,
        record: &Record,
        then: Vec<Effect>,
        out: &mut Outbox,
    ) {
        if let Some(call) = self.calls.get_mut(key) {
            call.known = Known::Up(Box::new(record.clone()));
        }
        self.apply(now, key, then, out);
    }

    pub(super) fn apply(&mut self, now: Time, key: Key, effects: Vec<Effect>, out: &mut Outbox) {
        effects.into_iter().for_each(|effect| self.apply_one(now, key, effect, out));
    }

    fn apply_one(&mut self, now: Time, key: Key, effect: Effect, out: &mut Outbox) {
        let timers = self.settings.timers;
        if let Effect::Count(counted) = effect {
            return self.count(counted);
        }
        if let Effect::Send { bytes, target } = &effect {
            return out.post(bytes, *target);
        }
        let micros = self.tier.micros(now);
        let Some(call) = self.calls.get_mut(key) else { return };
        let soft = &mut call.soft;
        let begin = |all: &mut Vec<Own>, leg, written: Written, out: &mut Outbox| {
            all.retain(|own| own.leg != leg);
            out.post(&written.bytes, written.target);
            all.push(Own {
                leg,
                branch: written.branch,
                machine: NonInviteClient::start(now, written.reliable, &timers),
                bytes: written.bytes,
                target: written.target,
            });
        };
        match effect {
            Effect::Send { .. } | Effect::Count(_) => {}
            Effect::Invite(leg, written) => {
                soft.clients.retain(|client| client.leg != leg);
                let invite = InviteClient::start(now, written.reliable, &timers);
                let target = written.target;
                // A call mostly has one leg, and room for four would take more than its record.
                soft.clients.reserve_exact(1);
                soft.clients.push(Client { leg, invite, heard: false, cancel: None, target });
                soft.rings_until.get_or_insert(now + self.settings.ring_max);
                out.post(&written.bytes, target);
            }
            Effect::Heard(leg) => {
                if let Some(client) = soft.client_mut(leg) {
                    client.invite.handle(now, InviteClientEvent::Provisional, &timers);
                    client.heard = true;
                }
            }
            Effect::Rings => {
                soft.rang_at.get_or_insert(micros);
            }
            Effect::RingsOn => {
                if let Some(until) = &mut soft.rings_until {
                    *until = now + self.settings.ring_max;
                }
            }
            Effect::Answered(leg) => {
                soft.clients.retain(|client| client.leg != leg);
                if soft.clients.is_empty() {
                    // An established call is kept for as long as it lasts.
                    soft.clients = Vec::new();
                    soft.rings_until = None;
                }
            }
            Effect::Cancel(leg, written) => {
                if let Some(client) = soft.client_mut(leg) {
                    out.post(&written.bytes, written.target);
                    client.cancel = Some(Cancel {
                        machine: NonInviteClient::start(now, written.reliable, &timers),
                        bytes: written.bytes,
                        target: written.target,
                        ends_at: now + timers.b(),
                    });
                }
            }
            Effect::CancelAnswered(leg) => {
                if let Some(cancel) = soft.client_mut(leg).and_then(|client| client.cancel.as_mut()) {
                    cancel.machine.handle(now, NonInviteClientEvent::Final, &timers);
                }
            }
            Effect::Fail { bytes, target } => {
                let mut server = InviteServer::start(!matches!(target, Target::Datagram { .. }));
                server.handle(now, InviteServerEvent::Failure, &timers);
                soft.failure = Some(server);
                soft.rings_until = None;
                out.post(&bytes, target);
            }
            Effect::FailureOver => soft.failure = None,
            Effect::Relay(asked, written) => {
                if soft.relays.len() >= RELAYS_MAX {
                    return self.counters.dropped.add(1);
                }
                self.next_relay += 1;
                out.post(&written.bytes, written.target);
                soft.relays.reserve_exact(1);
                soft.relays.push(Relay {
                    id: self.next_relay,
                    branch: written.branch,
                    asked: *asked,
                    machine: NonInviteClient::start(now, written.reliable, &timers),
                    bytes: written.bytes,
                    target: written.target,
                });
            }
            Effect::Relayed(id) => {
                soft.relays.retain(|relay| relay.id != id);
                soft.relays.shrink_to_fit();
            }
            Effect::Bye(leg, written) => begin(&mut soft.byes, leg, written, out),
            Effect::ByeAnswered(leg) => soft.byes.retain(|bye| bye.leg != leg),
            Effect::Options(leg, written) => begin(&mut soft.options, leg, written, out),
            Effect::OptionsAnswered(leg) => soft.options.retain(|options| options.leg != leg),
        }
        self.calls.arm(key);
    }

    fn count(&self, counted: Counted) {
        let counter = match counted {
            Counted::Begun => &self.counters.begun,
            Counted::Confirmed => &self.counters.confirmed,
            Counted::Failed => &self.counters.failed,
            Counted::Ended => &self.counters.ended,
            Counted::TakenOver => &self.counters.taken_over,
            Counted::Refused => &self.counters.refused,
        };
        counter.add(1);
    }
}

/// Whether a planted fault lets this effect leave before its write. Without one, none does.
pub(super) fn leaves_early(effect: &Effect) -> bool {
    let starts = |bug: Bug, text: &[u8]| {
        matches!(effect, Effect::Send { bytes, .. } if bytes.starts_with(text)) && planted::is(bug)
    };
    starts(Bug::AckBeforePut, b"ACK ")
        || starts(Bug::AnswerBeforePut, b"SIP/2.0 2")
        || matches!(effect, Effect::Invite(..)) && planted::is(Bug::InviteBeforeCreate)
        || matches!(effect, Effect::Fail { .. }) && planted::is(Bug::FailureBeforePut)
}

/// How often a message was handed over, unless a planted fault forgets it.
pub(super) fn kept_hops(hops: u8) -> u8 {
    if planted::is(Bug::HopsForgotten) { 0 } else { hops }
}
