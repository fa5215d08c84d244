//! Calls that another engine has taken over though their owner lives: it was taken for dead while it stood still or could not be
//! reached, or a message was handed on too often. Who takes over tells the former owner. Else both would repeat the INVITE, and the one
//! that the callees do not answer would end the call with 408 (timer B).

use base::Time;
use sip::Target;
use state::Key;

use super::call::{Call, Known, Owned};

use super::stand_in::{flow_listener, is_in_progress};
use super::{Engine, Letter, Outbox};
use crate::hint::Hint;
use crate::letter::HOPS_MAX;
use crate::step::Event;

impl Engine {
    /// A call in progress has another owner, perhaps. If the former one is dead indeed, nobody reads that.
    pub(super) fn tell_former_owner(&mut self, key: Key, former: u32, out: &mut Outbox) {
        let is_in_progress = matches!(self.calls.get(key), Some(Call { known: Known::Up(record), .. }) if is_in_progress(record));
        if former == self.settings.engine || !is_in_progress {
            return;
        }
        let Some(Ok(to)) = self.tier.last_address(former).map(str::parse) else { return };
        let hint = Hint { hops: HOPS_MAX, key, dead: None };
        let listener = flow_listener(&self.settings);
        out.post(&hint.seal(&self.settings.secret), Target::Datagram { listener, to });
    }

    /// A call in progress that this engine has for its own is read anew; if it has another owner, that one goes on with it.
    pub(super) fn may_have_lost(&mut self, now: Time, key: Key, out: &mut Outbox) {
        let (engine, worker) = (self.settings.engine, self.settings.worker_of(key));
        if worker != self.settings.worker {
            return out.letters.push((worker, Letter::Lost(key)));
        }
        let Some(call) = self.calls.get_mut(key) else { return };
        let is_own = |known: &Known| matches!(known, Known::Up(record) if record.header.owner == engine && is_in_progress(record));
        // What it writes now is refused if the call has another owner.
        if call.busy.is_some() || call.owed.is_some() || !is_own(&call.known) {
            return;
        }
        call.known = Known::Unread;
        self.event(now, key, &Event::TakeOver, &|| Owned::TakeOver, out);
    }
}
