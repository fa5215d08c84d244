//! What happens to a call (SPEC D2): it is offered to a member with less work, and from there on, until one takes it.
//!
//! The member that the client asked, the origin, alone has timers: it repeats its offer, and tries another where nothing comes
//! back. Those behind it remember for a short while what they decided, so that a repeated offer has the same end.
//!
//! No call goes round: nobody is offered a call that it had, each offer is allowed fewer further ones than the one
//! before, and the origin ends the search after a fixed time.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};

use base::{Duration, Time};

use crate::choice::{Candidate, ServiceState, best};
use crate::counters::Counter;
use crate::datagram::{Body, CallName, Ignored, Offer, USER_BYTES_MAX, VISITED_MAX, is_of_uri};
use crate::group::{Call, Group};
use crate::outbox::{Decision, Outbox};
use crate::settings::{AllAbove, Sharing};

/// After these times an offer is sent again; after the last one the member is held for silent. Within a farm an answer takes a
/// millisecond; the client has its 100 and waits.
const REPEAT_AFTER: [Duration; 3] =
    [Duration::from_millis(100), Duration::from_millis(200), Duration::from_millis(300)];

/// A search ends after this, found or not: well within the 4 s after which RFC 3261 §17.1.1.2 has a client wonder.
const SEARCH_MAX: Duration = Duration::from_secs(2);

/// Longer than any origin repeats an offer.
const REMEMBERED_FOR: Duration = Duration::from_secs(4);

/// Calls that are being sought a member for, and calls of others that wait for a poll; some 2 KiB each.
const SEARCHES_MAX: usize = 10_000;

/// Calls of others decided on within [`REMEMBERED_FOR`]; some 500 bytes each, without the answers of straight ones.
const DECIDED_MAX: usize = 50_000;

pub(crate) struct Offers {
    last_number: u64,
    own: BTreeMap<u64, Search>,
    due: BTreeSet<(Time, u64)>,
    /// Calls of others that wait for the end of a poll, with the member that each came from.
    waiting: Vec<Offer>,
    decided: HashMap<CallName, Decided>,
    decided_order: VecDeque<(Time, CallName)>,
}

/// A call of this member's own client.
struct Search {
    call: Call,
    /// Members that did not answer.
    silent: Vec<usize>,
    ends: Time,
    phase: Phase,
}

enum Phase {
    /// Until the poll ends.
    Waiting,
    Offered {
        to: usize,
        sends: usize,
        next: Time,
    },
}

/// What became of a call of another member.
enum Decided {
    /// What was said, and to whom.
    Answered {
        to: usize,
        body: Body,
    },
    Passed {
        to: usize,
        offer: Box<Offer>,
    },
}

impl Offers {
    pub(crate) fn new(seed: u64) -> Offers {
        Offers {
            last_number: seed,
            own: BTreeMap::new(),
            due: BTreeSet::new(),
            waiting: Vec::new(),
            decided: HashMap::new(),
            decided_order: VecDeque::new(),
        }
    }

    pub(crate) fn next_deadline(&self) -> Option<Time> {
        self.due.first().map(|(at, _)| *at)
    }

    fn remember(&mut self, now: Time, call: CallName, decided: Decided) {
        while let Some((until, _)) = self.decided_order.front()
            && (*until <= now || self.decided.len() >= DECIDED_MAX)
        {
            if let Some((_, old)) = self.decided_order.pop_front() {
                self.decided.remove(&old);
            }
        }
        if self.decided.insert(call.clone(), decided).is_none() {
            self.decided_order.push_back((now + REMEMBERED_FOR, call));
        }
    }
}

impl Search {
    fn due(&self) -> Option<Time> {
        match self.phase {
            Phase::Waiting => None,
            Phase::Offered { next, .. } => Some(next.min(self.ends)),
        }
    }
}

impl Group {
    /// A new call. `None`: below the threshold, or nobody can be asked; it is to be taken here. Otherwise a decision with this
    /// number is or will be in the outbox.
    pub fn offer(&mut self, now: Time, call: Call, out: &mut Outbox) -> Option<u64> {
        let fits = call.user.len() <= USER_BYTES_MAX && call.user.iter().all(|byte| is_of_uri(*byte));
        if !self.workload(now).is_above() {
            self.counters.add(Counter::TakenHere);
            return None;
        }
        if !fits || self.offers.own.len() >= SEARCHES_MAX {
            self.counters.add(if fits { Counter::NoRoom } else { Counter::TooLarge });
            self.counters.add(Counter::TakenHere);
            return None;
        }
        self.offers.last_number = self.offers.last_number.wrapping_add(1);
        let number = self.offers.last_number;
        let search = Search { call, silent: Vec::new(), ends: now + SEARCH_MAX, phase: Phase::Waiting };
        self.offers.own.insert(number, search);
        if self.knows_enough(now, out) {
            self.seek(now, number, out);
        }
        Some(number)
    }

