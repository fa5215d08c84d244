//! What an agent knows of a replica while the primary lives, and whether that is in step.

use base::{Duration, Time};

use super::word::Word;

/// An answer to an older question says nothing about now.
pub(super) const FRESH: Duration = Duration::from_secs(1);

/// A replica that is listed for a shorter time is one that engines may not wait for yet: they ask for the replicas every 0.5 s.
const IN_STEP_FOR: Duration = Duration::from_secs(1);

/// A replica of the server, while that lives.
#[derive(Clone, Copy, Debug)]
pub(super) struct Follower {
    /// Listed and connected without a gap since then.
    pub(super) since: Time,
    /// When the primary was asked that listed it last.
    pub(super) listed: Time,
    /// When it was asked itself and was connected.
    connected: Option<Time>,
    /// It has said since then that it is not.
    lost: bool,
    pub(super) offset: u64,
}

impl Follower {
    pub(super) fn listed_at(asked: Time) -> Follower {
        Follower { since: asked, listed: asked, connected: None, lost: false, offset: 0 }
    }

    pub(super) fn says(&mut self, word: &Word, connected: bool) {
        if !connected {
            self.lost = true;
            return;
        }
        let gap = self.connected.is_some_and(|before| word.asked.since(before) > FRESH);
        if self.lost || gap {
            // It may have begun a new copy.
            self.since = word.asked;
        }
        (self.lost, self.connected, self.offset) = (false, Some(word.asked), word.offset);
    }

    pub(super) fn in_step(&self, now: Time, hung: Duration) -> bool {
        now.since(self.listed) <= FRESH + hung
            && self.listed.since(self.since) >= IN_STEP_FOR
            && self.connected.is_some_and(|asked| now.since(asked) <= FRESH)
    }
}
