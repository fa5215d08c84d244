//! Two servers of a group: requests in, answers and the group's datagrams out, on a clock that the test moves.

use std::sync::Arc;

use shift::{AllAbove, Group, Identity, Measure, Model, ServiceState, Settings, Sharing};
use sip::{Flow, Target};

use super::*;

struct Pair {
    servers: [Answerer; 2],
    now: Time,
    /// The group's datagrams on their way: receiver and bytes.
    between: Vec<(usize, Vec<u8>)>,
    /// Messages to the client: sender and text.
    seen: Vec<(usize, String)>,
}

fn server(index: usize, identity: Identity, all_above: AllAbove) -> Answerer {
    let sip =
        Address { transport: Transport::Udp, address: format!("127.0.0.1:700{index}").parse().unwrap() };
    let names = ["a", "b"];
    let settings = Settings {
        name: names[index].into(),
        peers: vec![(names[1 - index].into(), format!("127.0.0.1:710{}", 1 - index).parse().unwrap())],
        key: b"key".to_vec().into(),
        sharing: Sharing::Push,
        period: Duration::from_secs(1),
        decay_periods: 3,
        model: Model { thresholds: vec![(Measure::Calls, 1)], weighted: vec![] },
        criteria: vec![],
        all_above,
        retry_after_seconds: 7,
        state: ServiceState::Normal,
        cost: 0,
        quality: 50,
        region: String::new(),
        contacts: vec![(heartbeat::Transport::Udp, sip.address.to_string())],
        started_at_micros: 1,
        chance: base::Chance::seeded(index as u64),
    };
    let shifting = Shifting::new(Group::new(settings).unwrap(), 1, identity, Arc::default());
    Answerer::new(Behaviour::default(), vec![sip], base::Chance::seeded(1)).with_shifting(shifting)
}

impl Pair {
    fn new(identity: Identity, all_above: AllAbove) -> Pair {
        let servers = [0, 1].map(|index| server(index, identity, all_above));
        let mut pair = Pair { servers, now: Time::from_secs(9), between: Vec::new(), seen: Vec::new() };
        for index in [0, 1] {
            pair.turn(index, |server, now, out| server.handle_timeout(now, out));
        }
        pair.deliver();
        pair
    }

    fn turn(&mut self, index: usize, act: impl FnOnce(&mut Answerer, Time, &mut Outbox)) {
        let mut out = Outbox::default();
        act(&mut self.servers[index], self.now, &mut out);
        for send in &out.sends {
            let bytes = out.bytes[send.bytes.start as usize..send.bytes.end as usize].to_vec();
            match send.to {
                Target::Datagram { listener: 1, .. } => self.between.push((1 - index, bytes)),
                _ => self.seen.push((index, String::from_utf8(bytes).unwrap())),
            }
        }
    }

    /// Delivers the group's datagrams until none is left.
    fn deliver(&mut self) {
        while !self.between.is_empty() {
            let (to, bytes) = self.between.remove(0);
            self.message(to, 1, &bytes);
        }
    }

    fn message(&mut self, to: usize, listener: u8, bytes: &[u8]) {
        let remote = "127.0.0.1:5555".parse().unwrap();
        let flow = Flow { listener, transport: Transport::Udp, remote, connection: None };
        self.turn(to, |server, now, out| server.handle(now, Input::Message { bytes, flow }, out));
    }

    /// The client sends a request; returns the messages that it receives at once.
    fn say(&mut self, to: usize, method: &str, call: &str, uri: &str, to_tag: &str) -> Vec<(usize, String)> {
        let of = if method == "ACK" || method == "CANCEL" { "INVITE" } else { method };
        let text = format!(
            "{method} {uri} SIP/2.0\r\nVia: SIP/2.0/UDP 127.0.0.1:5555;branch=z9hG4bK{call}\r\nMax-Forwards: 70\r\n\
             From: <sip:b@c>;tag=f1\r\nTo: <sip:a@c>{to_tag}\r\nCall-ID: {call}\r\nCSeq: 1 {method}\r\n\
             Contact: <sip:b@127.0.0.1:5555>\r\nContent-Length: 0\r\n\r\n"
        )
        .replace(&format!("branch=z9hG4bK{call}"), &format!("branch=z9hG4bK{call}{of}"));
        self.message(to, 0, text.as_bytes());
        self.heard()
    }

    fn heard(&mut self) -> Vec<(usize, String)> {
        std::mem::take(&mut self.seen)
    }

    /// Fills a server up to its threshold.
    fn fill(&mut self, index: usize) {
        let heard = self.say(index, "INVITE", &format!("full{index}"), "sip:a@c", "");
        assert_eq!(statuses(&heard), [(index, "180"), (index, "200")]);
        self.say(index, "ACK", &format!("full{index}"), "sip:a@c", &tag(&heard[1].1));
    }

    fn pass(&mut self, time: Duration) {
        let end = self.now + time;
        loop {
            let due = |server: &Answerer| server.next_deadline().filter(|at| *at <= end);
            let Some(at) = self.servers.iter().filter_map(due).min() else { break };
            self.now = self.now.max(at);
            for index in [0, 1] {
                if self.servers[index].next_deadline().is_some_and(|at| at <= self.now) {
                    self.turn(index, |server, now, out| server.handle_timeout(now, out));
                }
            }
            self.deliver();
        }
        self.now = end;
    }
}

fn statuses(heard: &[(usize, String)]) -> Vec<(usize, &str)> {
    heard.iter().map(|(from, text)| (*from, &text[8..11])).collect()
}

