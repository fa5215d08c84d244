//! What shows that calls plainly go past the load manager, mostly because servers or telephones do not know of it yet. Each cause
//! is said once, with its remedy, so that whoever sets up a farm need not compare traces. What looks for it is in
//! `way/past_us.rs`.

use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::Relaxed};

use crate::signed::branch::BranchKey;

/// REGISTERs remembered until they are answered. A lost one is another telephone's chance: the cause is said once, and a farm
/// in which it matters has many such telephones.
const REGISTERING_MAX: usize = 16;

/// What shows that calls go past us.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// A server's 2xx to an INVITE has no Record-Route entry of ours (RFC 3261 §12.1.1).
    NoRecordRoute,
    /// A telephone is registered without Path, and its Contact is not the address that it sends from (RFC 3327 §5.1).
    NoPath,
    /// A request within a dialog that is not known here names a server and has no Route entry of ours (RFC 3261 §16.4).
    NoRoute,
}

impl Cause {
    const COUNT: usize = 3;

    /// For people: what was seen.
    pub const fn what(self) -> &'static str {
        match self {
            Cause::NoRecordRoute => {
                "calls go past us: a server's 2xx to an INVITE has no Record-Route entry of ours, so the client sends the \
                 rest of the call to the server itself"
            }
            Cause::NoPath => {
                "calls go past us: a telephone is registered without Path, and its Contact is not the address that it sends \
                 from, so no call can reach it"
            }
            Cause::NoRoute => {
                "calls go past us: a client sent a request of a call that is not known here, without our Route entry, so the \
                 call was set up past us, or the client keeps no Route"
            }
        }
    }

    /// For people: what to change.
    pub const fn remedy(self) -> &'static str {
        match self {
            Cause::NoRecordRoute => {
                "have the server copy Record-Route into its responses; if it cannot, and the clients have us as outbound \
                 proxy, affinity.kind = \"session\""
            }
            Cause::NoPath => "register.path = \"always\" (--path always), if the registrar keeps Path",
            Cause::NoRoute => {
                "make us the outbound proxy of the servers, or register.path = \"always\" if the registrar keeps Path; for \
                 clients that keep no Route, affinity.kind = \"session\""
            }
        }
    }
}

/// What was said, and what is to be seen yet, by all workers.
#[derive(Debug, Default)]
pub struct PastUs {
    said: [AtomicBool; Cause::COUNT],
    /// Branches of REGISTERs that went on without Path from telephones that their Contacts do not reach; 0: none.
    registering: [AtomicU64; REGISTERING_MAX],
    /// Where the next branch is written: in the place of the oldest.
    next: AtomicUsize,
}

impl PastUs {
    pub(crate) fn is_said(&self, cause: Cause) -> bool {
        self.said[cause as usize].load(Relaxed)
    }

    /// True for one caller.
    pub(crate) fn may_say(&self, cause: Cause) -> bool {
        !self.said[cause as usize].swap(true, Relaxed)
    }

    pub(crate) fn asked(&self, branch: BranchKey) {
        let at = self.next.fetch_add(1, Relaxed) % REGISTERING_MAX;
        self.registering[at].store(branch.0, Relaxed);
    }

    pub(crate) fn was_asked(&self, branch: BranchKey) -> bool {
        branch.0 != 0 && self.registering.iter().any(|known| known.load(Relaxed) == branch.0)
    }
}
