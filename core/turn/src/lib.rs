//! The contract between a core and the worker that drives it: one input in, effects out, no waiting.
//!
//! A worker gives events to a [`Core`] as [`Input`]s, and sends what the core left in its [`Outbox`]. A load manager and a
//! call server differ in what they ask of others besides SIP messages, and in what they record; these are types of the core.
//! A message that must wait for an answer stays in the core until the answer comes as an input: everything in the outbox
//! leaves in this turn.

mod input;
mod outbox;
pub mod stored;

use base::Time;

pub use input::Input;
pub use outbox::{Claim, Outbox, Outgoing};

/// For a core without questions, answers, letters or events.
pub type None = std::convert::Infallible;

/// A state machine that a worker or the simulator drives. Time is an argument; the core got its chance when it was made.
pub trait Core {
    /// What the core wants from others besides the SIP sockets: notices for other load managers, commands for a store. The
    /// worker gives these questions to others before the messages of the same turn leave.
    type Ask;
    /// The answers to the core's questions.
    type Answer;
    /// What the cores of one process tell each other. Each core has a worker of its own.
    type Letter: Send;
    /// Events worth a record. They are rare: never one for each message of a healthy call.
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
