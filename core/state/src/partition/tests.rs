//! What each command does, and when it has no effect.

use super::*;
use crate::command::{Due, Effect, List, OwnedBy};
use crate::header::{FORMAT, Fence, TOMBSTONE};

const ROOM: Bounds = Bounds { bytes_max: 1 << 20, effects_max: 1 << 10 };
const KEY: Key = key(1);
const OTHER: Key = key(2);

const fn key(last: u8) -> Key {
    Key([7, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, last])
}

fn stamp(version: u64) -> Stamp {
    Stamp { fence: Fence { engine: 3, worker: 1 }, version }
}

fn written(version: u64, owner: u32, flags: u16) -> Box<[u8]> {
    let stamp = stamp(version);
    let header = Header { stamp, owner, format: FORMAT, least_reader: FORMAT, flags, ..Header::default() };
    let mut bytes = Vec::new();
    header.write(&mut bytes);
    bytes.extend_from_slice(b"legs");
    bytes.into()
}

fn record(version: u64) -> Box<[u8]> {
    written(version, 3, 0)
}

fn tombstone(version: u64) -> Box<[u8]> {
    written(version, 3, TOMBSTONE)
}

fn bytes(text: &str) -> Box<[u8]> {
    text.as_bytes().into()
}

fn effect(key: &str) -> Effect {
    Effect { key: bytes(key), body: bytes("body") }
}

fn effects(keys: &[&str]) -> Also {
    Also { effects: keys.iter().map(|key| effect(key)).collect(), ..Also::default() }
}

fn create(key: Key, record: Box<[u8]>, wake: Millis, also: Also) -> Command {
    Command::Create(Create { key, record, wake, also })
}

fn put(expected: u64, record: Box<[u8]>, wake: Option<Millis>, also: Also) -> Command {
    Command::Put(Put { key: KEY, expected: stamp(expected), record, wake, also })
}

fn del(expected: u64, tombstone: Option<Box<[u8]>>, also: Also) -> Command {
    Command::Del(Del { key: KEY, expected: stamp(expected), tombstone, also })
}

fn peek(cached: Option<Stamp>) -> Command {
    Command::Peek { key: KEY, cached }
}

fn due(now: Millis, lease: Millis, limit: u32) -> Command {
    Command::Due(Due { now, lease, limit })
}

fn owned_by(engine: u32, after: Millis, until: Millis, limit: u32) -> Command {
    Command::OwnedBy(OwnedBy { engine, after, until, limit })
}

fn drain(engine: u32, now: Millis, limit: u32) -> Command {
    Command::Drain { engine, now, lease: 100, limit }
}

fn wake(expected: u64, at: Millis) -> Command {
    Command::Wake { key: KEY, expected: stamp(expected), at }
}

/// The answer to [`due`].
fn come(keys: &[Key]) -> Answer {
    Answer::Due(keys.iter().map(|key| (*key, record(1))).collect())
}

fn lent(effects: &[(u64, &str)]) -> Answer {
    Answer::Effects(effects.iter().map(|(number, key)| (*number, effect(key))).collect())
}

fn found(record: Box<[u8]>) -> Answer {
    Answer::Record(Some(record))
}

fn refused_by(record: Box<[u8]>) -> Answer {
    Answer::Refused(Some(record))
}

/// Carries out the commands in their order on an empty partition, each at its time, and compares the answers.
fn check(bounds: Bounds, steps: impl IntoIterator<Item = (Millis, Command, Answer)>) -> Partition {
    let mut partition = Partition::new(bounds);
    for (step, (now, command, expected)) in steps.into_iter().enumerate() {
        let text = format!("step {step}: {command:?}");
        assert_eq!(partition.apply(now, command), expected, "{text}");
    }
    partition
}

/// A call with version 1, which is looked at at 500.
fn begun(also: Also) -> (Millis, Command, Answer) {
    (0, create(KEY, record(1), 500, also), Answer::Done)
}

