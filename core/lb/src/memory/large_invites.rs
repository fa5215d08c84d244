//! Remembers by which transport each INVITE went that is too large for a datagram (RFC 3261 §18.1.1).
//!
//! Its CANCEL, and the ACK to its failure, go where it went: to the same address and port, by the same transport, with the
//! same Via (§9.1, §17.1.1.3). Both are small, and neither says how large the INVITE was. So the transport is remembered
//! under the branch, which all three share, and under the place: an INVITE that is moved may go to each of its servers by
//! another transport.

use std::net::{IpAddr, SocketAddr};

use base::Time;
use sip::headers::via;
use sip::{Message, Method};

use crate::memory::expiring::{Expiring, Remembered};
use crate::signed::branch::{BranchKey, branch_key};
use crate::signed::stamp::RINGING_TIME;

/// INVITEs remembered: 300 new ones a second, each for the time that a call may ring; 4 MiB. Above this bound, the size of
/// each message alone decides.
const LARGE_INVITES_MAX: usize = 65_536;

/// Spreads the bits of an address; odd, and otherwise any number.
const SPREAD: u64 = 0x9E37_79B9_7F4A_7C15;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum WentBy {
    Stream,
    /// The stream was refused, lately or for this very INVITE.
    Datagram,
}

#[derive(Debug)]
pub(crate) struct LargeInvites(Expiring);

impl LargeInvites {
    pub(crate) fn new() -> LargeInvites {
        LargeInvites(Expiring::new(LARGE_INVITES_MAX))
    }

    /// The underlying map.
    pub(crate) fn entries(&self) -> &Expiring {
        &self.0
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The INVITE with this branch leaves for this place. A copy of a known INVITE renews `by` and the time.
    pub(crate) fn note(&self, now: Time, branch: BranchKey, to: SocketAddr, by: WentBy) {
        let (key, until) = (key(branch, to), now + RINGING_TIME);
        let known = self.0.get_or_insert_with(now, key, until, || Some((by as u32, 0)));
        if let Remembered::Known(_) = known {
            self.0.update(now, key, |entry| (entry.server, entry.until) = (by as u32, until));
        }
    }

    pub(crate) fn went_by(&self, now: Time, branch: BranchKey, to: SocketAddr) -> Option<WentBy> {
        let entry = self.0.get(now, key(branch, to))?;
        Some(if entry.server == WentBy::Stream as u32 { WentBy::Stream } else { WentBy::Datagram })
    }

    /// Whether this request is a CANCEL, or the ACK to a failure, whose INVITE went to this place by a stream.
    pub(crate) fn follows_a_stream(
        &self,
        now: Time,
        method: Method,
        branch: BranchKey,
        to: SocketAddr,
    ) -> bool {
        matches!(method, Method::Cancel | Method::Ack)
            && !self.is_empty()
            && self.went_by(now, branch, to) == Some(WentBy::Stream)
    }

    /// There was no stream for this message, and it has left by UDP instead.
    pub(crate) fn fell_back(&self, now: Time, message: &Message<'_>, to: SocketAddr) {
        let branch = via::top(message).and_then(Result::ok).and_then(|via| via.branch).and_then(branch_key);
        if let (Some(Method::Invite), Some(branch)) = (message.method(), branch) {
            self.note(now, branch, to, WentBy::Datagram);
        }
    }

    /// The INVITE rings there, and may ring for the whole time again.
    pub(crate) fn rings(&self, now: Time, branch: BranchKey, at: SocketAddr) {
        self.0.touch(now, key(branch, at), now + RINGING_TIME);
    }

    pub(crate) fn sweep(&self, now: Time) {
        self.0.sweep_paced(now, |_, _| {});
    }
}

/// A branch is a keyed hash, so a peer that chooses an address cannot choose the key.
fn key(branch: BranchKey, to: SocketAddr) -> u64 {
    let ip = match to.ip() {
        IpAddr::V4(ip) => u64::from(u32::from(ip)),
        IpAddr::V6(ip) => {
            let bits = u128::from(ip);
            (bits >> 64) as u64 ^ (bits as u64).rotate_left(32)
        }
    };
    branch.0 ^ (ip.rotate_left(16) ^ u64::from(to.port())).wrapping_mul(SPREAD)
}

#[cfg(test)]
mod tests {
    use super::*;
    use base::Duration;

    #[test]
    fn an_invite_is_known_by_branch_and_place_while_it_may_ring() {
        let large = LargeInvites::new();
        let (now, branch) = (Time::from_secs(1), BranchKey(7));
        let [a, b] = ["10.0.0.1:5060", "[2001:db8::1]:5060"].map(|to| to.parse().unwrap());
        assert!(large.is_empty());
        large.note(now, branch, a, WentBy::Stream);
        assert_eq!(large.went_by(now, branch, a), Some(WentBy::Stream));
        assert_eq!((large.went_by(now, branch, b), large.went_by(now, BranchKey(8), a)), (None, None));
        large.note(now, branch, b, WentBy::Stream);
        large.note(now, branch, b, WentBy::Datagram);
        assert_eq!(large.went_by(now, branch, b), Some(WentBy::Datagram));
        large.rings(now + Duration::from_secs(200), branch, a);
        let later = now + Duration::from_secs(400);
        assert_eq!(
            (large.went_by(later, branch, a), large.went_by(later, branch, b)),
            (Some(WentBy::Stream), None)
        );
    }

    #[test]
    fn a_full_memory_forgets_nobody() {
        let large = LargeInvites::new();
        let to = "10.0.0.1:5060".parse().unwrap();
        for branch in 0..LARGE_INVITES_MAX as u64 + 10 {
            large.note(Time::ZERO, BranchKey(branch.wrapping_mul(SPREAD)), to, WentBy::Stream);
        }
        assert_eq!(large.went_by(Time::ZERO, BranchKey(0), to), Some(WentBy::Stream));
        assert_eq!(large.0.len(), LARGE_INVITES_MAX);
        (0..200).for_each(|second| large.sweep(Time::from_secs(300 + second)));
        assert!(large.is_empty());
    }
}
