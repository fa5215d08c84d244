//! One call of the server.

use base::Time;
use sip::Target;
use transaction::key::ServerKey;
use transaction::{InviteServer, NonInviteClient, NonInviteServer, Success};

/// The state of the call. The server itself repeats the 2xx, not the transaction (RFC 3261 §13.3.1.4).
#[derive(Clone, Debug)]
pub(super) enum Phase {
    /// The group seeks a server for the call; the search has this number. The member that takes the call may have told the
    /// client already; the client's ACK then comes before that member's decision.
    Sought { search: u64, acknowledged: bool },
    /// The 180 is due at `next` if it was not sent yet, otherwise the final answer with this status.
    Ringing { rung: bool, next: Time, status: u16 },
    /// The 200 was sent and is repeated until the ACK comes or 64·T1 are over.
    Answered { success: Success },
    /// A BYE of our own is due at `next`: by `hang_up_after` or by `abandon_after`.
    Confirmed { next: Time },
    /// A failure was sent and waits for its ACK.
    Refused,
    /// Our BYE is on its way. `again_at`: its connection was lost, and the BYE is sent again at this time.
    HangingUp { bye: NonInviteClient, branch: u64, again_at: Option<Time> },
    /// The call is kept for copies of the caller's BYE or CANCEL, or for a BYE that crosses ours; `None`: it can go.
    Ended { last: Option<NonInviteServer> },
}

pub(super) struct Call {
    pub(super) key: Box<[u8]>,
    pub(super) phase: Phase,
    /// The transaction of the last INVITE.
    pub(super) transaction: InviteServer,
    pub(super) transaction_key: ServerKey,
    /// The transaction of the CANCEL that ended the call; it lives longer than the INVITE's.
    pub(super) cancel: Option<NonInviteServer>,
    /// CSeq number of the last INVITE, or of the caller's BYE once it came.
    pub(super) sequence: u32,
    /// The first INVITE: later answers copy fields from it, and our BYE takes its route from it. Empty once neither is needed.
    pub(super) invite: Box<[u8]>,
    /// The Contact of a later request that changed it (RFC 3261 §12.2.2).
    pub(super) remote_target: Option<Box<[u8]>>,
    pub(super) remote: std::net::SocketAddr,
    /// Where answers to the INVITE go.
    pub(super) target: Target,
    /// The message to repeat: the last answer to the INVITE, or our BYE.
    pub(super) last: Box<[u8]>,
    pub(super) own_tag: Box<[u8]>,
    pub(super) own_sequence: u32,
}

impl Call {
    pub(super) fn next_deadline(&self) -> Option<Time> {
        match &self.phase {
            Phase::Ringing { next, .. } | Phase::Confirmed { next } => Some(*next),
            Phase::Answered { success } => success.next_deadline(),
            Phase::Refused => self.transaction.next_deadline(),
            Phase::HangingUp { bye, again_at, .. } => bye.next_deadline().into_iter().chain(*again_at).min(),
            Phase::Ended { last } => last.map_or(Some(Time::ZERO), |last| last.next_deadline()),
            // The group keeps the time of the search.
            Phase::Sought { .. } => None,
        }
    }

    /// True also for a call that another server may take: it does not count as a call of this server.
    pub(super) fn is_over(&self) -> bool {
        matches!(self.phase, Phase::Ended { .. } | Phase::Refused | Phase::Sought { .. })
    }

    /// Ends the call: from now on only copies of this BYE or CANCEL are answered; the other texts are freed.
    pub(super) fn end(&mut self, last: Option<NonInviteServer>) {
        self.phase = Phase::Ended { last };
        self.invite = Box::default();
        self.last = Box::default();
        self.remote_target = None;
    }
}
