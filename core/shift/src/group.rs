//! One member's view of its group: who is there and with how much work (SPEC D1), and the way in for datagrams and time.
//! What happens to a call is in `offers`.

use base::{Chance, Duration, Time};
use heartbeat::Decay;

use crate::calls::{Passing, Searches};
use crate::counters::{Counter, Counters};
use crate::datagram::{Body, Datagram, Ignored, Report, is_name};
use crate::outbox::Outbox;
use crate::peer::{Change, Peer};
use crate::promise::Promises;
use crate::settings::{Settings, Sharing};
use crate::workload::{Measures, Workload};
use crate::{Criterion, ServiceState};

/// With [`Sharing::Poll`] nobody need hear of anybody while there is nothing to pass on; this often members say that they
/// are there.
const KEEPALIVE: Duration = Duration::from_secs(20);

/// How long the answers to a poll are waited for. On a network within a farm they take a millisecond; a call waits no longer.
const POLL_WAIT: Duration = Duration::from_millis(100);

/// What a poll brought is good for so long, so that many calls at once cost one poll.
const POLL_GOOD_FOR: Duration = Duration::from_millis(20);

/// The newest poll: one at a time, for all calls that wait.
#[derive(Default)]
pub(crate) struct Poll {
    pub(crate) nonce: u64,
    pub(crate) began: Time,
    /// While it runs: when it ends at the latest.
    pub(crate) until: Option<Time>,
    /// By peer: its answer is awaited.
    awaited: Vec<bool>,
    /// The first that answered with room.
    pub(crate) first: Option<usize>,
    pub(crate) ended: Option<Time>,
}

pub struct Group {
    pub(crate) settings: Settings,
    pub(crate) peers: Vec<Peer>,
    pub(crate) promises: Promises,
    pub(crate) counters: Counters,
    pub(crate) searches: Searches,
    pub(crate) passing: Passing,
    pub(crate) poll: Poll,
    pub(crate) chance: Chance,
    decay: Decay,
    measures: Measures,
    instance: u64,
    count: u64,
    next_tick: Option<Time>,
}

impl Group {
    /// Names that cannot be written on the wire are refused, with what is wrong.
    pub fn new(settings: Settings) -> Result<Group, String> {
        let names = || settings.peers.iter().map(|(name, _)| name).chain([&settings.name]);
        if let Some(bad) = names().find(|name| !is_name(name)) {
            return Err(format!("`{bad}` is no name: 1 to 32 letters, digits, `-`, `_` or `.`"));
        }
        if let Some(twice) = names().find(|name| names().filter(|other| other == name).count() > 1) {
            return Err(format!("two members have the name `{twice}`"));
        }
        if settings.peers.len() >= crate::VISITED_MAX {
            return Err(format!("more than {} members in a group", crate::VISITED_MAX));
        }
        if !settings.region.is_empty() && !is_name(&settings.region) {
            return Err(format!(
                "`{}` is no region: 1 to 32 letters, digits, `-`, `_` or `.`",
                settings.region
            ));
        }
        if settings.contacts.is_empty() {
            return Err("a member without an address that clients reach".to_owned());
        }
        let mut chance = settings.chance.clone();
        let instance = chance.next_u64();
        let peers: Vec<Peer> =
            settings.peers.iter().map(|(name, address)| Peer::new(name.clone(), *address)).collect();
        Ok(Group {
            promises: Promises::new(&settings.key, chance.next_u64()),
            counters: Counters::default(),
            searches: Searches::new(chance.next_u64()),
            passing: Passing::default(),
            poll: Poll { awaited: vec![false; peers.len()], ..Poll::default() },
            decay: Decay::new(settings.period, settings.decay_periods),
            measures: Measures::default(),
            instance,
            count: 0,
            next_tick: None,
            chance,
            peers,
            settings,
        })
    }

    /// Says that this member is there, and asks who else is.
    pub fn join(&mut self, now: Time, out: &mut Outbox) {
        self.report_to_all(now, 0, true, out);
        self.ask(now, 0, false, |_| true, out);
        self.next_tick = Some(now + self.tick_period());
    }

    /// Says that this member goes. Its clients of redirects still find it, as long as it is there for them.
    pub fn leave(&mut self, now: Time, out: &mut Outbox) {
        self.report_to_all(now, 0, false, out);
        self.next_tick = None;
    }

    pub fn set_measures(&mut self, measures: Measures) {
        self.measures = measures;
    }

    /// Of this member, promises included.
    pub fn workload(&mut self, now: Time) -> Workload {
        if self.settings.state == ServiceState::Draining {
            return Workload(u32::MAX);
        }
        let promised = self.promises.open(now);
        let measures = Measures { calls: self.measures.calls.saturating_add(promised), ..self.measures };
        self.settings.model.workload(&measures)
    }