#[test]
fn a_call_begins_once() {
    let partition = check(
        ROOM,
        [
            (0, peek(None), Answer::Record(None)),
            begun(Also::default()),
            (0, create(KEY, record(9), 5, effects(&["late"])), refused_by(record(1))),
            (0, peek(None), found(record(1))),
            (0, due(499, 100, 9), come(&[])),
            (0, drain(3, 0, 9), lent(&[])),
        ],
    );
    assert_eq!(partition.counts().records, 1);
}

#[test]
fn a_put_and_a_del_of_another_stamp_have_no_effect() {
    let also =
        || Also { counter: Some((bytes("calls"), 1)), name: Some(bytes("name")), ..effects(&["late"]) };
    let partition = check(
        ROOM,
        [
            (0, put(1, record(2), None, also()), Answer::Refused(None)),
            (0, del(1, None, also()), Answer::Refused(None)),
            begun(Also::default()),
            (0, put(1, record(2), None, Also::default()), Answer::Done),
            (0, put(1, record(3), Some(1), also()), refused_by(record(2))),
            (0, del(1, Some(tombstone(3)), also()), refused_by(record(2))),
            (0, peek(None), found(record(2))),
            (0, due(499, 100, 9), come(&[])),
            (0, drain(3, 0, 9), lent(&[])),
            (0, Command::Find { name: bytes("name") }, Answer::Found(None)),
        ],
    );
    assert_eq!(partition.counter(b"calls"), 0);
}

#[test]
fn a_peek_of_the_known_stamp_brings_no_record() {
    check(
        ROOM,
        [
            (0, peek(Some(stamp(1))), Answer::Record(None)),
            begun(Also::default()),
            (0, peek(Some(stamp(1))), Answer::Unchanged),
            (0, peek(Some(stamp(2))), found(record(1))),
            (0, peek(None), found(record(1))),
        ],
    );
}

#[test]
fn nothing_changes_a_tombstone_until_its_time_ends() {
    let end = 10 + Del::TOMBSTONE_MS;
    let mut partition = check(
        ROOM,
        [
            begun(Also::default()),
            (10, del(1, Some(tombstone(2)), Also::default()), Answer::Done),
            (11, create(KEY, record(3), 0, Also::default()), refused_by(tombstone(2))),
            (11, put(2, record(3), None, Also::default()), refused_by(tombstone(2))),
            (11, del(2, None, Also::default()), refused_by(tombstone(2))),
            (11, wake(2, 5), refused_by(tombstone(2))),
            (11, due(end, 100, 9), come(&[])),
            (end - 1, peek(None), found(tombstone(2))),
        ],
    );
    assert_eq!((partition.counts().records, partition.counts().tombstones), (0, 1));
    assert_eq!(partition.apply(end, peek(None)), Answer::Record(None));
    assert_eq!(partition.counts(), Counts::default());
    assert_eq!(partition.apply(end, create(KEY, record(1), 0, Also::default())), Answer::Done);
}

#[test]
fn a_record_without_a_tombstone_is_gone_at_once() {
    let partition = check(
        ROOM,
        [
            begun(Also::default()),
            (0, del(1, None, Also::default()), Answer::Done),
            (0, due(500, 100, 9), come(&[])),
            begun(Also::default()),
            (0, del(1, None, Also::default()), Answer::Done),
        ],
    );
    assert_eq!(partition.counts(), Counts::default());
}

#[test]
fn a_put_moves_a_wake_up_only_earlier_and_a_wake_anywhere() {
    check(
        ROOM,
        [
            begun(Also::default()),
            (0, put(1, record(1), Some(900), Also::default()), Answer::Done),
            (0, put(1, record(1), None, Also::default()), Answer::Done),
            (0, due(499, 100, 9), come(&[])),
            (0, due(500, 100, 9), come(&[KEY])),
            (0, put(1, record(1), Some(550), Also::default()), Answer::Done),
            (0, due(549, 100, 9), come(&[])),
            (0, wake(2, 1), refused_by(record(1))),
            (0, wake(1, 800), Answer::Done),
            (0, due(799, 100, 9), come(&[])),
            (0, due(800, 100, 9), come(&[KEY])),
            (0, del(1, None, Also::default()), Answer::Done),
            (0, wake(1, 1), Answer::Refused(None)),
        ],
    );
}

