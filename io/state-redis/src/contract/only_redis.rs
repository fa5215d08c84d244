//! What a partition cannot show: memory of a whole server, time that passes, and words that nobody of ours sends.

use std::time::Instant;

use state::{Also, Answer, Command, Create, Del, Header, Key};

use super::redis::Redis;
use super::{Client, PARTITION, Server};
use crate::resp::{Value, write_words};
use crate::wire::{Unread, read_command, write_command};

fn key(number: u32) -> Key {
    let mut key = [PARTITION; 12];
    key[1..5].copy_from_slice(&number.to_be_bytes());
    Key(key)
}

fn record(bytes: usize) -> Box<[u8]> {
    let mut record = Vec::new();
    Header::default().write(&mut record);
    record.resize(bytes, 7);
    record.into()
}

fn create(number: u32, bytes: usize) -> Command {
    Command::Create(Create { key: key(number), record: record(bytes), wake: 1, also: Also::default() })
}

fn del(number: u32, tombstone: Option<Box<[u8]>>) -> Command {
    let expected = Header::default().stamp;
    Command::Del(Del { key: key(number), expected, tombstone, also: Also::default() })
}

fn put(number: u32, bytes: usize) -> Command {
    let (expected, record) = (Header::default().stamp, record(bytes));
    Command::Put(state::Put { key: key(number), expected, record, wake: None, also: Also::default() })
}

fn memory(client: &mut Client, name: &str) -> u64 {
    let Value::Bytes(info) = client.call(&[b"INFO", b"memory"]) else { panic!("no INFO") };
    let text = String::from_utf8_lossy(&info).into_owned();
    let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
    line.and_then(|number| number.trim().parse().ok()).expect("a number")
}

#[test]
fn a_server_without_room_takes_no_call_and_lets_calls_go_on() {
    let redis = Redis::with_memory(16 << 20);
    let mut client = redis.empty();
    let vote = |voter: &[u8]| Command::Count { poll: [].into(), choice: [].into(), voter: voter.into() };
    let begun = (0..4000).take_while(|number| client.ask(&create(*number, 8000)) == Answer::Done).count();
    let begun = begun as u32;
    let (used, most) = (memory(&mut client, "used_memory"), memory(&mut client, "maxmemory"));
    assert_eq!(most, 16 << 20);
    // One call in 64 asks.
    assert!((most * 8 / 10..most * 9 / 10).contains(&used), "{used} after {begun} calls");
    assert_eq!(client.ask(&vote(b"ann")), Answer::Full);
    assert_eq!(client.ask(&create(0, 100)), Answer::Refused(Some(record(8000))));
    // Calls up pass even the whole of the memory.
    for number in 0..begun {
        assert_eq!(client.ask(&put(number, 16_000)), Answer::Done);
    }
    assert!(memory(&mut client, "used_memory") > most);
    assert_eq!(client.ask(&create(9999, 100)), Answer::Full);
    for number in 0..begun {
        assert_eq!(client.ask(&del(number, None)), Answer::Done);
    }
    assert_eq!(client.ask(&create(9999, 100)), Answer::Done);
    assert_eq!(client.ask(&vote(b"ann")), Answer::Counted(true));
}

#[test]
fn a_tombstone_has_its_time_and_a_record_has_none() {
    let redis = Redis::start();
    let mut client = redis.empty();
    let name = [&b"{p3f}:"[..], &key(1).0].concat();
    assert_eq!(client.ask(&create(1, 100)), Answer::Done);
    assert_eq!(client.call(&[b"PTTL", &name]), Value::Integer(-1));
    let begin = Instant::now();
    assert_eq!(client.ask(&del(1, Some(record(40)))), Answer::Done);
    let Value::Integer(left) = client.call(&[b"PTTL", &name]) else { panic!("no time") };
    let passed = begin.elapsed().as_millis() as i64 + 1;
    let whole = Del::TOMBSTONE_MS as i64;
    assert!((whole - passed..=whole).contains(&left), "{left} ms left after {passed}");
    assert_eq!(client.call(&[b"PEXPIRE", &name, b"0"]), Value::Integer(1));
    assert_eq!(client.ask(&create(1, 100)), Answer::Done);
}

