//! Commands in an order that matters, each list with a name.

use state::{
    Also, Command, Create, Del, Due, Effect, Fence, Header, Key, Mark, OwnedBy, Put, Stamp, TOMBSTONE,
};

use super::PARTITION;

type Script = (&'static str, Vec<Command>);

fn key(last: u8) -> Key {
    Key([PARTITION, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, last])
}

fn stamp(version: u64) -> Stamp {
    Stamp { fence: Fence { engine: 0xFF00_0001, worker: 1 }, version }
}

fn record(version: u64, owner: u32) -> Box<[u8]> {
    let mut bytes = Vec::new();
    Header { stamp: stamp(version), owner, ..Header::default() }.write(&mut bytes);
    bytes.extend_from_slice(b"legs\r\n\0\xFF");
    bytes.into()
}

fn tombstone(version: u64, flags: u16) -> Box<[u8]> {
    let mut bytes = Vec::new();
    Header { stamp: stamp(version), flags, ..Header::default() }.write(&mut bytes);
    bytes.into()
}

fn create(last: u8, owner: u32, wake: u64) -> Command {
    Command::Create(Create { key: key(last), record: record(1, owner), wake, also: Also::default() })
}

fn with(also: Also) -> Command {
    Command::Create(Create { key: key(1), record: record(1, 1), wake: 10, also })
}

fn put(expected: u64, wake: Option<u64>, also: Also) -> Command {
    let (expected, record) = (stamp(expected), record(expected + 1, 1));
    Command::Put(Put { key: key(1), expected, record, wake, also })
}

fn del(expected: u64, tombstone: Option<Box<[u8]>>, also: Also) -> Command {
    Command::Del(Del { key: key(1), expected: stamp(expected), tombstone, also })
}

fn peek(cached: Option<u64>) -> Command {
    Command::Peek { key: key(1), cached: cached.map(stamp) }
}

fn due(now: u64, lease: u64, limit: u32) -> Command {
    Command::Due(Due { now, lease, limit })
}

fn owned(engine: u32, after: u64, until: u64, limit: u32) -> Command {
    Command::OwnedBy(OwnedBy { engine, after, until, limit })
}

fn counter(added: i64) -> Also {
    Also { counter: Some((b"a"[..].into(), added)), ..Also::default() }
}

fn named(name: &str) -> Also {
    Also { name: Some(name.as_bytes().into()), ..Also::default() }
}

fn effects(count: u32) -> Also {
    let effect = |number: u32| Effect {
        key: format!("effect {number}").into_bytes().into(),
        body: vec![0xFF; number as usize % 100].into(),
    };
    Also { effects: (0..count).map(effect).collect(), ..Also::default() }
}

pub(super) fn all() -> Vec<Script> {
    vec![
        ("a call lives and dies", life()),
        ("a tombstone stays", tombstones()),
        ("wake-ups", wakeups()),
        ("owners", owners()),
        ("many at once", many()),
        ("counters go round", counters()),
        ("names", names()),
        ("effects", effect_lists()),
        ("votes and marks", votes_and_marks()),
    ]
}

fn life() -> Vec<Command> {
    vec![
        peek(None),
        peek(Some(1)),
        put(1, Some(1), counter(1)),
        del(1, None, counter(1)),
        with(Also::default()),
        with(counter(1)),
        peek(Some(1)),
        peek(Some(2)),
        put(2, Some(1), counter(1)),
        put(1, Some(5), Also::default()),
        put(1, Some(4), counter(1)),
        peek(None),
        del(1, None, effects(1)),
        del(2, None, effects(1)),
        peek(None),
        with(Also::default()),
    ]
}

fn tombstones() -> Vec<Command> {
    vec![
        with(Also::default()),
        del(1, Some(tombstone(9, 0)), Also::default()),
        with(Also::default()),
        put(9, None, Also::default()),
        del(9, None, Also::default()),
        Command::Wake { key: key(1), expected: stamp(9), at: 1 },
        peek(Some(9)),
        due(1 << 40, 1, 9),
        create(2, 1, 10),
        Command::Del(Del {
            key: key(2),
            expected: stamp(1),
            tombstone: Some(tombstone(9, 0xFFFE | TOMBSTONE)),
            also: Also::default(),
        }),
        Command::Peek { key: key(2), cached: None },
        create(3, 1, 10),
        // Shorter than a header.
        Command::Del(Del {
            key: key(3),
            expected: stamp(1),
            tombstone: Some(b"short"[..].into()),
            also: Also::default(),
        }),
        Command::Peek { key: key(3), cached: None },
    ]
}

fn wakeups() -> Vec<Command> {
    vec![
        create(1, 1, 500),
        // Keys whose order as letters is another than as bytes.
        create(0xFF, 1, 500),
        create(0x7F, 1, 500),
        create(0, 1, 499),
        put(1, Some(900), Also::default()),
        due(499, 50, 9),
        put(2, Some(400), Also::default()),
        due(400, 50, 9),
        due(500, 0, 0),
        due(500, 50, 2),
        due(500, 50, 2),
        due(550, 50, 9),
        Command::Wake { key: key(1), expected: stamp(2), at: 1 },
        Command::Wake { key: key(1), expected: stamp(3), at: 9_007_199_254_740_992 },
        due(9_007_199_254_740_991, 1, 9),
        due(9_007_199_254_740_992, 0, 9),
        Command::Wake { key: key(5), expected: stamp(3), at: 1 },
    ]
}

fn owners() -> Vec<Command> {
    let mut commands: Vec<Command> =
        [(1, 3, 10), (2, 3, 20), (3, u32::MAX, 20), (4, 3, 20), (5, 3, 30), (6, u32::MAX, 40)]
            .map(|(last, owner, wake)| create(last, owner, wake))
            .into();
    for limit in 0..8 {
        for (after, until) in [(0, 100), (0, 20), (10, 20), (20, 30), (30, 30), (40, 10), (0, u64::MAX)] {
            commands.extend([3, u32::MAX, 7].map(|engine| owned(engine, after, until, limit)));
        }
    }
    commands.push(owned(3, u64::MAX, u64::MAX, 9));
    commands
}

/// More than Lua gives to one command, and more than one byte counts.
fn many() -> Vec<Command> {
    let numbered = |number: u32| {
        let mut key = [0; 12];
        key[1..5].copy_from_slice(&number.to_be_bytes());
        key[0] = PARTITION;
        let (record, wake) = (record(1, number % 3), u64::from(number / 2));
        Command::Create(Create { key: Key(key), record, wake, also: Also::default() })
    };
    let mut commands: Vec<Command> = (0..9000).map(numbered).collect();
    commands.extend([
        owned(1, 0, 2000, 2200),
        owned(1, 0, 2000, 1),
        due(2000, 5, 2300),
        due(2000, 5, u32::MAX),
    ]);
    commands.extend([put(9, None, effects(1)), with(effects(5000)), create(9, 1, 1)]);
    commands.push(Command::Drain { engine: 1, now: 1, lease: 1, limit: u32::MAX });
    commands
}

fn counters() -> Vec<Command> {
    let mut commands = vec![with(counter(i64::MAX))];
    let added = [
        1,
        -1,
        i64::MIN,
        i64::MIN,
        i64::MAX,
        i64::MAX,
        i64::MAX,
        i64::MAX,
        -5,
        i64::MIN,
        0,
        i64::MIN,
        i64::MIN,
    ];
    let puts = added.into_iter().zip(1..).map(|(added, version)| put(version, None, counter(added)));
    commands.extend(puts);
    commands
}

fn names() -> Vec<Command> {
    let find = |name: &str| Command::Find { name: name.as_bytes().into() };
    vec![
        find("room"),
        with(named("room")),
        find("room"),
        put(1, None, named("")),
        find(""),
        Command::Create(Create { key: key(2), record: record(1, 1), wake: 1, also: named("room") }),
        find("room"),
        del(2, None, named("room")),
        find("room"),
        with(named("room")),
        del(1, None, named("room")),
        find("room"),
        find(""),
    ]
}

fn effect_lists() -> Vec<Command> {
    let drain = |engine, now, limit| Command::Drain { engine, now, lease: 100, limit };
    let drained = |engine, last| Command::Drained { engine, last };
    vec![
        drain(1, 0, 9),
        with(effects(2)),
        drained(2, 9),
        drain(1, 5, 1),
        drain(2, 50, 9),
        drained(2, 1),
        drained(1, 1),
        drained(1, 1),
        drained(1, 0),
        put(1, None, effects(6)),
        create(2, 1, 1),
        drain(1, 60, 0),
        drain(1, 60, 3),
        drain(2, 159, 9),
        drain(2, 160, 9),
        drained(1, 3),
        drained(2, 4),
        create(2, 1, 1),
        drain(2, 161, 9),
        drained(2, u64::MAX),
        put(2, None, effects(1)),
        drain(2, 162, 9),
    ]
}

fn votes_and_marks() -> Vec<Command> {
    let vote = |poll: &str, choice: &str, voter: &str| Command::Count {
        poll: poll.as_bytes().into(),
        choice: choice.as_bytes().into(),
        voter: voter.as_bytes().into(),
    };
    let mark =
        |engine, address: &str, at| Command::Mark(Mark { engine, address: address.as_bytes().into(), at });
    vec![
        vote("a", "N", "ann"),
        vote("a", "b", "ann"),
        vote("a", "N", "bob"),
        vote("b", "b", ""),
        vote("", "", "ann"),
        mark(2, "10.0.0.1:5070 with words\nand lines", 1),
        mark(10, "", 600_001),
        mark(u32::MAX, "[::1]:5070", 600_002),
        mark(10, "moved", 5),
    ]
}
