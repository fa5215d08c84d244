//! The story of one shard: its primary at `h:1`, the replicas at `h:2` and `h:3`, and another primary at `h:9`.

use super::*;

const OWN: &str = "h:1";
/// Slots of it.
const HALF: &str = "0-8191";

/// Servers and their roles.
type Roles<'a> = &'a [(&'a str, &'a str)];

/// What a server says: the roles of `h:1` to `h:3`, written `primary EPOCH` or `replica OF [FLAG]`, as `nodes` has them.
fn word(server: &str, asked: u64, nodes: Roles, replication: &str) -> Word {
    let mut lines = String::from("id9 h:9@9 master - 0 0 1 connected 8192-16383\n");
    for (address, role) in nodes {
        let myself = if *address == server { "myself," } else { "" };
        let id = format!("id{}", address.trim_start_matches("h:"));
        let words: Vec<&str> = role.split(' ').collect();
        let line = match words[..] {
            ["primary", epoch] => format!("{myself}master - 0 0 {epoch} connected {HALF}"),
            ["empty", epoch] => format!("{myself}master - 0 0 {epoch} connected"),
            ["replica", of] => format!("{myself}slave id{of} 0 0 2 connected"),
            ["replica", of, flag] => format!("{myself}slave,{flag} id{of} 0 0 2 connected"),
            _ => panic!("{role}"),
        };
        lines += &format!("{id} {address}@1 {line}\n");
    }
    if server == "h:9" {
        lines = lines.replace("h:9@9 master", "h:9@9 myself,master");
    }
    Word::read(server, Time::from_millis(asked), &lines, "cluster_state:ok\r\n", replication).expect(&lines)
}

const USUAL: Roles = &[(OWN, "primary 2"), ("h:2", "replica 1"), ("h:3", "replica 1")];

fn primary(replicas: &[u16]) -> String {
    let mut text = "role:master\r\n".to_owned();
    for (number, port) in replicas.iter().enumerate() {
        text += &format!("slave{number}:ip=h,port={port},state=online,offset=7,lag=0\r\n");
    }
    text
}

fn replica(link: &str, offset: u64, sync: u8) -> String {
    format!(
        "role:slave\r\nmaster_host:h\r\nmaster_port:1\r\nmaster_link_status:{link}\r\nmaster_sync_in_progress:{sync}\r\n\
         slave_repl_offset:{offset}\r\ndb0:keys=5,expires=0\r\n"
    )
}

struct Shard {
    machine: Failover,
    now: u64,
}

impl Shard {
    fn new() -> Shard {
        Shard { machine: Failover::new(OWN, Held::default(), Time::ZERO), now: 0 }
    }

    fn hear(&mut self, asked: u64, server: &str, nodes: Roles, replication: &str) -> Vec<Effect> {
        let mut out = Vec::new();
        let word = word(server, asked, nodes, replication);
        self.machine.heard(server, &word, Time::from_millis(self.now), &mut out);
        out
    }

    /// All are asked and answer, again and again for so many milliseconds.
    fn lives(&mut self, millis: u64) {
        for _ in 0..millis / 200 {
            self.now += 200;
            self.hear(self.now, OWN, USUAL, &primary(&[2, 3]));
            self.hear(self.now, "h:2", USUAL, &replica("up", self.now, 0));
            self.hear(self.now, "h:3", USUAL, &replica("up", self.now - 1, 0));
        }
    }

    fn dies(&mut self, after: u64) -> Vec<Effect> {
        self.now += after;
        let mut out = Vec::new();
        self.machine.died(Duration::ZERO, Time::from_millis(self.now), &mut out);
        out
    }

    fn passes(&mut self, millis: u64) -> Vec<Effect> {
        self.now += millis;
        let mut out = Vec::new();
        self.machine.tick(Time::from_millis(self.now), &mut out);
        out
    }

    /// A replica is asked and answers.
    fn says(&mut self, server: &str, link: &str, offset: u64, sync: u8) -> Vec<Effect> {
        self.hear(self.now, server, USUAL, &replica(link, offset, sync))
    }
}

fn forced(effects: &[Effect]) -> Vec<&str> {
    servers(effects, |effect| matches!(effect, Effect::Force(_)))
}

fn looked(effects: &[Effect]) -> Vec<&str> {
    servers(effects, |effect| matches!(effect, Effect::Look(_)))
}

fn servers(effects: &[Effect], which: impl Fn(&Effect) -> bool) -> Vec<&str> {
    let chosen = effects.iter().filter(|effect| which(effect));
    chosen
        .map(|effect| match effect {
            Effect::Look(server) | Effect::Force(server) => &**server,
            Effect::Say(text) | Effect::Warn(text) => text,
        })
        .collect()
}

