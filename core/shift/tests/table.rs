//! Every state of a call at the member that its client asked, under every event that can meet it, as a table; then what is
//! forged, recorded or meant for others.

mod network;

use base::{Duration, Time};
use network::*;
use strowger_shift::{
    AllAbove, Body, CallName, Counter, Datagram, Decision, Group, Ignored, Measures, Offer, Outbox, Report,
    ServiceState, Sharing, Workload,
};

/// Member `a` of three, with `b` and `c` played by hand.
struct Rig {
    group: Group,
    now: Time,
    count: u64,
    /// Instance of `a`, once it has sent something.
    instance: u64,
    number: u64,
    out: Outbox,
}

fn report(nonce: u64, workload: u32) -> Body {
    Body::Report(Report {
        nonce,
        present: true,
        workload: Workload(workload),
        call_permille: 0,
        measures: Measures::default(),
        state: ServiceState::Normal,
        cost: 0,
        quality: 50,
        region: String::new(),
        period_ms: 60_000,
    })
}

impl Rig {
    fn new(sharing: Sharing, all_above: AllAbove) -> Rig {
        let settings = strowger_shift::Settings { sharing, all_above, ..settings(0, 3, 10) };
        let mut group = Group::new(settings).unwrap();
        group.set_measures(calls(20));
        let mut rig =
            Rig { group, now: Time::from_secs(5), count: 1, instance: 0, number: 0, out: Outbox::default() };
        rig.group.join(rig.now, &mut rig.out);
        rig.instance = rig.sent()[0].1.instance;
        rig
    }

    /// With an instance and count of its own, `from` says this to `a`.
    fn datagram(&mut self, from: &str, body: Body) -> Vec<u8> {
        self.count += 1;
        let instance = if from == "b" { 0xB } else { 0xC };
        Datagram { from: from.into(), to: "a".into(), instance, count: self.count, body }.encode(KEY).unwrap()
    }

    fn say(&mut self, from: &str, body: Body) {
        let bytes = self.datagram(from, body);
        self.group.handle(self.now, &bytes, &mut self.out);
    }

    fn report(&mut self, from: &str, nonce: u64, workload: u32) {
        self.say(from, report(nonce, workload));
    }

    /// What left since this was asked last: to whom, and what.
    fn sent(&mut self) -> Vec<(String, Datagram)> {
        let all = std::mem::take(&mut self.out.datagrams);
        let read =
            |(_, bytes): (_, Vec<u8>)| Datagram::decode(&bytes, KEY).expect("what is sent can be read");
        all.into_iter().map(read).map(|datagram| (datagram.to.clone(), datagram)).collect()
    }

    fn pass(&mut self, time: Duration) {
        let end = self.now + time;
        while let Some(at) = self.group.next_deadline().filter(|at| *at <= end) {
            self.now = self.now.max(at);
            self.group.handle_timeout(self.now, &mut self.out);
        }
        self.now = end;
    }

    fn call(&self) -> CallName {
        CallName { origin: "a".into(), number: self.number }
    }

    fn taken(&mut self, from: &str) {
        let body = Body::Taken {
            call: self.call(),
            path: vec!["a".into()],
            contact: b"sip:bob@10.0.0.2:5060".to_vec(),
            told: false,
        };
        self.say(from, body);
    }

    fn offer(&self, visited: &[&str], must_take: bool) -> Offer {
        Offer {
            call: CallName { origin: visited[0].into(), number: 7 },
            to_instance: self.instance,
            visited: visited.iter().map(|name| (*name).to_owned()).collect(),
            avoid: Vec::new(),
            hops_left: 5,
            must_take,
            client: "192.0.2.1:5060".parse().unwrap(),
            transport: heartbeat::Transport::Udp,
            user: b"bob".to_vec(),
            answer: Vec::new(),
        }
    }

    /// What the events led to, in a few words: offers, answers and decisions, not reports and polls.
    fn told(&mut self) -> String {
        let mut words: Vec<String> = self
            .sent()
            .into_iter()
            .filter_map(|(to, datagram)| match datagram.body {
                Body::Offer(offer) if offer.must_take => Some(format!("{to} must")),
                Body::Offer(_) => Some(format!("offer {to}")),
                Body::Taken { .. } => Some(format!("taken to {to}")),
                Body::Refused { .. } => Some(format!("refused to {to}")),
                Body::Report(_) | Body::Poll { .. } => None,
            })
            .collect();
        words.extend(self.out.decisions.drain(..).map(|decision| match decision {
            Decision::Take { .. } => "take".to_owned(),
            Decision::Redirect { .. } => "redirect".to_owned(),
            Decision::Refuse { retry_after_seconds, .. } => format!("refuse {retry_after_seconds}"),
            Decision::Tell { .. } => "tell".to_owned(),
        }));
        if words.is_empty() { "-".to_owned() } else { words.join(", ") }
    }
}