    /// Whether a call that brings this ticket was promised: such a call is taken whatever the workload is.
    pub fn redeem(&mut self, now: Time, ticket: &[u8]) -> bool {
        let good = self.promises.redeem(now, ticket);
        if good {
            self.counters.add(Counter::Redeemed);
        }
        good
    }

    pub fn counters(&self) -> &Counters {
        &self.counters
    }

    /// The other members: name and workload; `None` of one that is not there.
    pub fn members(&self) -> impl Iterator<Item = (&str, Option<Workload>)> {
        self.peers.iter().map(|peer| (&*peer.name, peer.known.as_ref().map(|_| peer.workload())))
    }

    /// A datagram from anywhere. Who sent it is what its signature says; the address it came from means nothing.
    pub fn handle(&mut self, now: Time, bytes: &[u8], out: &mut Outbox) {
        let datagram = match self.admit(now, bytes, out) {
            Ok(datagram) => datagram,
            Err(reason) => return self.counters.ignore(reason),
        };
        let (Datagram { instance, body, .. }, from) = datagram;
        match body {
            Body::Report(report) => self.reported(now, from, instance, report, out),
            Body::Poll { nonce, share } => {
                self.counters.add(Counter::PollsReceived);
                if share {
                    self.report_to_all(now, nonce, true, out);
                } else {
                    self.report_to(now, from, nonce, true, out);
                }
            }
            Body::Offer(offer) => self.offered(now, from, *offer, out),
            Body::Taken { call, path, contact, told } => self.taken(call, path, contact, told, out, now),
            Body::Refused { call, path, retry_after_seconds } => {
                self.refused(call, path, retry_after_seconds, out, now);
            }
        }
    }

    pub fn handle_timeout(&mut self, now: Time, out: &mut Outbox) {
        for peer in &mut self.peers {
            if peer.silent(now, self.decay) == Some(Change::Gone) {
                self.counters.add(Counter::Gone);
            }
        }
        if self.next_tick.is_some_and(|at| at <= now) {
            self.next_tick = Some(now + self.tick_period());
            match self.settings.sharing {
                Sharing::Push | Sharing::Poll => self.report_to_all(now, 0, true, out),
                Sharing::Collect => self.collect(now, out),
            }
        }
        if self.poll.until.is_some_and(|until| until <= now) {
            self.end_poll(now, out);
        }
        self.run_due_calls(now, out);
    }

    pub fn next_deadline(&self) -> Option<Time> {
        let silence = self.peers.iter().filter_map(|peer| peer.deadline(self.decay));
        silence.chain(self.next_tick).chain(self.poll.until).chain(self.searches.next_deadline()).min()
    }

    fn tick_period(&self) -> Duration {
        match self.settings.sharing {
            Sharing::Push | Sharing::Collect => self.decay.period(),
            Sharing::Poll => KEEPALIVE,
        }
    }

    fn admit(&mut self, now: Time, bytes: &[u8], out: &mut Outbox) -> Result<(Datagram, usize), Ignored> {
        let datagram = Datagram::decode(bytes, &self.settings.key)?;
        if datagram.to != self.settings.name {
            return Err(Ignored::NotForUs);
        }
        let from = self.find(&datagram.from).ok_or(Ignored::Stranger)?;
        if let Err(ignored) = self.peers[from].window.admit(datagram.instance, datagram.count) {
            if !self.is_new_life(now, from, &datagram, out) {
                return Err(ignored);
            }
            self.peers[from].window.begin(datagram.instance, datagram.count);
            // It asked when it joined, and was not believed.
            self.report_to(now, from, 0, true, out);
        }
        Ok((datagram, from))
    }

    /// Whether a datagram whose count was seen, or could have been, is of a new life of its sender: one whose clock was ahead has
    /// counts below those of the life before. It is asked, and its answer tells.
    fn is_new_life(&mut self, now: Time, from: usize, datagram: &Datagram, out: &mut Outbox) -> bool {
        let peer = &mut self.peers[from];
        if peer.window.is_of(datagram.instance) {
            return false;
        }
        if peer.is_answer(&datagram.body) {
            return true;
        }
        let nonce = self.chance.next_u64() | 1;
        if peer.may_ask(now, nonce) {
            self.ask(now, nonce, false, |peer| peer == from, out);
        }
        false
    }

    pub(crate) fn instance(&self) -> u64 {
        self.instance
    }

