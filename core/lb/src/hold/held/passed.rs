//! Failures that have passed from a stream to a client over UDP: see [`crate::hold::entry`].

use base::Time;
use sip::Flow;

use super::{Held, slot};
use crate::farm::server::ServerId;
use crate::hold::entry::Entry;
use crate::hold::{Alarms, Class};

impl Held {
    /// A failure came over a stream and has passed, as `failure`, to a client over UDP at the far end of `flow`. It is
    /// repeated until that client's ACK. Copies that the server sends change nothing.
    pub fn failure_passed(
        &self,
        now: Time,
        alarms: &mut Alarms,
        key: u64,
        server: ServerId,
        (flow, failure): (Flow, &[u8]),
    ) {
        let slot = slot(key, Class::Invite);
        let mut shard = self.table.lock(slot);
        let timers = &self.limits.timers;
        if shard.get(slot).is_some_and(|entry| !entry.may_repeat_failure_of(server)) {
            return;
        }
        // Taken out and put in again, so that the bounds hold although the entry grows.
        let entry = match shard.remove(slot) {
            Some(entry) => entry.repeating_from_now(now, flow, failure, timers),
            None => Entry::of_passed(now, server, flow, failure, timers),
        };
        match shard.insert(now, alarms, slot, entry) {
            Ok(()) => self.counters.kept.add(),
            Err(_) => self.counters.full.add(),
        }
    }
}