/// Brings a call into a state.
fn rig_in(state: &str) -> Rig {
    let (sharing, all_above) = match state {
        "polling" => (Sharing::Poll, AllAbove::LeastLoaded),
        "offered, refuse" => (Sharing::Push, AllAbove::Refuse),
        _ => (Sharing::Push, AllAbove::LeastLoaded),
    };
    let mut rig = Rig::new(sharing, all_above);
    rig.report("b", 0, 100);
    rig.report("c", 0, 500);
    rig.sent();
    rig.pass(Duration::from_millis(1));
    rig.number = rig.group.offer(rig.now, call(), &mut rig.out).expect("above its threshold");
    if state == "decided" {
        rig.taken("b");
    }
    rig.told();
    rig
}

const EVENTS: [&str; 8] = [
    "taken by b",
    "taken by c",
    "refused",
    "comes back",
    "100 ms pass",
    "700 ms pass",
    "3 s pass",
    "abandoned",
];

/// State, then what each event leads to.
const TABLE: &[(&str, [&str; 8])] = &[
    ("polling", ["redirect", "redirect", "refuse 9", "take", "take", "take", "take", "-"]),
    (
        "offered",
        [
            "redirect",
            "redirect",
            "refuse 9",
            "take",
            "offer b",
            "offer b, offer b, offer c, offer c",
            "offer b, offer b, offer c, offer c, offer c, take",
            "-",
        ],
    ),
    (
        "offered, refuse",
        [
            "redirect",
            "redirect",
            "refuse 9",
            "take",
            "offer b",
            "offer b, offer b, offer c, offer c",
            "offer b, offer b, offer c, offer c, offer c, refuse 5",
            "-",
        ],
    ),
    ("decided", ["-", "-", "-", "-", "-", "-", "-", "-"]),
];