    pub(crate) fn find(&self, name: &str) -> Option<usize> {
        self.peers.iter().position(|peer| peer.name == name)
    }

    /// Signs and addresses; false where it would be too long.
    pub(crate) fn send(&mut self, now: Time, to: usize, body: Body, out: &mut Outbox) -> bool {
        let wall = self.settings.started_at_micros.saturating_add(now.as_micros());
        self.count = heartbeat::next_count(self.count, wall);
        let peer = &self.peers[to];
        let datagram = Datagram {
            from: self.settings.name.clone(),
            to: peer.name.clone(),
            instance: self.instance,
            count: self.count,
            body,
        };
        let Some(bytes) = datagram.encode(&self.settings.key) else { return false };
        out.datagrams.push((peer.address, bytes));
        true
    }

    fn report_to_all(&mut self, now: Time, nonce: u64, present: bool, out: &mut Outbox) {
        for to in 0..self.peers.len() {
            self.report_to(now, to, nonce, present, out);
        }
    }

    fn report_to(&mut self, now: Time, to: usize, nonce: u64, present: bool, out: &mut Outbox) {
        let workload = self.workload(now);
        let one_more = Measures { calls: self.measures.calls.saturating_add(1), ..self.measures };
        let model = &self.settings.model;
        let call_permille = model.workload(&one_more).0.saturating_sub(model.workload(&self.measures).0);
        let report = Report {
            nonce,
            present,
            workload,
            call_permille,
            measures: self.measures,
            state: self.settings.state,
            cost: self.settings.cost,
            quality: self.settings.quality,
            region: self.settings.region.clone(),
            period_ms: u32::try_from(self.tick_period().as_millis()).unwrap_or(u32::MAX),
        };
        self.counters.add(Counter::ReportsSent);
        self.send(now, to, Body::Report(report), out);
    }

    fn reported(&mut self, now: Time, from: usize, instance: u64, report: Report, out: &mut Outbox) {
        self.counters.add(Counter::ReportsReceived);
        let (nonce, has_room) = (report.nonce, !report.workload.is_above());
        match self.peers[from].reported(now, instance, report) {
            Some(Change::Joined) => self.counters.add(Counter::Joined),
            Some(Change::Left) => self.counters.add(Counter::Left),
            Some(Change::Gone) | None => {}
        }
        if nonce == 0 || nonce != self.poll.nonce || self.poll.until.is_none() {
            return;
        }
        self.poll.awaited[from] = false;
        if has_room && self.poll.first.is_none() {
            self.poll.first = Some(from);
        }
        let first_is_enough = self.poll.first.is_some() && self.by_first();
        if first_is_enough || !self.poll.awaited.contains(&true) {
            self.end_poll(now, out);
        }
    }

    pub(crate) fn by_first(&self) -> bool {
        self.settings.criteria.contains(&Criterion::First)
    }

    /// Whether a call can be decided on with what is known now; otherwise a poll runs after this.
    pub(crate) fn knows_enough(&mut self, now: Time, out: &mut Outbox) -> bool {
        if self.settings.sharing != Sharing::Poll && !self.by_first() {
            return true;
        }
        if self.poll.until.is_some() {
            return false;
        }
        if self.poll.ended.is_some_and(|ended| now.since(ended) < POLL_GOOD_FOR) {
            return true;
        }
        let nonce = self.chance.next_u64() | 1;
        let awaited = self.peers.iter().map(|peer| peer.known.is_some()).collect();
        self.poll =
            Poll { nonce, began: now, until: Some(now + POLL_WAIT), awaited, first: None, ended: None };
        self.ask(now, nonce, false, |_| true, out);
        false
    }

    fn end_poll(&mut self, now: Time, out: &mut Outbox) {
        self.poll.until = None;
        self.poll.ended = Some(now);
        self.run_waiting(now, out);
    }

    /// Asks those of whom nothing is known that is younger than most of a period.
    fn collect(&mut self, now: Time, out: &mut Outbox) {
        let fresh = self.decay.period() * 3 / 4;
        let nonce = self.chance.next_u64() | 1;
        let old: Vec<bool> = self
            .peers
            .iter()
            .map(|peer| peer.known.as_ref().is_none_or(|known| now.since(known.at) >= fresh))
            .collect();
        self.ask(now, nonce, true, |peer| old[peer], out);
    }

    fn ask(&mut self, now: Time, nonce: u64, share: bool, whom: impl Fn(usize) -> bool, out: &mut Outbox) {
        for to in (0..self.peers.len()).filter(|to| whom(*to)) {
            self.counters.add(Counter::PollsSent);
            self.send(now, to, Body::Poll { nonce, share }, out);
        }
    }
}