fn tag(text: &str) -> String {
    let line = text.lines().find(|line| line.starts_with("To:")).unwrap();
    format!(";tag={}", line.split("tag=").nth(1).unwrap())
}

fn contact(text: &str) -> String {
    let line = text.lines().find_map(|line| line.strip_prefix("Contact: <")).expect("a Contact");
    line.trim_end_matches('>').to_owned()
}

#[test]
fn a_full_server_redirects_and_the_other_takes_the_call_even_if_it_is_full_by_then() {
    let mut pair = Pair::new(Identity::Chain, AllAbove::LeastLoaded);
    pair.fill(0);
    assert_eq!(statuses(&pair.say(0, "INVITE", "c1", "sip:bob@127.0.0.1:7000", "")), [(0, "100")]);
    pair.deliver();
    let heard = pair.heard();
    assert_eq!(statuses(&heard), [(0, "302")]);
    let uri = contact(&heard[0].1);
    assert!(uri.starts_with("sip:bob@127.0.0.1:7001;transport=udp;shift="), "{uri}");
    pair.say(0, "ACK", "c1", "sip:bob@127.0.0.1:7000", &tag(&heard[0].1));
    pair.pass(Duration::from_secs(10));
    assert_eq!(pair.heard(), [], "the ACK ended the repetition");
    pair.fill(1);
    assert_eq!(statuses(&pair.say(1, "INVITE", "c1", &uri, "")), [(1, "180"), (1, "200")]);
}

#[test]
fn the_302_is_repeated_until_its_ack() {
    let mut pair = Pair::new(Identity::Chain, AllAbove::LeastLoaded);
    pair.fill(0);
    pair.say(0, "INVITE", "c1", "sip:bob@127.0.0.1:7000", "");
    pair.deliver();
    assert_eq!(statuses(&pair.heard()), [(0, "302")]);
    pair.pass(Duration::from_millis(1600));
    assert_eq!(statuses(&pair.heard()), [(0, "302"), (0, "302")]);
}

#[test]
fn told_straight_the_client_hears_the_other_first_and_its_early_ack_counts() {
    for early in [true, false] {
        let mut pair = Pair::new(Identity::Straight, AllAbove::LeastLoaded);
        pair.fill(0);
        pair.say(0, "INVITE", "c1", "sip:bob@127.0.0.1:7000", "");
        let (to, offer) = pair.between.remove(0);
        pair.message(to, 1, &offer);
        let heard = pair.heard();
        assert_eq!(statuses(&heard), [(1, "302")], "by the one that takes the call");
        if early {
            pair.say(0, "ACK", "c1", "sip:bob@127.0.0.1:7000", &tag(&heard[0].1));
        }
        pair.deliver();
        assert_eq!(pair.heard(), [], "told already");
        pair.pass(Duration::from_millis(600));
        let repeated = pair.heard();
        if early {
            assert_eq!(repeated, []);
        } else {
            assert_eq!(repeated, [(0, heard[0].1.clone())], "the same answer, by who has the transaction");
        }
    }
}

#[test]
fn a_call_cancelled_while_a_server_is_sought_ends_with_487() {
    let mut pair = Pair::new(Identity::Chain, AllAbove::LeastLoaded);
    pair.fill(0);
    pair.say(0, "INVITE", "c1", "sip:bob@127.0.0.1:7000", "");
    let heard = pair.say(0, "CANCEL", "c1", "sip:bob@127.0.0.1:7000", "");
    assert_eq!(statuses(&heard), [(0, "200"), (0, "487")]);
    pair.deliver();
    assert_eq!(pair.heard(), [], "what the group found is of no use any more");
}

#[test]
fn when_all_are_full_the_call_is_refused_with_retry_after_or_taken() {
    for (all_above, expected) in [(AllAbove::Refuse, "503"), (AllAbove::LeastLoaded, "180")] {
        let mut pair = Pair::new(Identity::Chain, all_above);
        pair.fill(0);
        pair.fill(1);
        pair.pass(Duration::from_secs(2));
        pair.heard();
        let heard = pair.say(0, "INVITE", "c1", "sip:bob@127.0.0.1:7000", "");
        assert_eq!(statuses(&heard)[1], (0, expected), "{heard:?}");
        assert_eq!(heard[1].1.contains("Retry-After: 7\r\n"), all_above == AllAbove::Refuse);
    }
}

#[test]
fn straight_is_only_for_those_whom_sip_lets_hear_from_another_address() {
    let told = |via: &str| {
        let mut pair = Pair::new(Identity::Straight, AllAbove::LeastLoaded);
        pair.fill(0);
        let text = format!(
            "INVITE sip:bob@c SIP/2.0\r\nVia: {via};branch=z9hG4bK1\r\nMax-Forwards: 70\r\nFrom: <sip:b@c>;tag=f1\r\n\
             To: <sip:a@c>\r\nCall-ID: c1\r\nCSeq: 1 INVITE\r\nContact: <sip:b@c>\r\nContent-Length: 0\r\n\r\n"
        );
        pair.message(0, 0, text.as_bytes());
        pair.heard();
        pair.deliver();
        statuses(&pair.heard())[0].0
    };
    assert_eq!(told("SIP/2.0/UDP 127.0.0.1:5555"), 1);
    assert_eq!(told("SIP/2.0/UDP 127.0.0.1:5555;rport"), 0, "RFC 3581 has it answered from where it sent to");
}
