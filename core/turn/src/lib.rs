//! The contract between a core and the worker that drives it: one input in, effects out, no waiting.
//!
//! A worker hands a [`Core`] what happened as an [`Input`] and sends what the core left in its [`Outbox`]. A load manager and a
//! call server differ in what they ask of others beside SIP messages, and in what they record; these are types of the
//! core. A message that must wait for an answer stays with the core until that answer comes as an input: what lies in the
//! outbox leaves in this turn.

mod input;
mod outbox;

use base::Time;

pub use input::Input;
pub use outbox::{Claim, Outbox, Outgoing};

/// What a core has none of: no asks, no answers, no letters or no events.
pub type None = std::convert::Infallible;

/// A state machine that a worker or the simulator drives. Time is handed in; chance was handed in when the core was made.
pub trait Core {
    /// What the core wants from something beside the SIP sockets: notices for other load managers, commands for a store.
    /// The worker hands asks over before the messages of the same turn leave.
    type Ask;
    /// What comes back to the core for its asks.
    type Answer;
    /// What the cores of one process tell each other, each driven by a worker of its own.
    type Letter: Send;
    /// What is worth a record. Rare by nature: never one for each message of a healthy call.
    type Event;

    /// Never fails: a bad input becomes an answer, a counter, or both.
    fn handle(
        &mut self,
        now: Time,
        input: Input<'_, Self::Answer, Self::Letter>,
        out: &mut Outbox<Self::Ask, Self::Letter, Self::Event>,
    );

    /// Does what is due. The worker calls it when [`Core::next_deadline`] has passed.
    fn handle_timeout(&mut self, now: Time, out: &mut Outbox<Self::Ask, Self::Letter, Self::Event>);

    fn next_deadline(&self) -> Option<Time>;
}