    /// The client gave up, or was answered otherwise: no decision follows.
    pub fn abandon(&mut self, number: u64) {
        if self.end(number).is_some() {
            self.counters.add(Counter::Abandoned);
        }
    }

    /// Searches that have no decision yet.
    pub fn searches(&self) -> usize {
        self.offers.own.len()
    }

    fn end(&mut self, number: u64) -> Option<Search> {
        let search = self.offers.own.remove(&number)?;
        if let Some(at) = search.due() {
            self.offers.due.remove(&(at, number));
        }
        Some(search)
    }

    fn decide(&mut self, number: u64, decision: Decision, out: &mut Outbox) {
        if self.end(number).is_none() {
            return self.counters.add(Counter::Late);
        }
        self.counters.add(match decision {
            Decision::Redirect { .. } => Counter::Redirected,
            Decision::Refuse { .. } => Counter::Refused,
            Decision::Take { .. } | Decision::Tell { .. } => Counter::TakenHere,
        });
        out.decisions.push(decision);
    }

    /// After a poll: goes on with all that waited for it.
    pub(crate) fn run_waiting(&mut self, now: Time, out: &mut Outbox) {
        let waits = |search: &Search| matches!(search.phase, Phase::Waiting);
        let numbers: Vec<u64> =
            self.offers.own.iter().filter(|(_, search)| waits(search)).map(|(number, _)| *number).collect();
        for number in numbers {
            self.seek(now, number, out);
        }
        for offer in std::mem::take(&mut self.offers.waiting) {
            self.pass_on(now, offer, out);
        }
    }

