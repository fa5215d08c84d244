//! What a worker of an engine drives: the engine, and the form in which its responses leave.

use base::{Key, Time};
use engine::Engine;
use lb::way::encapsulating::encapsulate;
use turn::{Input, Outbox};

/// See the head of this module.
pub(crate) struct Core {
    pub(crate) engine: Engine,
    /// Responses to requests that came through a load manager leave encapsulated, authenticated with this key.
    pub(crate) encapsulating_key: Option<Key>,
}

impl Core {
    fn encapsulate<A, L, E>(&self, from: usize, out: &mut Outbox<A, L, E>) {
        if let Some(key) = &self.encapsulating_key {
            encapsulate(key, from, out);
        }
    }
}

impl turn::Core for Core {
    type Ask = <Engine as turn::Core>::Ask;
    type Answer = <Engine as turn::Core>::Answer;
    type Letter = <Engine as turn::Core>::Letter;
    type Event = <Engine as turn::Core>::Event;

    fn handle(
        &mut self,
        now: Time,
        input: Input<'_, Self::Answer, Self::Letter>,
        out: &mut Outbox<Self::Ask, Self::Letter, Self::Event>,
    ) {
        let before = out.sends.len();
        self.engine.handle(now, input, out);
        self.encapsulate(before, out);
    }

    fn handle_timeout(&mut self, now: Time, out: &mut Outbox<Self::Ask, Self::Letter, Self::Event>) {
        let before = out.sends.len();
        self.engine.handle_timeout(now, out);
        self.encapsulate(before, out);
    }

    fn next_deadline(&self) -> Option<Time> {
        self.engine.next_deadline()
    }
}
