//! What a worker's thread has beside its core: whom the core asks, who brings the answers, who records its events.

use std::os::fd::RawFd;

use base::Time;
use turn::Core;

/// A worker calls it on its own thread; no call may wait. `()` is for a core that asks nobody and whose events nobody
/// records.
pub trait Beside<C: Core>: Send {
    /// Takes all questions of a turn, before the messages of that turn leave.
    fn ask(&mut self, now: Time, asks: &mut Vec<C::Ask>);

    /// Takes all events of a turn.
    fn record(&mut self, now: Time, events: &mut Vec<C::Event>);

    /// A descriptor that is readable while there are answers.
    fn source(&self) -> Option<RawFd> {
        None
    }

    /// Appends the answers that have come. Called when [`Beside::source`] is readable and when [`Beside::next_deadline`] has
    /// passed.
    fn answers(&mut self, _now: Time, _answers: &mut Vec<C::Answer>) {}

    fn next_deadline(&self) -> Option<Time> {
        None
    }
}

impl<C: Core> Beside<C> for () {
    fn ask(&mut self, _now: Time, asks: &mut Vec<C::Ask>) {
        asks.clear();
    }

    fn record(&mut self, _now: Time, events: &mut Vec<C::Event>) {
        events.clear();
    }
}
