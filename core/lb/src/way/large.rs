//! What follows an INVITE that was too large for a datagram (RFC 3261 §18.1.1), and what became of that one's stream.

use std::net::SocketAddr;

use base::Time;
use sip::headers::via;
use sip::{Message, Method};

use crate::memory::large_invites::WentBy;
use crate::signed::branch::{BranchKey, branch_key};
use crate::way::router::Core;

impl Core {
    /// Whether this is the CANCEL of an INVITE, or the ACK to its failure, that went to this place by a stream.
    pub(crate) fn follows_a_stream(
        &self,
        now: Time,
        method: Method,
        branch: BranchKey,
        to: SocketAddr,
    ) -> bool {
        let large = self.shared.calls.large_invites();
        matches!(method, Method::Cancel | Method::Ack)
            && !large.is_empty()
            && large.went_by(now, branch, to) == Some(WentBy::Stream)
    }

    /// The stream could not be had, and this has left by UDP instead.
    pub(crate) fn fell_back(&self, now: Time, message: &Message<'_>, to: SocketAddr) {
        let branch = via::top(message).and_then(Result::ok).and_then(|via| via.branch).and_then(branch_key);
        if let (Some(Method::Invite), Some(branch)) = (message.method(), branch) {
            self.shared.calls.large_invites().note(now, branch, to, WentBy::Datagram);
        }
    }
}
