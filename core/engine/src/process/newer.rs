//! Calls whose record only a newer build can read: they are left to an engine of that build, which is the owner, or the engine that
//! was started last, since builds are replaced by newer ones.

use sip::Target;
use state::{Command, Key};

use super::call::Known;
use super::stand_in::flow_listener;
use super::tier::Asked;
use super::{Engine, Outbox};
use crate::hint::Hint;
use crate::letter::HOPS_MAX;
use crate::step::Event;

impl Engine {
    /// Leaves what happened to a call that this build cannot read to another engine. False: the call can be read, nobody else lives,
    /// or the message has been handed on too often.
    pub(super) fn leave_to_newer(&mut self, key: Key, event: &Event<'_>, out: &mut Outbox) -> bool {
        let Some(Known::Foreign(owner)) = self.calls.get(key).map(|call| &call.known) else { return false };
        let owner = *owner;
        match event {
            Event::Request { .. } | Event::Response { .. } => {
                self.hand_to_one_of(key, &self.newer(owner), event, out)
            }
            Event::TakeOver => self.ask_newer(key, owner, out),
            // The owner has its own.
            Event::Timer(_) => false,
        }
    }

    /// Has a newer build look at a record: it is due, or its owner is dead. False: nobody else lives, or it was handed on too often.
    pub(super) fn ask_newer(&mut self, key: Key, owner: u32, out: &mut Outbox) -> bool {
        let hops = self.hops + 1;
        let lives = |engine: &u32| self.tier.lives(*engine);
        let chosen = self.newer(owner).into_iter().find(lives);
        let address = chosen.and_then(|engine| self.tier.address_of(engine)).map(str::parse);
        let Some(Ok(to)) = address.filter(|_| hops <= HOPS_MAX) else { return false };
        let hint = Hint { hops, key, dead: Some(owner).filter(|owner| !lives(owner)) };
        self.counters.letters.add(1);
        let listener = flow_listener(&self.settings);
        out.post(&hint.seal(&self.settings.secret), Target::Datagram { listener, to });
        true
    }

    fn newer(&self, owner: u32) -> Vec<u32> {
        let owner = Some(owner).filter(|owner| *owner != self.settings.engine);
        owner.into_iter().chain(self.tier.last_started()).collect()
    }

    /// Another engine asks for a look at a record: that engine cannot read the record, or has taken the call over from this one.
    pub(super) fn hint(&mut self, datagram: &[u8], out: &mut Outbox) {
        let Some(Hint { hops, key, dead }) = Hint::open(&self.settings.secret, datagram) else {
            return self.counters.malformed.add(1);
        };
        let peek = Command::Peek { key, cached: None };
        self.ask(super::Asked::Tier(Asked::Look { key, hops, dead }), key.partition(), peek, false, out);
    }
}