    pub(crate) fn run_due_calls(&mut self, now: Time, out: &mut Outbox) {
        while let Some((at, number)) = self.offers.due.first().copied()
            && at <= now
        {
            self.offers.due.remove(&(at, number));
            let Some(search) = self.offers.own.get_mut(&number) else { continue };
            let Phase::Offered { to, sends, .. } = search.phase else { continue };
            // Out of `due`: the search waits for nothing until it is offered again.
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
    fn seek(&mut self, now: Time, number: u64, out: &mut Outbox) {
        let own = self.workload(now);
        let Some(search) = self.offers.own.get(&number) else { return };
        let silent = &search.silent;
        let allowed = search.call.max_forwards > 0;
        let to = self.choose(own, |index, _| silent.contains(&index)).filter(|_| allowed);
        match to {
            Some(to) => self.offer_to(now, number, to, 0, out),
            None => self.none_has_room(number, out),
        }
    }

    /// Nobody has less work, or nobody answers: this member has the least, as far as it can know.
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
        let Some(search) = self.offers.own.get_mut(&number) else { return };
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
            self.offers.due.insert((at, number));
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

    /// The member with the least work of all, those that had the call included; `None`: this one itself.
    fn least_loaded(&self, own: crate::Workload, excluded: impl Fn(usize, &str) -> bool) -> Option<usize> {
        let all = (0..self.peers.len()).filter_map(|index| self.candidate(index));
        let others = all.filter(|it| !excluded(it.index, it.name) && it.workload < own);
        best(others, &[]).map(|it| it.index)
    }

    fn candidate(&self, index: usize) -> Option<Candidate<'_>> {
        let peer = &self.peers[index];
        let known = peer.known.as_ref()?;
        // What came before the poll is what the poll was to replace.
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

    /// A call that another member passes on to this one.
    pub(crate) fn offered(&mut self, now: Time, from: usize, offer: Offer, out: &mut Outbox) {
        let sound = offer.visited.last() == Some(&self.peers[from].name)
            && offer.visited.first() == Some(&offer.call.origin)
            && (offer.must_take || !offer.visited.contains(&self.settings.name));
        if !sound {
            return self.counters.ignore(Ignored::BadSection);
        }
        if offer.to_instance != self.instance() {
            return self.counters.add(Counter::StaleOffers);
        }
        match self.offers.decided.get(&offer.call) {
            Some(Decided::Answered { to, body }) => {
                let (to, body) = (*to, body.clone());
                self.send(now, to, body, out);
                return;
            }
            Some(Decided::Passed { to, offer: passed }) if !offer.must_take => {
                let (to, body) = (*to, Body::Offer(passed.clone()));
                self.counters.add(Counter::OffersRepeated);
                self.send(now, to, body, out);
                return;
            }
            Some(Decided::Passed { .. }) | None => {}
        }
        if offer.call.origin == self.settings.name {
            // The call of our own client has come back: all are above, and this one has the least work.
            return self.decide(offer.call.number, Decision::Take { number: offer.call.number }, out);
        }
        if offer.must_take || !self.workload(now).is_above() {
            return self.take(now, from, offer, out);
        }
        if self.offers.waiting.iter().any(|waiting| waiting.call == offer.call) {
            return;
        }
        if self.knows_enough(now, out) {
            self.pass_on(now, offer, out);
        } else if self.offers.waiting.len() < SEARCHES_MAX {
            self.offers.waiting.push(offer);
        } else {
            self.counters.add(Counter::NoRoom);
        }
    }

    fn take(&mut self, now: Time, from: usize, offer: Offer, out: &mut Outbox) {
        let Some(contact) = self.contact(now, &offer) else {
            return self.counters.add(Counter::NoRoom);
        };
        self.counters.add(Counter::TakenForOthers);
        let told = !offer.answer.is_empty();
        let mut to = from;
        if told {
            self.counters.add(Counter::ToldStraight);
            to = self.find(&offer.call.origin).unwrap_or(from);
            out.decisions.push(Decision::Tell {
                client: offer.client,
                transport: offer.transport,
                answer: offer.answer,
                contact: contact.clone(),
            });
        }
        let body = Body::Taken { call: offer.call.clone(), path: offer.visited, contact, told };
        self.offers.remember(now, offer.call, Decided::Answered { to, body: body.clone() });
        self.send(now, to, body, out);
    }

    /// The URI that is this member's identity for the client of an offer.
    fn contact(&mut self, now: Time, offer: &Offer) -> Option<Vec<u8>> {
        let contacts = &self.settings.contacts;
        let (transport, host_port) =
            contacts.iter().find(|(transport, _)| *transport == offer.transport).or(contacts.first())?;
        let ticket = self.promises.make(now)?;
        let mut contact = b"sip:".to_vec();
        if !offer.user.is_empty() {
            contact.extend_from_slice(&offer.user);
            contact.push(b'@');
        }
        contact.extend_from_slice(format!("{host_port};transport={transport};shift={ticket}").as_bytes());
        Some(contact)
    }

    /// A call of another member that this one has no room for.
    fn pass_on(&mut self, now: Time, mut offer: Offer, out: &mut Outbox) {
        let Some(from) = offer.visited.last().and_then(|name| self.find(name)) else { return };
        let own = self.workload(now);
        let excluded = |_: usize, name: &str| {
            let is = |other: &String| other == name;
            offer.visited.iter().any(is) || offer.avoid.iter().any(is)
        };
        let allowed = offer.hops_left > 0 && offer.visited.len() < VISITED_MAX;
        if let Some(to) = self.choose(own, excluded).filter(|_| allowed) {
            return self.pass_to(now, to, offer, out);
        }
        match self.settings.all_above {
            AllAbove::Refuse => {
                let retry_after_seconds = self.settings.retry_after_seconds;
                let path = std::mem::take(&mut offer.visited);
                let body = Body::Refused { call: offer.call.clone(), path, retry_after_seconds };
                self.offers.remember(now, offer.call, Decided::Answered { to: from, body: body.clone() });
                self.send(now, from, body, out);
            }
            AllAbove::LeastLoaded => {
                let avoided = |_: usize, name: &str| offer.avoid.iter().any(|other| other == name);
                match self.least_loaded(own, avoided).filter(|_| allowed) {
                    Some(to) => {
                        offer.must_take = true;
                        self.pass_to(now, to, offer, out);
                    }
                    None => self.take(now, from, offer, out),
                }
            }
        }
    }

    fn pass_to(&mut self, now: Time, to: usize, mut offer: Offer, out: &mut Outbox) {
        offer.visited.push(self.settings.name.clone());
        offer.hops_left -= 1;
        offer.to_instance = self.peers[to].known.as_ref().map_or(0, |known| known.instance);
        self.counters.add(Counter::PassedOn);
        self.sent_to(to);
        let offer = Box::new(offer);
        let passed = Decided::Passed { to, offer: offer.clone() };
        self.offers.remember(now, offer.call.clone(), passed);
        self.send(now, to, Body::Offer(offer), out);
    }

    pub(crate) fn taken(
        &mut self,
        call: CallName,
        path: Vec<String>,
        contact: Vec<u8>,
        told: bool,
        out: &mut Outbox,
        now: Time,
    ) {
        if call.origin == self.settings.name {
            let number = call.number;
            return self.decide(number, Decision::Redirect { number, contact, told }, out);
        }
        if let Some(to) = self.way_back(&path) {
            self.send(now, to, Body::Taken { call, path, contact, told }, out);
        }
    }

    pub(crate) fn refused(
        &mut self,
        call: CallName,
        path: Vec<String>,
        retry_after_seconds: u32,
        out: &mut Outbox,
        now: Time,
    ) {
        if call.origin == self.settings.name {
            let number = call.number;
            return self.decide(number, Decision::Refuse { number, retry_after_seconds }, out);
        }
        if let Some(to) = self.way_back(&path) {
            self.send(now, to, Body::Refused { call, path, retry_after_seconds }, out);
        }
    }

    /// The member before this one on a chain: always nearer to the origin, so nothing goes round.
    fn way_back(&self, path: &[String]) -> Option<usize> {
        let own = path.iter().position(|name| *name == self.settings.name)?;
        self.find(path.get(own.checked_sub(1)?)?)
    }
}