#[test]
fn whoever_takes_a_record_has_it_for_the_lease() {
    check(
        ROOM,
        [
            begun(Also::default()),
            (0, create(OTHER, record(1), 400, Also::default()), Answer::Done),
            (0, due(600, 50, 0), come(&[])),
            (0, due(600, 50, 1), come(&[OTHER])),
            (0, due(600, 60, 9), come(&[KEY])),
            (0, due(649, 50, 9), come(&[])),
            (0, due(650, 50, 9), come(&[OTHER])),
            (0, due(700, 50, 9), come(&[KEY, OTHER])),
        ],
    );
}

#[test]
fn all_records_are_listed_in_pieces_and_no_tombstone() {
    let begin = |(last, wake)| {
        let record = written(1, 3, 0);
        (0, create(key(last), record, wake, Also::default()), Answer::Done)
    };
    let listed = |keys: &[u8], next| {
        let records = keys.iter().map(|last| (key(*last), written(1, 3, 0))).collect();
        Answer::Listed { records, next }
    };
    let list = |after, limit| Command::List(List { after, limit });
    let gone = Command::Del(Del {
        key: key(1),
        expected: stamp(1),
        tombstone: Some(record(2)),
        also: Also::default(),
    });
    let mut steps = vec![begin((1, 10)), begin((2, 20)), begin((3, 20)), begin((4, 30))];
    steps.push((0, list(0, 1), listed(&[1], Some(10))));
    // Two records wake at 20.
    steps.push((0, list(10, 1), listed(&[2, 3], Some(20))));
    steps.push((0, list(20, 1), listed(&[4], None)));
    steps.push((0, gone, Answer::Done));
    steps.push((0, list(0, 9), listed(&[2, 3, 4], None)));
    check(ROOM, steps);
}

#[test]
fn records_of_an_engine_are_listed_with_all_that_wake_together() {
    let owned =
        |keys: &[u8], next| Answer::Owned { keys: keys.iter().map(|last| key(*last)).collect(), next };
    let begin = |(last, owner, wake)| {
        (0, create(key(last), written(1, owner, 0), wake, Also::default()), Answer::Done)
    };
    let begun = [(1, 3, 10), (2, 3, 20), (3, 4, 20), (4, 3, 20), (5, 3, 30), (6, 4, 40)].map(begin);
    let asked = [
        (0, owned_by(3, 0, 100, 9), owned(&[1, 2, 4, 5], None)),
        (0, owned_by(4, 0, 100, 9), owned(&[3, 6], None)),
        (0, owned_by(5, 0, 100, 9), owned(&[], None)),
        // Three records wake at 20: a list that ended between them could not go on.
        (0, owned_by(3, 0, 100, 2), owned(&[1, 2, 4], Some(20))),
        (0, owned_by(3, 20, 100, 2), owned(&[5], None)),
        (0, owned_by(3, 20, 100, 1), owned(&[5], Some(30))),
        // The last one looked at is of another engine.
        (0, owned_by(3, 30, 100, 1), owned(&[], None)),
        (0, owned_by(3, 10, 30, 9), owned(&[2, 4, 5], None)),
        (0, owned_by(3, 10, 19, 9), owned(&[], None)),
        (0, owned_by(3, Millis::MAX, Millis::MAX, 9), owned(&[], None)),
    ];
    check(ROOM, begun.into_iter().chain(asked));
}

