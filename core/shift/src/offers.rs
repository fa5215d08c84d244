//! What happens to a call (SPEC D2): it is offered to a member with less work, and from there to others, until a member
//! takes it.
//!
//! Only the member that the client asked, the origin, has timers ([`searches`]): it repeats its offer, and tries another
//! member if nothing comes back. The members behind it remember their decision for a short time ([`passing`]), so that a
//! repeated offer has the same end.
//!
//! No call goes round: no member is offered a call that it had, each offer allows fewer further offers than the one before,
//! and the origin ends the search after a fixed time.

mod passing;
mod searches;

use base::Time;

use crate::choice::{Candidate, ServiceState, best};
use crate::group::Group;
use crate::outbox::Outbox;
use crate::settings::Sharing;

/// Calls whose member is being sought, and calls of others that wait for a poll; some 2 KiB each.
const SEARCHES_MAX: usize = 10_000;

impl Group {
    /// After a poll: goes on with all calls that waited for it.
    pub(crate) fn run_waiting(&mut self, now: Time, out: &mut Outbox) {
        for number in self.searches.waiting() {
            self.seek(now, number, out);
        }
        for offer in self.passing.take_waiting() {
            self.pass_on(now, offer, out);
        }
    }

    fn sent_to(&mut self, to: usize) {
        if let Some(known) = &mut self.peers[to].known {
            known.sent_since = known.sent_since.saturating_add(1);
        }
    }

    /// The best member with less work than `own` (SPEC D3).
    fn choose(&self, own: crate::Workload, excluded: impl Fn(usize, &str) -> bool) -> Option<usize> {
        let usable = |index: usize| self.candidate(index).filter(|it| !excluded(index, it.name));
        if self.by_first()
            && let Some(first) = self.poll.first.and_then(usable)
            && !first.workload.is_above()
        {
            return Some(first.index);
        }
        let candidates = (0..self.peers.len()).filter_map(usable).filter(|it| it.workload < own);
        best(candidates, &self.settings.criteria).map(|it| it.index)
    }

    /// The member with the least work of all, including members that had the call. `None`: this member itself.
    fn least_loaded(&self, own: crate::Workload, excluded: impl Fn(usize, &str) -> bool) -> Option<usize> {
        let all = (0..self.peers.len()).filter_map(|index| self.candidate(index));
        let others = all.filter(|it| !excluded(it.index, it.name) && it.workload < own);
        best(others, &[]).map(|it| it.index)
    }

    fn candidate(&self, index: usize) -> Option<Candidate<'_>> {
        let peer = &self.peers[index];
        let known = peer.known.as_ref()?;
        // Older answers are what the poll was to replace.
        let is_fresh = self.settings.sharing != Sharing::Poll || known.at >= self.poll.began;
        if known.report.state == ServiceState::Draining || !is_fresh {
            return None;
        }
        Some(Candidate {
            index,
            name: &peer.name,
            workload: peer.workload(),
            cost: known.report.cost,
            same_region: known.report.region == self.settings.region,
            state: known.report.state,
            quality: known.report.quality,
        })
    }
}
