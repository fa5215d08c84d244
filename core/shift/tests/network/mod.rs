//! Groups on a clock that is moved by hand and a network that loses, doubles and delays.
#![allow(dead_code, reason = "each test uses its part")]

use std::collections::BTreeMap;
use std::net::SocketAddr;

use base::{Chance, Duration, Time};
use heartbeat::Transport;
use strowger_shift::{
    AllAbove, Body, Call, Criterion, Datagram, Decision, Group, Measure, Measures, Model, Outbox,
    ServiceState, Settings, Sharing,
};

pub(crate) const KEY: &[u8] = b"the key of the group";
pub(crate) const NAMES: [&str; 5] = ["a", "b", "c", "d", "e"];

pub(crate) fn address(index: usize) -> SocketAddr {
    SocketAddr::from(([10, 0, 0, index as u8 + 1], 5790))
}

/// Member `index` of `size`; its threshold is `calls`.
pub(crate) fn settings(index: usize, size: usize, calls: u32) -> Settings {
    Settings {
        name: NAMES[index].into(),
        peers: (0..size).filter(|it| *it != index).map(|it| (NAMES[it].to_owned(), address(it))).collect(),
        key: KEY.to_vec().into(),
        sharing: Sharing::Push,
        period: Duration::from_millis(500),
        decay_periods: 3,
        model: Model { thresholds: vec![(Measure::Calls, calls)], weighted: vec![] },
        criteria: vec![Criterion::Workload],
        all_above: AllAbove::LeastLoaded,
        retry_after_seconds: 5,
        state: ServiceState::Normal,
        cost: 0,
        quality: 50,
        region: String::new(),
        contacts: vec![(Transport::Udp, format!("10.0.0.{}:5060", index + 1))],
        started_at_micros: 1_700_000_000_000_000,
        chance: Chance::seeded(1000 + index as u64),
    }
}

pub(crate) fn call() -> Call {
    Call {
        client: "192.0.2.1:5060".parse().unwrap(),
        transport: Transport::Udp,
        user: b"bob".to_vec(),
        answer: Vec::new(),
        max_forwards: 70,
    }
}

pub(crate) fn calls(calls: u32) -> Measures {
    Measures { calls, ..Measures::default() }
}

/// How the network treats a datagram.
#[derive(Clone, Copy, Default)]
pub(crate) struct Weather {
    pub(crate) loss_permille: u32,
    pub(crate) twice_permille: u32,
    pub(crate) delay_max: Duration,
}

pub(crate) struct Network {
    pub(crate) now: Time,
    /// `None`: dead.
    pub(crate) members: Vec<Option<Group>>,
    pub(crate) weather: Weather,
    pub(crate) decisions: Vec<(Time, usize, Decision)>,
    /// Offers seen on the wire: how often each call was sent on.
    pub(crate) offers: BTreeMap<(String, u64), usize>,
    in_flight: BTreeMap<(Time, u64), (usize, Vec<u8>)>,
    sent: u64,
    pub(crate) chance: Chance,
}

impl Network {
    pub(crate) fn of(groups: Vec<Group>, weather: Weather, seed: u64) -> Network {
        let mut network = Network {
            now: Time::from_secs(10),
            members: groups.into_iter().map(Some).collect(),
            weather,
            decisions: Vec::new(),
            offers: BTreeMap::new(),
            in_flight: BTreeMap::new(),
            sent: 0,
            chance: Chance::seeded(seed),
        };
        for index in 0..network.members.len() {
            network.with(index, |group, now, out| group.join(now, out));
        }
        network
    }

    pub(crate) fn group(&mut self, index: usize) -> &mut Group {
        self.members[index].as_mut().expect("a member that lives")
    }

    pub(crate) fn with<T>(
        &mut self,
        index: usize,
        act: impl FnOnce(&mut Group, Time, &mut Outbox) -> T,
    ) -> Option<T> {
        let mut out = Outbox::default();
        let now = self.now;
        let result = act(self.members[index].as_mut()?, now, &mut out);
        for (to, bytes) in out.datagrams {
            self.send(to, bytes);
        }
        self.decisions.extend(out.decisions.into_iter().map(|decision| (now, index, decision)));
        Some(result)
    }

    fn send(&mut self, to: SocketAddr, bytes: Vec<u8>) {
        if let Ok(Datagram { body: Body::Offer(offer), .. }) = Datagram::decode(&bytes, KEY) {
            let mut path = offer.visited.clone();
            path.sort();
            path.dedup();
            assert_eq!(path.len(), offer.visited.len(), "a call went round: {:?}", offer.visited);
            assert!(offer.visited.len() <= self.members.len(), "{:?}", offer.visited);
            *self.offers.entry((offer.call.origin, offer.call.number)).or_default() += 1;
        }
        let index =
            (0..self.members.len()).find(|index| address(*index) == to).expect("an address of a member");
        for _ in 0..1 + u32::from(self.chance.permille(self.weather.twice_permille)) {
            if self.chance.permille(self.weather.loss_permille) {
                continue;
            }
            let delay = self.chance.below(self.weather.delay_max.as_micros() as u64 + 1) + 100;
            self.sent += 1;
            self.in_flight
                .insert((self.now + Duration::from_micros(delay), self.sent), (index, bytes.clone()));
        }
    }

    /// Lets time pass.
    pub(crate) fn run(&mut self, time: Duration) {
        let end = self.now + time;
        loop {
            let arrival = self.in_flight.first_key_value().map(|((at, _), _)| *at);
            let deadline = self.members.iter().flatten().filter_map(Group::next_deadline).min();
            let Some(next) = arrival.into_iter().chain(deadline).min().filter(|at| *at <= end) else { break };
            self.now = self.now.max(next);
            while let Some(entry) = self.in_flight.first_entry()
                && entry.key().0 <= self.now
            {
                let (to, bytes) = entry.remove();
                self.with(to, |group, now, out| group.handle(now, &bytes, out));
            }
            for index in 0..self.members.len() {
                let due = self.members[index].as_ref().and_then(Group::next_deadline);
                if due.is_some_and(|at| at <= self.now) {
                    self.with(index, |group, now, out| group.handle_timeout(now, out));
                }
            }
        }
        self.now = end;
    }
}

/// The member and the ticket in a Contact that a client was sent to.
pub(crate) fn follow(contact: &[u8]) -> (usize, String) {
    let text = std::str::from_utf8(contact).unwrap();
    let rest = text.strip_prefix("sip:bob@10.0.0.").unwrap_or_else(|| panic!("{text}"));
    let (host, rest) = rest.split_once(":5060;transport=udp;shift=").unwrap_or_else(|| panic!("{text}"));
    (host.parse::<usize>().unwrap() - 1, rest.to_owned())
}