#[test]
fn words_that_a_partition_does_not_take_are_refused_and_have_no_effect() {
    let redis = Redis::start();
    let mut client = redis.empty();
    assert_eq!(client.ask(&create(1, 100)), Answer::Done);
    let before = client.digest();
    let late: &[u8] = b"9007199254740993";
    // Each word of each command in turn is missing, or another one.
    let mut commands = vec![create(2, 100), put(1, 100), del(1, None), del(1, Some(record(40)))];
    let effect = state::Effect { key: b"k"[..].into(), body: b"b"[..].into() };
    for command in &mut commands {
        let also = match command {
            Command::Create(create) => &mut create.also,
            Command::Put(put) => &mut put.also,
            Command::Del(del) => &mut del.also,
            other => panic!("{other:?}"),
        };
        *also = Also { counter: Some(([].into(), 1)), name: Some([].into()), effects: vec![effect.clone()] };
    }
    let stamp = Header::default().stamp;
    commands.push(Command::Wake { key: key(1), expected: stamp, at: 5 });
    commands.push(Command::Due(state::Due { now: 5, lease: 6, limit: 7 }));
    commands.push(Command::Count { poll: [].into(), choice: [].into(), voter: [].into() });
    commands.push(Command::Mark(state::Mark { engine: 1, address: [].into(), at: 6 }));
    commands.push(Command::Drain { engine: 1, now: 1, lease: 1, limit: 1 });
    commands.push(Command::Drained { engine: 1, last: 1 });
    commands.push(Command::OwnedBy(state::OwnedBy { engine: 1, after: 1, until: 2, limit: 1 }));
    commands.push(Command::List(state::List { after: 1, limit: 1 }));
    commands.push(Command::Peek { key: key(1), cached: Some(stamp) });
    let too_late = [
        Command::Due(state::Due { now: 1 << 53, lease: 1, limit: 7 }),
        Command::Drain { engine: 1, now: 7, lease: 1 << 53, limit: 7 },
    ];
    for command in too_late {
        let Err(Unread::Error(text)) = client.apply(&command) else { panic!("{command:?}") };
        // Redis adds where in the functions that is.
        assert!(text.starts_with("ERR a time is later than 2^53"), "{text}");
    }
    let mut refused = 0;
    for command in &commands {
        let mut bytes = Vec::new();
        write_command(PARTITION, command, &mut bytes);
        let mut reader = crate::resp::Reader::new(crate::resp::Limits::REPLIES);
        reader.feed(&bytes);
        let words = reader.read().expect("RESP").and_then(Value::into_words).expect("words");
        let names: usize = String::from_utf8_lossy(&words[2]).parse().expect("a number");
        for place in 3 + names..words.len() {
            let mut without = words.clone();
            without.truncate(place);
            let mut more = words.clone();
            more.push(b"more"[..].into());
            for other in [without, more, with(&words, place, b"-7"), with(&words, place, late)] {
                let words: Vec<&[u8]> = other.iter().map(|word| &word[..]).collect();
                let taken = read_command(other.clone());
                if taken.is_err() {
                    let mut bytes = Vec::new();
                    write_words(&words, &mut bytes);
                    let text = String::from_utf8_lossy(&bytes).into_owned();
                    let Value::Error(_) = client.send(&bytes) else { panic!("taken: {text}") };
                    refused += 1;
                }
            }
        }
    }
    assert!(refused > 100, "{refused}");
    assert_eq!(client.digest(), before, "the server holds something else");
}

fn with(words: &[Box<[u8]>], place: usize, word: &[u8]) -> Vec<Box<[u8]>> {
    let mut words = words.to_vec();
    words[place] = word.into();
    words
}
