//! Timers of transactions in progress (SPEC E3): if this engine dies, the record's wake-up comes a little later.

use base::{Duration, Time};
use sip::{Parser, Target};
use state::planted::{self, Bug};
use state::{Key, Millis};
use transaction::{InviteClientEvent, NonInviteClient, Output, Timers};

use super::call::{Call, Known, Owned};
use super::{Engine, Outbox};
use crate::step::{Event, Timer};
use crate::text::Text;

/// Calls whose timers are handled in one turn.
const PER_TURN: usize = 512;

/// What the timers of a call have led to.
#[derive(Default)]
struct Rung {
    events: Vec<Owned>,
    /// Messages that leave once more.
    sends: Vec<(Vec<u8>, Target)>,
    /// Legs whose INVITE leaves once more.
    invites: Vec<u16>,
    repeats_failure: bool,
}

impl Engine {
    pub(super) fn run_timers(&mut self, now: Time, out: &mut Outbox) {
        self.tier.set_now(now);
        let millis = self.tier.millis(now);
        for _ in 0..PER_TURN {
            let Some(key) = self.calls.due(now) else { return };
            let timers = self.settings.timers;
            let Some(call) = self.calls.get_mut(key) else { continue };
            let mut rung = ring(now, call, &timers);
            rung.events.extend(of_application(call, millis));
            self.repeat(key, &rung, out);
            for event in rung.events {
                self.happens(now, key, event, out);
            }
            self.write_owed(now, key, out);
            self.settle(now, key, out);
        }
    }

    /// When this engine must look at the timers of the application.
    pub(super) fn set_application_due(&mut self, now: Time, key: Key) {
        let millis = self.tier.millis(now);
        let engine = self.settings.engine;
        let Some(call) = self.calls.get_mut(key).filter(|call| call.busy.is_none()) else { return };
        // A timer whose write was refused comes again at its own time.
        let is_again = |(_, event): &(Time, Owned)| matches!(event, Owned::Timer(Timer::OfApplication(_)));
        let comes_again = call.again.iter().any(is_again);
        let first = match &call.known {
            Known::Up(record) if record.header.owner == engine && !comes_again => {
                record.timers.iter().map(|timer| timer.due).min()
            }
            _ => None,
        };
        call.application_due = first.map(|due| now + Duration::from_millis(due.saturating_sub(millis)));
    }

    /// An event of a call comes out of this engine's own memory.
    pub(super) fn happens(&mut self, now: Time, key: Key, event: Owned, out: &mut Outbox) {
        let Some(call) = self.calls.get_mut(key) else { return };
        if call.busy.is_some() {
            call.wait(event);
        } else {
            self.again(now, key, event, false, out);
        }
    }

    fn repeat(&self, key: Key, rung: &Rung, out: &mut Outbox) {
        rung.sends.iter().for_each(|(bytes, target)| out.post(bytes, *target));
        let Some(Known::Up(record)) = self.calls.get(key).map(|call| &call.known) else { return };
        let text = Text { settings: &self.settings, key, record };
        let mut parser = Parser::new();
        if rung.repeats_failure
            && let Ok(answer) = parser.parse(&record.answer)
            && let Some(flow) = record.legs.first().and_then(|caller| caller.flow)
        {
            out.post(&record.answer, sip::answer::target(&answer, flow));
        }
        if rung.invites.is_empty() {
            return;
        }
        let Ok(invite) = parser.parse(&record.invite) else { return };
        for leg in record.legs.iter().filter(|leg| rung.invites.contains(&leg.number)) {
            if let Some(written) = text.invite(leg, &invite) {
                out.post(&written.bytes, written.target);
            }
        }
    }

    /// A destination refuses connections: calls that wait for its answer have none to wait for (RFC 3261 §8.1.3.1).
    pub(super) fn unreachable(&mut self, now: Time, to: &Target, out: &mut Outbox) {
        if matches!(to, Target::Datagram { .. }) {
            return;
        }
        let waits = |(key, call): (Key, &Call)| {
            let client = call.soft.clients.iter().find(|client| client.target == *to && !client.heard)?;
            Some((key, Timer::NoAnswer(client.leg)))
        };
        let waiting: Vec<(Key, Timer)> = self.calls.all().filter_map(waits).take(PER_TURN).collect();
        for (key, timer) in waiting {
            self.event(now, key, &Event::Timer(timer), &|| Owned::Timer(timer), out);
        }
    }
}

/// The timers of the application that have run out.
fn of_application(call: &mut Call, millis: Millis) -> Vec<Owned> {
    let Known::Up(record) = &call.known else { return Vec::new() };
    let due = record.timers.iter().filter(|timer| call.application_due.is_some() && timer.due <= millis);
    due.map(|timer| Owned::Timer(Timer::OfApplication(timer.id))).collect()
}

/// Moves the machines of a call on.
fn ring(now: Time, call: &mut Call, timers: &Timers) -> Rung {
    let mut rung = Rung::default();
    let soft = &mut call.soft;
    for client in &mut soft.clients {
        while let Some(event) = client.invite.due(now) {
            match client.invite.handle(now, event, timers) {
                Output::Repeat => rung.invites.push(client.leg),
                Output::Timeout => rung.events.push(Owned::Timer(Timer::NoAnswer(client.leg))),
                _ => {}
            }
            if event != InviteClientEvent::TimerA {
                break;
            }
        }
        if let Some(cancel) = &mut client.cancel {
            if repeats(now, &mut cancel.machine, timers).0 {
                rung.sends.push((cancel.bytes.clone(), cancel.target));
            }
            if cancel.ends_at <= now {
                cancel.ends_at = Time::NEVER;
                rung.events.push(Owned::Timer(Timer::NotCancelled(client.leg)));
            }
        }
    }
    for relay in &mut soft.relays {
        let (repeat, over) = repeats(now, &mut relay.machine, timers);
        if repeat {
            rung.sends.push((relay.bytes.clone(), relay.target));
        }
        if over {
            rung.events.push(Owned::Timer(Timer::Unanswered(relay.id)));
        }
    }
    let byes = soft.byes.iter_mut().map(|bye| (bye, Timer::UnwantedStays as fn(_) -> _));
    let options = soft.options.iter_mut().map(|options| (options, Timer::Silent as fn(_) -> _));
    for (own, timer) in byes.chain(options) {
        let (repeat, over) = repeats(now, &mut own.machine, timers);
        if repeat {
            rung.sends.push((own.bytes.clone(), own.target));
        }
        if over {
            rung.events.push(Owned::Timer(timer(own.leg)));
        }
    }
    if let Some(failure) = &mut soft.failure {
        while let Some(event) = failure.due(now) {
            match failure.handle(now, event, timers) {
                Output::Repeat => rung.repeats_failure = !planted::is(Bug::LostTimer),
                Output::Timeout => rung.events.push(Owned::Timer(Timer::NoAck)),
                _ => break,
            }
        }
    }
    if soft.rings_until.is_some_and(|until| until <= now) {
        soft.rings_until = None;
        rung.events.push(Owned::Timer(Timer::Rang));
    }
    let due = call.again.extract_if(.., |(at, _)| *at <= now).map(|(_, event)| event);
    rung.events.extend(due);
    rung
}

/// Whether a request leaves once more, and whether its time is over.
fn repeats(now: Time, machine: &mut NonInviteClient, timers: &Timers) -> (bool, bool) {
    let (mut repeat, mut over) = (false, false);
    while let Some(event) = machine.due(now) {
        match machine.handle(now, event, timers) {
            Output::Repeat => repeat = true,
            Output::Timeout => over = true,
            _ => {}
        }
    }
    (repeat, over)
}
