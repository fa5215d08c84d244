//! Calls of other members: taken here, or passed on to a member with less work.

use base::Time;

use super::SEARCHES_MAX;
use crate::calls::Decided;
use crate::counters::Counter;
use crate::datagram::{Body, CallName, Ignored, Offer, VISITED_MAX};
use crate::group::Group;
use crate::outbox::{Decision, Outbox};
use crate::settings::AllAbove;

impl Group {
    /// A call that another member passes to this one.
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
        match self.passing.decided.get(&offer.call) {
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
            // The call of our own client has come back: all members are above, and this one has the least work.
            return self.decide(offer.call.number, Decision::Take { number: offer.call.number }, out);
        }
        if offer.must_take || !self.workload(now).is_above() {
            return self.take(now, from, offer, out);
        }
        if self.passing.waiting.iter().any(|waiting| waiting.call == offer.call) {
            return;
        }
        if self.knows_enough(now, out) {
            self.pass_on(now, offer, out);
        } else if self.passing.waiting.len() < SEARCHES_MAX {
            self.passing.waiting.push(offer);
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
        self.passing.remember(now, offer.call, Decided::Answered { to, body: body.clone() });
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

    /// A call of another member that this member has no room for.
    pub(super) fn pass_on(&mut self, now: Time, mut offer: Offer, out: &mut Outbox) {
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
                self.passing.remember(now, offer.call, Decided::Answered { to: from, body: body.clone() });
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
        self.passing.remember(now, offer.call.clone(), passed);
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

    /// The member before this one on a chain: it is always nearer to the origin, so nothing goes round.
    fn way_back(&self, path: &[String]) -> Option<usize> {
        let own = path.iter().position(|name| *name == self.settings.name)?;
        self.find(path.get(own.checked_sub(1)?)?)
    }
}
