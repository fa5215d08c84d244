//! Calls of this member's own clients that need a member with less work.

use base::{Duration, Time};

use super::SEARCHES_MAX;
use crate::calls::{Call, Phase, Search};
use crate::counters::Counter;
use crate::datagram::{Body, CallName, Offer, USER_BYTES_MAX, is_of_uri};
use crate::group::Group;
use crate::outbox::{Decision, Outbox};
use crate::settings::AllAbove;

/// Times after which an offer is sent again; after the last one the member counts as silent. Within a farm an answer takes a
/// millisecond; the client has its 100 and waits.
const REPEAT_AFTER: [Duration; 3] =
    [Duration::from_millis(100), Duration::from_millis(200), Duration::from_millis(300)];

/// A search ends after this time, successful or not: well before the 4 s after which a client begins to doubt (RFC 3261
/// §17.1.1.2).
const SEARCH_MAX: Duration = Duration::from_secs(2);

impl Group {
    /// A new call. `None`: the workload is below the threshold, or nobody can be asked; this member takes the call.
    /// Otherwise a decision with this number is or will be in the outbox.
    pub fn offer(&mut self, now: Time, call: Call, out: &mut Outbox) -> Option<u64> {
        let fits = call.user.len() <= USER_BYTES_MAX && call.user.iter().all(|byte| is_of_uri(*byte));
        if !self.workload(now).is_above() {
            self.counters.add(Counter::TakenHere);
            return None;
        }
        if !fits || self.searches.all.len() >= SEARCHES_MAX {
            self.counters.add(if fits { Counter::NoRoom } else { Counter::TooLarge });
            self.counters.add(Counter::TakenHere);
            return None;
        }
        self.searches.last_number = self.searches.last_number.wrapping_add(1);
        let number = self.searches.last_number;
        let search = Search { call, silent: Vec::new(), ends: now + SEARCH_MAX, phase: Phase::Waiting };
        self.searches.all.insert(number, search);
        if self.knows_enough(now, out) {
            self.seek(now, number, out);
        }
        Some(number)
    }

    /// The client gave up, or was answered otherwise: no decision follows.
    pub fn abandon(&mut self, number: u64) {
        if self.searches.end(number).is_some() {
            self.counters.add(Counter::Abandoned);
        }
    }

    /// Searches that have no decision yet.
    pub fn searches(&self) -> usize {
        self.searches.all.len()
    }

    pub(super) fn decide(&mut self, number: u64, decision: Decision, out: &mut Outbox) {
        if self.searches.end(number).is_none() {
            return self.counters.add(Counter::Late);
        }
        self.counters.add(match decision {
            Decision::Redirect { .. } => Counter::Redirected,
            Decision::Refuse { .. } => Counter::Refused,
            Decision::Take { .. } | Decision::Tell { .. } => Counter::TakenHere,
        });
        out.decisions.push(decision);
    }

    pub(crate) fn run_due_calls(&mut self, now: Time, out: &mut Outbox) {
        while let Some((at, number)) = self.searches.due.first().copied()
            && at <= now
        {
            self.searches.due.remove(&(at, number));
            let Some(search) = self.searches.all.get_mut(&number) else { continue };
            let Phase::Offered { to, sends, .. } = search.phase else { continue };
            // No longer in `due`: the search waits for nothing until it is offered again.
            search.phase = Phase::Waiting;
            if search.ends > now && sends < REPEAT_AFTER.len() {
                self.counters.add(Counter::OffersRepeated);
                self.offer_to(now, number, to, sends, out);
                continue;
            }
            search.silent.push(to);
            let is_over = search.ends <= now;
            self.counters.add(Counter::Unanswered);
            if is_over {
                self.none_has_room(number, out);
            } else {
                self.seek(now, number, out);
            }
        }
    }

    /// Offers a call of this member's own to the best member, or ends the search.
    pub(super) fn seek(&mut self, now: Time, number: u64, out: &mut Outbox) {
        let own = self.workload(now);
        let Some(search) = self.searches.all.get(&number) else { return };
        let silent = &search.silent;
        let allowed = search.call.max_forwards > 0;
        let to = self.choose(own, |index, _| silent.contains(&index)).filter(|_| allowed);
        match to {
            Some(to) => self.offer_to(now, number, to, 0, out),
            None => self.none_has_room(number, out),
        }
    }

    /// Nobody has less work, or nobody answers: as far as this member knows, it has the least work.
    fn none_has_room(&mut self, number: u64, out: &mut Outbox) {
        let decision = match self.settings.all_above {
            AllAbove::LeastLoaded => Decision::Take { number },
            AllAbove::Refuse => {
                Decision::Refuse { number, retry_after_seconds: self.settings.retry_after_seconds }
            }
        };
        self.decide(number, decision, out);
    }

    fn offer_to(&mut self, now: Time, number: u64, to: usize, sends: usize, out: &mut Outbox) {
        let (own_name, instance) =
            (self.settings.name.clone(), self.peers[to].known.as_ref().map_or(0, |known| known.instance));
        let names: Vec<String> = self.peers.iter().map(|peer| peer.name.clone()).collect();
        let Some(search) = self.searches.all.get_mut(&number) else { return };
        search.phase = Phase::Offered { to, sends: sends + 1, next: now + REPEAT_AFTER[sends] };
        let call = &search.call;
        let mut offer = Offer {
            call: CallName { origin: own_name.clone(), number },
            to_instance: instance,
            visited: vec![own_name],
            avoid: search.silent.iter().map(|index| names[*index].clone()).collect(),
            hops_left: call.max_forwards.saturating_sub(1),
            must_take: false,
            client: call.client,
            transport: call.transport,
            user: call.user.clone(),
            answer: call.answer.clone(),
        };
        if let Some(at) = search.due() {
            self.searches.due.insert((at, number));
        }
        self.counters.add(Counter::OffersSent);
        if sends == 0 {
            self.sent_to(to);
        }
        if !self.send(now, to, Body::Offer(Box::new(offer.clone())), out) {
            // The answer for the straight way is too large for a datagram: the chain needs none.
            offer.answer.clear();
            self.send(now, to, Body::Offer(Box::new(offer)), out);
        }
    }
}