#[test]
fn every_state_and_event_of_a_call() {
    let mut wrong = Vec::new();
    for (state, row) in TABLE {
        for (event, expected) in EVENTS.iter().zip(row) {
            let mut rig = rig_in(state);
            match *event {
                "taken by b" => rig.taken("b"),
                "taken by c" => rig.taken("c"),
                "refused" => {
                    let body =
                        Body::Refused { call: rig.call(), path: vec!["a".into()], retry_after_seconds: 9 };
                    rig.say("b", body);
                }
                "comes back" => {
                    let offer = Offer { call: rig.call(), ..rig.offer(&["a", "b"], true) };
                    rig.say("b", Body::Offer(Box::new(offer)));
                }
                "100 ms pass" => rig.pass(Duration::from_millis(100)),
                "700 ms pass" => rig.pass(Duration::from_millis(700)),
                "3 s pass" => rig.pass(Duration::from_secs(3)),
                _ => rig.group.abandon(rig.number),
            }
            let seen = rig.told();
            if seen != *expected {
                wrong.push(format!("{state} / {event}: {seen}, expected {expected}"));
            }
            // Whatever happened: in the end nothing is left, and a decision is made at most once.
            rig.pass(Duration::from_secs(5));
            assert_eq!(rig.group.searches(), 0, "{state} / {event}");
        }
    }
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

#[test]
fn a_poll_is_ended_by_its_last_answer() {
    let mut rig = Rig::new(Sharing::Poll, AllAbove::LeastLoaded);
    rig.report("b", 0, 300);
    rig.report("c", 0, 200);
    rig.sent();
    rig.group.offer(rig.now, call(), &mut rig.out).unwrap();
    let polls = rig.sent();
    assert_eq!(polls.iter().map(|(to, _)| &**to).collect::<Vec<_>>(), ["b", "c"]);
    let Body::Poll { nonce, .. } = polls[0].1.body else { panic!("{polls:?}") };
    rig.report("c", nonce, 200);
    assert_eq!(rig.told(), "-", "b has not answered yet");
    rig.report("b", nonce, 100);
    assert_eq!(rig.told(), "offer b", "by what it answered, not by what it said before");
}

#[test]
fn a_call_of_another_member() {
    let table = [
        // Own calls (the threshold is 10), who had it, must take → what happens.
        (0, &["b"][..], false, "taken to b"),
        (0, &["c", "b"], false, "taken to b"),
        (20, &["b"], false, "offer c"),
        (20, &["c", "b"], false, "taken to b"),
        (20, &["b"], true, "taken to b"),
        (0, &["b", "a"], false, "-"),
        (0, &["c"], false, "-"),
    ];
    for (own, visited, must_take, expected) in table {
        let mut rig = Rig::new(Sharing::Push, AllAbove::LeastLoaded);
        rig.report("b", 0, 5000);
        rig.report("c", 0, if visited.contains(&"c") { 5000 } else { 1500 });
        rig.group.set_measures(calls(own));
        rig.sent();
        let offer = rig.offer(visited, must_take);
        rig.say("b", Body::Offer(Box::new(offer.clone())));
        assert_eq!(rig.told(), expected, "{own} {visited:?} {must_take}");
        rig.say("b", Body::Offer(Box::new(offer)));
        assert_eq!(rig.told(), expected, "a repeated offer has the same end: {own} {visited:?}");
    }
}

#[test]
fn an_answer_goes_back_over_those_that_passed_the_call_on() {
    let mut rig = Rig::new(Sharing::Push, AllAbove::LeastLoaded);
    let taken = |path: &[&str]| Body::Taken {
        call: CallName { origin: "c".into(), number: 7 },
        path: path.iter().map(|name| (*name).to_owned()).collect(),
        contact: b"sip:10.0.0.2".to_vec(),
        told: false,
    };
    rig.sent();
    rig.say("b", taken(&["c", "a"]));
    assert_eq!(rig.told(), "taken to c");
    for stray in [&["c"][..], &["a", "c"], &["x", "a"], &[]] {
        rig.say("b", taken(stray));
        assert_eq!(rig.told(), "-", "{stray:?}");
    }
}

#[test]
fn the_straight_way_tells_the_client_once_and_the_origin_each_time() {
    let mut rig = Rig::new(Sharing::Push, AllAbove::LeastLoaded);
    rig.group.set_measures(calls(0));
    rig.sent();
    let offer = Offer { answer: b"SIP/2.0 302 Moved\r\n".to_vec(), ..rig.offer(&["c", "b"], false) };
    rig.say("b", Body::Offer(Box::new(offer.clone())));
    assert_eq!(rig.told(), "taken to c, tell");
    rig.say("b", Body::Offer(Box::new(offer)));
    assert_eq!(rig.told(), "taken to c", "only the news is repeated");
}

#[test]
fn max_forwards_of_zero_asks_nobody() {
    let mut rig = Rig::new(Sharing::Push, AllAbove::LeastLoaded);
    rig.report("b", 0, 100);
    rig.sent();
    rig.group.offer(rig.now, strowger_shift::Call { max_forwards: 0, ..call() }, &mut rig.out);
    assert_eq!(rig.told(), "take");
}

#[test]
fn what_is_forged_recorded_or_for_others_is_counted_and_does_nothing() {
    let mut rig = Rig::new(Sharing::Push, AllAbove::LeastLoaded);
    rig.group.set_measures(calls(0));
    rig.sent();
    let offer = Body::Offer(Box::new(rig.offer(&["b"], false)));
    let good = rig.datagram("b", offer.clone());
    let of = |from: &str, to: &str, key: &[u8], count| {
        Datagram { from: from.into(), to: to.into(), instance: 0xB, count, body: offer.clone() }
            .encode(key)
            .unwrap()
    };
    let mut other_version = good.clone();
    other_version[4] = 2;
    let cases = [
        (of("b", "a", b"another key", 50), Ignored::BadAuthenticator),
        (other_version, Ignored::BadAuthenticator),
        (of("b", "c", KEY, 50), Ignored::NotForUs),
        (of("a", "a", KEY, 50), Ignored::Stranger),
        (of("x", "a", KEY, 50), Ignored::Stranger),
        (good[..good.len() - 1].to_vec(), Ignored::Short),
        ([&good[..], b"x"].concat(), Ignored::Long),
        (b"INVITE sip:a@b SIP/2.0\r\n\r\n".to_vec(), Ignored::WrongProtocol),
        (Vec::new(), Ignored::Short),
    ];
    for (bytes, reason) in cases {
        let before = rig.group.counters().ignored(reason);
        rig.group.handle(rig.now, &bytes, &mut rig.out);
        assert_eq!(rig.told(), "-", "{reason}");
        assert_eq!(rig.group.counters().ignored(reason), before + 1, "{reason}");
    }
    rig.group.handle(rig.now, &good, &mut rig.out);
    assert_eq!(rig.told(), "taken to b");
    rig.group.handle(rig.now, &good, &mut rig.out);
    assert_eq!((rig.told().as_str(), rig.group.counters().ignored(Ignored::Replayed)), ("-", 1));
    // To a member that has started anew, the recording is of an earlier life.
    let mut again =
        Group::new(strowger_shift::Settings { chance: base::Chance::seeded(99), ..settings(0, 3, 10) })
            .unwrap();
    again.handle(rig.now, &good, &mut rig.out);
    assert_eq!((rig.told().as_str(), again.counters().get(Counter::StaleOffers)), ("-", 1));
}

#[test]
fn settings_that_cannot_be_are_refused_with_the_reason() {
    let with = |change: &dyn Fn(&mut strowger_shift::Settings)| {
        let mut all = settings(0, 3, 10);
        change(&mut all);
        Group::new(all).err()
    };
    assert_eq!(with(&|_| ()), None);
    assert!(with(&|all| all.name = "two words".into()).unwrap().contains("`two words` is no name"));
    assert!(with(&|all| all.peers[0].0 = "a".into()).unwrap().contains("two members have the name `a`"));
    assert!(with(&|all| all.region = "ä".into()).unwrap().contains("is no region"));
    assert!(with(&|all| all.contacts.clear()).is_some());
    let many = |all: &mut strowger_shift::Settings| {
        all.peers = (0..16).map(|n| (format!("n{n}"), address(n))).collect();
    };
    assert!(with(&many).unwrap().contains("more than 16 members"));
}

#[test]
fn a_member_whose_clock_was_an_hour_ahead_is_heard_when_it_starts_again() {
    const HOUR: u64 = 3_600_000_000;
    let mut rig = Rig::new(Sharing::Push, AllAbove::LeastLoaded);
    let hear = |rig: &mut Rig, instance: u64, count: u64, body: Body| {
        let datagram = Datagram { from: "b".into(), to: "a".into(), instance, count, body };
        rig.group.handle(rig.now, &datagram.encode(KEY).unwrap(), &mut rig.out);
        let sent = rig.sent().into_iter().filter(|(to, _)| to == "b");
        let workload = rig.group.members().find(|(name, _)| *name == "b").unwrap().1;
        (workload.map(|workload| workload.0), sent.map(|(_, datagram)| datagram.body).collect::<Vec<_>>())
    };
    assert_eq!(hear(&mut rig, 1, HOUR, report(0, 100)).0, Some(100));

    // The new life is not believed by its word, and asked once a second.
    let (workload, asked) = hear(&mut rig, 2, 10, report(0, 200));
    let [Body::Poll { nonce, share: false }] = asked[..] else { panic!("{asked:?}") };
    assert_eq!(workload, Some(100));
    assert_eq!(hear(&mut rig, 2, 11, report(nonce ^ 2, 200)), (Some(100), Vec::new()));

    // Its answer is believed, and answered with what it asked for when it joined; from there on its counts are.
    let (workload, sent) = hear(&mut rig, 2, 12, report(nonce, 200));
    assert!(workload == Some(200) && matches!(sent[..], [Body::Report(_)]), "{workload:?} {sent:?}");
    assert_eq!(hear(&mut rig, 2, 13, report(0, 300)), (Some(300), Vec::new()));
    assert_eq!(hear(&mut rig, 2, 13, report(0, 400)), (Some(300), Vec::new()), "once");

    // What was recorded of its earlier life is not, and has us ask at most once a second.
    rig.pass(Duration::from_secs(1));
    let _ = rig.sent();
    let (workload, asked) = hear(&mut rig, 1, HOUR, report(0, 100));
    assert!(workload == Some(300) && matches!(asked[..], [Body::Poll { .. }]), "{workload:?} {asked:?}");
    assert_eq!(hear(&mut rig, 1, HOUR - 1, report(0, 100)), (Some(300), Vec::new()));
    assert_eq!(hear(&mut rig, 2, 14, report(0, 500)).0, Some(500));
}
