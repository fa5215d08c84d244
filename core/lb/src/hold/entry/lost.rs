//! The loss of a connection that a request was written to.
//!
//! The server may never have read what was written to a stream, and nobody learns whether it did. So the request is sent
//! again with the same branch over a new connection: a server that has the request takes the second for a copy (RFC 3261
//! §17.2.3), a restarted server answers it, and if the server is gone, another server gets it.

use base::{Duration, Time};
use transaction::{InviteClientState, NonInviteClientState, Timers};

use super::{Class, Entry, Limits, Phase, Step, Why};
use crate::farm::server::ServerId;

/// Connections to one server that a request may lose before the server counts as failed for it. With the pauses between, that
/// is 3·T1 = 1.5 s: the server table, where it judges servers at all, is faster.
pub(super) const LOSSES_MAX: u8 = 3;

/// How the loss became known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::hold) enum Loss {
    /// The connection has ended: this concerns all requests that were sent over it.
    Closed,
    /// Only the requests that are sent at this moment could not be sent.
    Unsent,
}

impl Entry {
    /// The request is being sent, over a connection of this worker.
    pub(in crate::hold) fn is_sent(&mut self, now: Time, worker: u8) {
        (self.sent.at, self.sent.worker) = (now, worker);
    }

    /// A connection of this worker to this server is lost. `None`: this request is not concerned.
    pub(in crate::hold) fn connection_lost(
        &mut self,
        now: Time,
        (server, worker): (ServerId, u8),
        loss: Loss,
        limits: &Limits,
    ) -> Option<Step> {
        let went_there = self.server == Some(server) && self.server_reliable && self.to_client.is_none();
        let by_it = self.sent.worker == worker && (loss == Loss::Closed || self.sent.at == now);
        // One loss may be reported in two ways.
        if !went_there || !by_it || !self.waits() || self.resend_at != Time::NEVER {
            return None;
        }
        self.losses += 1;
        self.sent.twice = true;
        if self.losses <= LOSSES_MAX {
            self.resend_at = now + pause(self.losses, loss, &limits.timers);
            return Some(Step::Wait);
        }
        let may_move = match self.class {
            Class::Invite => self.failover,
            Class::Other => true,
            Class::Cancel => false,
        };
        may_move.then(|| self.give_up(now, Why::Failed, limits))
    }

    /// The server to which the request is to be sent again now.
    pub(super) fn due_again(&mut self, now: Time) -> Option<ServerId> {
        if self.resend_at > now {
            return None;
        }
        self.resend_at = Time::NEVER;
        self.server.filter(|_| self.waits())
    }

    /// The request has no final answer, and its message is still kept.
    fn waits(&self) -> bool {
        let unanswered = match self.phase {
            Phase::Invite(machine) => {
                matches!(machine.state(), InviteClientState::Calling | InviteClientState::Proceeding)
            }
            Phase::Other(machine) => {
                matches!(machine.state(), NonInviteClientState::Trying | NonInviteClientState::Proceeding)
            }
            Phase::HeldBack { .. } | Phase::Seeking { .. } | Phase::Answered { .. } => false,
            Phase::Passed(_) | Phase::Over { .. } => false,
        };
        unanswered && !self.message.is_empty()
    }

    /// The server has answered the INVITE: it has the INVITE, and the connection holds.
    pub(super) fn is_heard(&mut self) {
        (self.resend_at, self.losses) = (Time::NEVER, 0);
    }
}

/// The first time at once, since an idle connection may end just when it is used; then with the pauses of timer E.
fn pause(losses: u8, loss: Loss, timers: &Timers) -> Duration {
    match (losses, loss) {
        (1, Loss::Closed) => Duration::ZERO,
        (1, Loss::Unsent) => timers.e(1),
        _ => timers.e(losses - 1),
    }
}