#[test]
fn a_counter_and_a_name_change_with_the_record() {
    let also =
        |added| Also { counter: Some((bytes("calls"), added)), name: Some(bytes("room")), ..Also::default() };
    let find = || Command::Find { name: bytes("room") };
    let mut partition = check(
        ROOM,
        [
            (0, find(), Answer::Found(None)),
            begun(also(5)),
            (0, find(), Answer::Found(Some(KEY))),
            (0, put(1, record(2), None, also(-7)), Answer::Done),
            (0, find(), Answer::Found(Some(KEY))),
        ],
    );
    assert_eq!(partition.counter(b"calls"), -2);
    assert_eq!(partition.apply(0, del(2, None, also(3))), Answer::Done);
    assert_eq!(partition.apply(0, find()), Answer::Found(None));
    assert_eq!((partition.counter(b"calls"), partition.counter(b"other")), (1, 0));
}

#[test]
fn the_end_of_a_record_leaves_a_name_that_another_record_has() {
    let named = || Also { name: Some(bytes("room")), ..Also::default() };
    let find = || Command::Find { name: bytes("room") };
    check(
        ROOM,
        [
            begun(named()),
            (0, create(OTHER, record(1), 0, named()), Answer::Done),
            (0, find(), Answer::Found(Some(OTHER))),
            (0, del(1, None, named()), Answer::Done),
            (0, find(), Answer::Found(Some(OTHER))),
        ],
    );
}

#[test]
fn a_tombstone_without_its_flag_is_still_one() {
    let mut partition = Partition::new(ROOM);
    partition.apply(0, create(KEY, record(1), 0, Also::default()));
    assert_eq!(partition.apply(0, del(1, Some(record(2)), Also::default())), Answer::Done);
    let refused = partition.apply(0, put(2, record(3), None, Also::default()));
    assert_eq!(refused, Answer::Refused(Some(tombstone(2))));
}

#[test]
fn counters_names_and_votes_take_room() {
    let vote = |voter: u32| Command::Count {
        poll: bytes("poll"),
        choice: bytes("yes"),
        voter: voter.to_string().into_bytes().into(),
    };
    let mut partition = Partition::new(Bounds { bytes_max: 10_000, ..ROOM });
    let counted = (0..1000).take_while(|voter| partition.apply(0, vote(*voter)) == Answer::Counted(true));
    let counted = counted.count() as u32;
    assert!((50..200).contains(&counted), "{counted}");
    assert_eq!(partition.apply(0, vote(counted)), Answer::Full);
    assert_eq!(partition.apply(0, vote(0)), Answer::Counted(false), "nothing is added");
    assert_eq!(partition.apply(0, create(KEY, record(1), 0, Also::default())), Answer::Full);

    let mut partition = Partition::new(ROOM);
    let also =
        |name: &str| Also { counter: Some((bytes("calls"), 1)), name: Some(bytes(name)), ..Also::default() };
    partition.apply(0, create(KEY, record(1), 0, also("a")));
    let one = partition.counts().bytes;
    partition.apply(0, put(1, record(2), None, also("a")));
    assert_eq!(partition.counts().bytes, one, "the same name and counter");
    partition.apply(0, put(2, record(3), None, also("b")));
    assert!(partition.counts().bytes > one);
    partition.apply(0, put(3, record(4), None, Also::default()));
    partition.apply(0, del(4, None, also("b")));
    partition.apply(0, create(KEY, record(1), 0, Also::default()));
    partition.apply(0, del(1, None, also("a")));
    assert_eq!(partition.counts().bytes, "calls".len() + 64, "the counter stays");
}

#[test]
fn a_voter_counts_once_in_a_poll() {
    let vote = |poll: &str, choice: &str, voter: &str, counts| {
        let command = Command::Count { poll: bytes(poll), choice: bytes(choice), voter: bytes(voter) };
        (0, command, Answer::Counted(counts))
    };
    let votes = [
        vote("a", "yes", "ann", true),
        vote("a", "yes", "ann", false),
        vote("a", "no", "ann", false),
        vote("a", "yes", "bob", true),
        vote("b", "no", "ann", true),
    ];
    let partition = check(ROOM, votes);
    let counted = [("a", "yes"), ("a", "no"), ("b", "no"), ("b", "yes"), ("c", "no")]
        .map(|(poll, choice)| partition.votes(poll.as_bytes(), choice.as_bytes()));
    assert_eq!(counted, [2, 0, 1, 0, 0]);
}

