//! Servers of one state tier, which keeps their calls: each speaks and asks for the others, and one that failed is waited for.

use base::Time;
use transaction::{InviteClient, InviteClientState, NonInviteClient, Timers};

use super::{After, Asker, Class, Entry, Kept, Phase, Step, TIMER_C};
use crate::farm::server::ServerId;
use crate::hold::{Speaker, Verdict};

impl Entry {
    /// Another server of the state tier asks the same: the request is that server's from now on.
    pub(in crate::hold) fn asked_again(mut self, kept: &Kept<'_>, asker: Asker) -> Entry {
        (self.server, self.flow) = (Some(asker.server), kept.flow);
        if !self.message.is_empty() {
            self.message = kept.message.into();
        }
        if let Some(to_client) = &mut self.to_client {
            to_client.asker = Some(asker);
        }
        self
    }

    /// The state tier keeps the call of the server that failed last: it gets the request again when it is back. A call that
    /// rings waits one more timer B for that.
    pub(super) fn wait_for_last(&mut self, now: Time, timers: &Timers) -> Step {
        self.server = self.tried.take_last();
        (self.phase, self.patience) = match self.class {
            Class::Invite => {
                self.alone = true;
                (Phase::Invite(InviteClient::start(now, self.server_reliable, timers)), now + timers.b())
            }
            Class::Other | Class::Cancel => {
                let machine = NonInviteClient::start(now, self.server_reliable, timers);
                (Phase::Other(machine), self.born + timers.f())
            }
        };
        if self.server_reliable {
            self.resend_at = now + timers.t1;
        }
        Step::Wait
    }

    /// The response speaks for the server that has the request, or had it last. What we have answered ourselves is past that.
    pub(super) fn is_spoken_for_by(&self, speaker: &Speaker<'_>) -> bool {
        let holder = match self.phase {
            Phase::Answered { .. } | Phase::Over { answered: Some(_) } => None,
            Phase::Seeking { .. } => self.tried.last(),
            Phase::Invite(_) | Phase::Other(_) | Phase::HeldBack { .. } => self.server,
            Phase::Passed(_) | Phase::Over { answered: None } => self.server,
        };
        holder.is_some_and(speaker.speaks_for)
    }

    /// Whether the server of the tier that rings has the INVITE from the one that it was sent to last: servers hand what they
    /// get to the one that has the call. What a server said before the INVITE was taken from it is here after T1 at the latest.
    pub(super) fn is_handed_to(&self, now: Time, speaker: ServerId, timers: &Timers) -> bool {
        let waits = matches!(self.phase, Phase::Invite(_)) && self.is_pending();
        waits && (!self.tried.contains(speaker) || now.since(self.moved_at) >= timers.t1)
    }

    /// The call rings at another server of the tier than the one that the INVITE was sent to last. That one gets its copies
    /// all the same, and its own CANCEL: nobody knows yet whether it has the INVITE.
    pub(super) fn provisional_of_another(&mut self, now: Time) -> (Verdict, After) {
        if !self.is_pending() {
            return (Verdict::Drop, After::Keep);
        }
        self.heard = true;
        if let Phase::Invite(machine) = self.phase
            && machine.state() == InviteClientState::Proceeding
        {
            self.patience = now + TIMER_C;
        }
        (Verdict::Pass, After::Keep)
    }
}
