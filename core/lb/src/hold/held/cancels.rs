//! CANCELs of held INVITEs: those of callers, which we answer and send on when the server may get them, and our own, to
//! servers that ring in vain.

use base::Time;
use sip::Parser;
use transaction::table::Next;
use transaction::{InviteClientState, hop_by_hop};

use super::{Held, slot};
use crate::farm::server::ServerId;
use crate::hold::entry::{Cancel, Entry, Phase};
use crate::hold::{Alarms, Cancelled, Class, Kept, NotKept, Speaker, Verdict};

impl Held {
    /// The CANCEL of the INVITE with this key. `kept.server` is ignored: the CANCEL goes where the INVITE is.
    pub fn cancel(&self, now: Time, alarms: &mut Alarms, key: u64, kept: &Kept<'_>) -> Cancelled {
        let invite = slot(key, Class::Invite);
        let (server, server_reliable, to_client) = {
            let shard = self.table.lock(invite);
            let Some(entry) = shard.get(invite).filter(|entry| entry.class == Class::Invite) else {
                return Cancelled::NotHeld;
            };
            if !entry.is_pending() {
                // The CANCEL comes too late.
                return Cancelled::Answer;
            }
            (entry.server, entry.server_reliable, entry.to_client.as_ref().map(|to| to.target))
        };
        // Kept first and marked afterwards, so that no response in between is missed. A copy of the CANCEL finds it kept.
        let server = server.unwrap_or(kept.server);
        let kept = Kept { class: Class::Cancel, server, server_reliable, to_client, ..*kept };
        let room = self.insert(now, alarms, key, &kept, Entry::held_back) != Err(NotKept::Full);
        let marked = self.at(now, alarms, key, Class::Invite, |entry| {
            let (cancel, cancelled) = match (room, entry.server) {
                (false, Some(server)) => (Cancel::Forwarded, Cancelled::Forward(server)),
                _ => (Cancel::Answered, Cancelled::Answer),
            };
            if entry.cancel == Cancel::No {
                entry.cancel = cancel;
            }
            let alive = match entry.phase {
                Phase::Invite(machine) if machine.state() == InviteClientState::Proceeding => entry.server,
                _ => None,
            };
            Next::Keep((cancelled, alive))
        });
        let (cancelled, alive) = marked.unwrap_or((Cancelled::Answer, None));
        if let Some(server) = alive {
            self.send_cancel(now, alarms, key, server);
        }
        cancelled
    }

    /// The response of a held INVITE's server to a CANCEL of ours goes nowhere: the client has its answer.
    pub(super) fn cancel_response(
        &self,
        now: Time,
        alarms: &mut Alarms,
        key: u64,
        status: u16,
        speaker: &Speaker<'_>,
    ) -> Verdict {
        let (held, _) = self.judge(now, alarms, key, Class::Cancel, |entry| {
            let (verdict, after) = entry.other_response(now, status, &self.limits.timers);
            (if entry.cancel == Cancel::Answered { Verdict::Drop } else { verdict }, after)
        });
        let invite = slot(key, Class::Invite);
        let is_of_holder = |entry: &Entry| {
            entry.server == Some(speaker.server) || entry.server.is_some_and(speaker.speaks_for)
        };
        let ours = self.table.lock(invite).get(invite).is_some_and(|entry| {
            entry.class == Class::Invite && (entry.cancel == Cancel::Answered || !is_of_holder(entry))
        });
        if ours { Verdict::Drop } else { held }
    }

    /// The server shows life: the CANCEL may be sent to it.
    pub(super) fn send_cancel(&self, now: Time, alarms: &mut Alarms, key: u64, server: ServerId) {
        self.at(now, alarms, key, Class::Cancel, |entry| {
            if entry.phase == (Phase::HeldBack { ready: false }) {
                entry.server = Some(server);
                entry.phase = Phase::HeldBack { ready: true };
            }
            Next::Keep(())
        });
    }

    /// Another server has answered the INVITE: this server, which rings, gets a CANCEL that we make.
    pub(super) fn silence(&self, now: Time, alarms: &mut Alarms, key: u64, server: ServerId, invite: &[u8]) {
        let at = slot(key, Class::Invite);
        let Some((flow, server_reliable)) =
            self.table.lock(at).get(at).map(|entry| (entry.flow, entry.server_reliable))
        else {
            return;
        };
        let (mut parser, mut message) = (Parser::new(), Vec::new());
        if !parser.parse(invite).is_ok_and(|invite| hop_by_hop::cancel_of(&invite, &mut message)) {
            return;
        }
        let kept = Kept {
            class: Class::Cancel,
            message: &message,
            flow,
            server,
            server_reliable,
            to_client: None,
            failover: false,
            in_dialog: false,
            route_fields: b"",
        };
        if self.insert(now, alarms, key, &kept, Entry::held_back).is_ok() {
            self.counters.cancelled.add();
            self.send_cancel(now, alarms, key, server);
        }
    }
}
