//! What leaves at the end of a turn: the outbox of the core, or nothing if the turn took too long.

use base::{Duration, Time};
use turn::Core;

use super::beside::Beside;
use super::edge::Edge;
use crate::{Clock, Counters};

/// The outbox of a core.
pub(super) type Outbox<C> = turn::Outbox<<C as Core>::Ask, <C as Core>::Letter, <C as Core>::Event>;

/// Throws away what a turn wanted to send that took too long.
pub(super) fn throw_away_if_late<Ask, Letter, Event>(
    outbox: &mut turn::Outbox<Ask, Letter, Event>,
    counters: &Counters,
    (late, began, clock): (Option<Duration>, Time, &Clock),
) {
    let Some(late) = late.filter(|_| !outbox.sends.is_empty()) else { return };
    if clock.now().since(began) > late {
        counters.sends_too_late.add(outbox.sends.len() as u64);
        outbox.sends.clear();
        outbox.bytes.clear();
    }
}

/// Empties an outbox: asks first, so that what others must know before a message leaves is on its way to them.
pub(super) fn empty<C: Core>(
    outbox: &mut Outbox<C>,
    edge: &mut Edge<C::Letter>,
    beside: &mut dyn Beside<C>,
    now: Time,
) {
    if !outbox.asks.is_empty() {
        beside.ask(now, &mut outbox.asks);
    }
    edge.send(outbox, now);
    if !outbox.events.is_empty() {
        beside.record(now, &mut outbox.events);
    }
}