#[test]
fn the_replica_with_the_most_is_promoted_and_then_the_server_may_start() {
    let mut shard = Shard::new();
    shard.lives(1_400);
    assert_eq!(shard.machine.in_step(Time::from_millis(shard.now)), 2);
    assert!(shard.machine.is_settled() && shard.machine.is_primary());
    let effects = shard.dies(100);
    assert_eq!(looked(&effects), ["h:2", "h:3", "h:9"]);
    assert!(!shard.machine.may_start() && shard.machine.is_forcing());
    assert_eq!(forced(&shard.says("h:3", "down", 1_400, 0)), [""; 0], "the other one had more");
    assert_eq!(forced(&shard.says("h:2", "down", 1_400, 0)), ["h:2"]);
    assert_eq!(forced(&shard.says("h:2", "down", 1_400, 0)), [""; 0], "once");
    let promoted = &[(OWN, "empty 2"), ("h:2", "primary 3"), ("h:3", "replica 2")];
    shard.passes(100);
    shard.hear(shard.now, "h:9", USUAL, &primary(&[]));
    assert!(!shard.machine.may_start(), "the others have not heard of it");
    shard.hear(shard.now, "h:2", promoted, &primary(&[]));
    assert!(shard.machine.may_start() && !shard.machine.is_forcing());
}

#[test]
fn nobody_is_promoted_that_was_not_in_step() {
    // What the agent has seen, and what a replica says after the death; whether it is promoted.
    let cases: [(&str, u64, Roles, &str, u64, u64); 8] = [
        ("as usual", 1_400, USUAL, "up", 100, 1),
        ("not long enough in view", 1_000, USUAL, "up", 100, 0),
        ("the agent has stood still", 1_400, USUAL, "up", 1_001, 0),
        ("flagged fail", 1_400, &[(OWN, "primary 2"), ("h:2", "replica 1 fail")], "up", 100, 0),
        ("may not be promoted", 1_400, &[(OWN, "primary 2"), ("h:2", "replica 1 nofailover")], "up", 100, 0),
        ("suspected by one alone", 1_400, &[(OWN, "primary 2"), ("h:2", "replica 1 fail?")], "up", 100, 1),
        ("not connected", 1_400, USUAL, "down", 100, 0),
        ("another's replica", 1_400, &[(OWN, "primary 2"), ("h:2", "replica 9")], "up", 100, 0),
    ];
    for (what, millis, nodes, link, after, expected) in cases {
        let mut shard = Shard::new();
        for _ in 0..millis / 200 {
            shard.now += 200;
            shard.hear(shard.now, OWN, nodes, &primary(&[2]));
            shard.hear(shard.now, "h:2", nodes, &replica(link, 5, 0));
        }
        shard.dies(after);
        let effects = shard.says("h:2", "down", 5, 0);
        assert_eq!(forced(&effects).len() as u64, expected, "{what}");
        assert!(!shard.machine.may_start(), "{what}");
    }
}

#[test]
fn answers_that_waited_while_the_agent_stood_still_are_old() {
    let mut shard = Shard::new();
    shard.lives(1_400);
    let asked = shard.now;
    shard.now += 5_000;
    shard.hear(asked, OWN, USUAL, &primary(&[2]));
    shard.hear(asked, "h:2", USUAL, &replica("up", 5, 0));
    assert_eq!(shard.machine.in_step(Time::from_millis(shard.now)), 0);
    // A server that lives is seen anew, but not in step at once: the agent does not know what was between.
    shard.lives(1_000);
    assert_eq!(shard.machine.in_step(Time::from_millis(shard.now)), 0);
    shard.lives(200);
    assert_eq!(shard.machine.in_step(Time::from_millis(shard.now)), 2);
    // The same, and the server has died meanwhile.
    let effects = shard.dies(5_000);
    assert!(effects.iter().any(|effect| matches!(effect, Effect::Warn(_))) && !shard.machine.is_forcing());
    assert_eq!(forced(&shard.says("h:2", "down", 9_999, 0)), [""; 0]);
}

#[test]
fn a_replica_that_lost_its_connection_is_not_in_step_for_a_second() {
    let mut shard = Shard::new();
    shard.lives(1_400);
    shard.now += 200;
    shard.hear(shard.now, "h:2", USUAL, &replica("down", 5, 1));
    shard.lives(1_000);
    assert_eq!(shard.machine.in_step(Time::from_millis(shard.now)), 1);
    shard.lives(200);
    assert_eq!(shard.machine.in_step(Time::from_millis(shard.now)), 2);
}

#[test]
fn a_replica_that_has_thrown_away_its_copy_is_passed_over() {
    for (offset, sync) in [(1, 0), (1_400, 1)] {
        let mut shard = Shard::new();
        shard.lives(1_400);
        shard.dies(100);
        assert_eq!(forced(&shard.says("h:2", "down", offset, sync)), [""; 0]);
        assert_eq!(forced(&shard.says("h:3", "down", 1_399, 0)), ["h:3"]);
    }
}

