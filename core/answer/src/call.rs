//! One call as the server keeps it.

use base::Time;
use sip::Target;
use transaction::key::ServerKey;
use transaction::{InviteServer, NonInviteClient, NonInviteServer, Success};

/// How far it is. The 2xx is repeated by the server itself, not by the transaction (RFC 3261 §13.3.1.4).
#[derive(Clone, Debug)]
pub(super) enum Phase {
    /// The group seeks a server for it; the search has this number. Who takes the call may have told the client already, whose
    /// ACK then comes before the news.
    Sought { search: u64, acknowledged: bool },
    /// The 180 is due at `next` if it was not sent yet, else the final answer with this status.
    Ringing { rung: bool, next: Time, status: u16 },
    /// The 200 was sent and is repeated until the ACK or the end of patience.
    Answered { success: Success },
    /// A BYE of our own is due at `next`: the server hangs up, or nobody was heard of for too long.
    Confirmed { next: Time },
    /// A failure was sent and waits for its ACK.
    Refused,
    /// Our BYE is on its way. It is sent again at `again_at`: its connection was lost.
    HangingUp { bye: NonInviteClient, branch: u64, again_at: Option<Time> },
    /// Kept for copies of the caller's BYE or CANCEL, or for a BYE that crosses ours; `None`: for nothing.
    Ended { last: Option<NonInviteServer> },
}

pub(super) struct Call {
    pub(super) key: Box<[u8]>,
    pub(super) phase: Phase,
    /// Of the last INVITE.
    pub(super) transaction: InviteServer,
    pub(super) transaction_key: ServerKey,
    /// Of the CANCEL that ended it; it lives longer than the INVITE's.
    pub(super) cancel: Option<NonInviteServer>,
    /// Number of the last INVITE, and of the last BYE once it came.
    pub(super) sequence: u32,
    /// The first INVITE: answers still to come copy from it, and a BYE of ours its route. Empty once neither will be.
    pub(super) invite: Box<[u8]>,
    /// The Contact of a later request that changed it (RFC 3261 §12.2.2).
    pub(super) remote_target: Option<Box<[u8]>>,
    pub(super) remote: std::net::SocketAddr,
    /// Where answers to the INVITE go.
    pub(super) target: Target,
    /// What is repeated: the last answer to the INVITE, or our BYE.
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
            // The group keeps the time.
            Phase::Sought { .. } => None,
        }
    }

    /// Also of a call that another server may take: it is not this one's.
    pub(super) fn is_over(&self) -> bool {
        matches!(self.phase, Phase::Ended { .. } | Phase::Refused | Phase::Sought { .. })
    }

    /// From now on only copies of this BYE or CANCEL are answered; what was kept for more is given back.
    pub(super) fn end(&mut self, last: Option<NonInviteServer>) {
        self.phase = Phase::Ended { last };
        self.invite = Box::default();
        self.last = Box::default();
        self.remote_target = None;
    }
}