#[test]
fn a_mark_names_every_engine_that_is_not_forgotten() {
    let mark = |engine, at| Mark { engine, address: bytes("127.0.0.1:7"), at };
    let late = Mark::FORGOTTEN_MS + 1;
    check(
        ROOM,
        [
            (0, Command::Mark(mark(2, 1)), Answer::Marks(vec![mark(2, 1)])),
            (0, Command::Mark(mark(1, 2)), Answer::Marks(vec![mark(1, 2), mark(2, 1)])),
            (0, Command::Mark(mark(3, late)), Answer::Marks(vec![mark(1, 2), mark(2, 1), mark(3, late)])),
            (0, Command::Mark(mark(3, late + 1)), Answer::Marks(vec![mark(1, 2), mark(3, late + 1)])),
        ],
    );
}

#[test]
fn effects_are_lent_to_one_engine_and_go_when_it_has_brought_them_away() {
    let drained = |engine, last| Command::Drained { engine, last };
    let partition = check(
        ROOM,
        [
            begun(effects(&["a", "b"])),
            (0, put(1, record(2), None, effects(&["c"])), Answer::Done),
            (0, drained(3, 3), Answer::Refused(None)),
            (0, drain(3, 0, 2), lent(&[(1, "a"), (2, "b")])),
            (0, drain(4, 99, 9), lent(&[])),
            (0, drained(4, 3), Answer::Refused(None)),
            (0, drained(3, 1), Answer::Done),
            (0, drained(3, 1), Answer::Done),
            (0, drain(3, 50, 9), lent(&[(2, "b"), (3, "c")])),
            (0, del(2, None, effects(&["d"])), Answer::Done),
            // The lease of the first engine ends at 150, and what it says afterwards comes too late.
            (0, drain(4, 149, 9), lent(&[])),
            (0, drain(4, 150, 9), lent(&[(2, "b"), (3, "c"), (4, "d")])),
            (0, drained(3, 3), Answer::Refused(None)),
            (0, drained(4, 4), Answer::Done),
            (0, drain(4, 150, 9), lent(&[])),
        ],
    );
    assert_eq!(partition.counts(), Counts::default());
}

#[test]
fn only_a_new_call_needs_room() {
    let filled = || {
        [
            begun(effects(&["a"])),
            (0, create(OTHER, record(1), 0, Also::default()), Answer::Full),
            // Whoever asks for a call that is there learns of it.
            (0, create(KEY, record(1), 0, Also::default()), refused_by(record(1))),
            (0, put(1, record(2), None, effects(&["b"])), Answer::Done),
            (0, del(2, None, effects(&["c"])), Answer::Done),
        ]
    };
    check(Bounds { bytes_max: 1, ..ROOM }, filled());
    let mut partition = check(Bounds { effects_max: 1, ..ROOM }, filled());
    assert_eq!(partition.apply(0, create(OTHER, record(1), 0, Also::default())), Answer::Full);
    partition.apply(0, drain(3, 0, 9));
    partition.apply(0, Command::Drained { engine: 3, last: 3 });
    assert_eq!(partition.apply(0, create(OTHER, record(1), 0, Also::default())), Answer::Done);
}

#[test]
fn times_at_the_end_of_all_time_are_times() {
    let end = Millis::MAX;
    let mark = |engine, at| Mark { engine, address: bytes("127.0.0.1:7"), at };
    check(
        ROOM,
        [
            begun(effects(&["a"])),
            (0, due(end, 100, 9), come(&[KEY])),
            (0, drain(3, end - 1, 9), lent(&[(1, "a")])),
            (0, drain(4, end - 1, 9), lent(&[])),
            (0, Command::Mark(mark(1, end)), Answer::Marks(vec![mark(1, end)])),
            (0, Command::Mark(mark(2, end)), Answer::Marks(vec![mark(1, end), mark(2, end)])),
        ],
    );
}