#[test]
fn a_replica_that_does_not_answer_refuses_or_is_not_elected_is_not_the_last_word() {
    let mut shard = Shard::new();
    shard.lives(1_400);
    shard.dies(100);
    shard.passes(150);
    shard.passes(150);
    assert_eq!(forced(&shard.says("h:2", "down", 1_400, 0)), ["h:2"], "its turn has come again");
    let mut shard = Shard::new();
    shard.lives(1_400);
    shard.dies(100);
    shard.passes(5_000);
    assert!(!shard.machine.is_forcing() && !shard.machine.may_start(), "too late");
    let mut shard = Shard::new();
    shard.lives(1_400);
    shard.dies(100);
    shard.passes(150);
    assert_eq!(forced(&shard.says("h:3", "down", 1_399, 0)), ["h:3"]);
    let mut shard = Shard::new();
    shard.lives(1_400);
    shard.dies(100);
    // Nobody is elected: each in turn, so many times and no more.
    for server in ["h:2", "h:3", "h:2"] {
        assert_eq!(forced(&shard.says("h:3", "down", 1_399, 0)).len(), usize::from(server == "h:3"));
        assert_eq!(forced(&shard.says("h:2", "down", 1_400, 0)).len(), usize::from(server == "h:2"));
        shard.passes(3_200);
    }
    assert_eq!(forced(&shard.says("h:3", "down", 1_399, 0)), [""; 0]);
    assert_eq!(forced(&shard.says("h:2", "down", 1_400, 0)), [""; 0]);
    assert!(!shard.machine.is_forcing() && !shard.machine.may_start());
    let mut shard = Shard::new();
    shard.lives(1_400);
    shard.dies(100);
    assert_eq!(forced(&shard.says("h:2", "down", 1_400, 0)), ["h:2"]);
    shard.machine.refused("h:2", "ERR no", Time::from_millis(shard.now), &mut Vec::new());
    assert_eq!(forced(&shard.says("h:3", "down", 1_399, 0)), ["h:3"]);
}

#[test]
fn who_had_no_calls_starts_at_once() {
    for nodes in [&[(OWN, "replica 9")][..], &[(OWN, "empty 2")]] {
        let mut shard = Shard::new();
        shard.hear(
            0,
            OWN,
            nodes,
            if nodes[0].1 == "replica 9" {
                "role:slave\r\nmaster_host:h\r\nmaster_port:9\r\n"
            } else {
                "role:master\r\n"
            },
        );
        assert_eq!(shard.dies(100), []);
        assert!(shard.machine.may_start());
    }
}

#[test]
fn a_server_starts_empty_only_when_no_replica_has_its_records() {
    let mut shard = Shard::new();
    shard.lives(400);
    shard.dies(100);
    for _ in 0..2_000 {
        shard.passes(20);
        shard.says("h:2", "down", 5, 0);
        assert!(!shard.machine.may_start());
    }
    // That one is gone, too.
    shard.passes(1_020);
    assert!(shard.machine.may_start());
    let mut shard = Shard::new();
    shard.lives(400);
    shard.dies(100);
    let warned =
        (0..29_980 / 20).flat_map(|_| shard.passes(20)).filter(|one| matches!(one, Effect::Warn(_))).count();
    assert_eq!((warned, shard.machine.may_start()), (2, false), "a line each ten seconds");
    shard.passes(20);
    assert!(shard.machine.may_start());
}

#[test]
fn an_older_epoch_takes_nothing_over() {
    let mut shard = Shard::new();
    shard.lives(1_400);
    shard.dies(100);
    for (nodes, expected) in [
        (&[(OWN, "empty 2"), ("h:2", "primary 1")][..], false),
        (&[(OWN, "empty 2"), ("h:2", "primary 2")], false),
        (&[(OWN, "primary 4"), ("h:2", "replica 1")], false),
        (&[(OWN, "empty 2"), ("h:2", "primary 3")], true),
    ] {
        shard.hear(shard.now, "h:9", nodes, &primary(&[]));
        assert_eq!(shard.machine.may_start(), expected, "{nodes:?}");
    }
}

#[test]
fn the_next_agent_knows_what_the_server_had() {
    let mut shard = Shard::new();
    shard.lives(200);
    let held = shard.machine.held().clone();
    assert_eq!(Held::read(&held.write()), Some(held.clone()));
    for wrong in
        ["", "1", "x 00", "1 00", &format!("1 {}", "g".repeat(64)), &format!("1 {}é", "0".repeat(62))]
    {
        assert_eq!(Held::read(wrong), None, "{wrong}");
    }
    let mut next = Shard { machine: Failover::new(OWN, held, Time::ZERO), now: 0 };
    next.dies(0);
    assert!(!next.machine.may_start() && !next.machine.is_forcing());
    next.hear(0, "h:9", &[(OWN, "empty 2"), ("h:2", "primary 3")], &primary(&[]));
    assert!(next.machine.may_start());
}

#[test]
fn a_server_that_hung_was_in_step_when_it_still_answered() {
    for (hung, expected) in [(2_000, 1), (1_000, 0)] {
        let mut shard = Shard::new();
        shard.lives(1_400);
        // It is asked, and does not answer; the replicas do.
        for _ in 0..10 {
            shard.now += 200;
            shard.says("h:2", "up", 1_400, 0);
        }
        shard.now += 100;
        let mut out = Vec::new();
        shard.machine.died(Duration::from_millis(hung), Time::from_millis(shard.now), &mut out);
        let effects = shard.says("h:2", "down", 1_400, 0);
        assert_eq!(forced(&effects).len(), expected, "{hung}");
    }
}
