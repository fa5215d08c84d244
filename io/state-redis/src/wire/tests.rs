//! Commands and answers as bytes and back; what strangers may send.

use proptest::prelude::*;
use state::{Answer, Command, Effect, Key, Mark};

use super::*;
use crate::resp::{Limits, Reader, Value};
use crate::testing::{any_bytes, any_command, any_key};

fn read(bytes: &[u8]) -> Value {
    let mut reader = Reader::new(Limits::REPLIES);
    reader.feed(bytes);
    let value = reader.read().expect("RESP").expect("a whole value");
    assert!(reader.is_idle(), "one value");
    value
}

fn written(partition: u8, command: &Command) -> Vec<Box<[u8]>> {
    let mut bytes = Vec::new();
    write_command(partition, command, &mut bytes);
    read(&bytes).into_words().expect("words")
}

fn words(text: &str) -> Vec<Box<[u8]>> {
    text.split(' ').map(|word| word.as_bytes().into()).collect()
}

/// An answer that such a command may have.
fn any_answer(command: &Command) -> BoxedStrategy<Answer> {
    let there = || proptest::option::of(any_bytes(40));
    match command {
        Command::Create(_) => prop_oneof![
            Just(Answer::Done),
            Just(Answer::Full),
            any_bytes(40).prop_map(|record| Answer::Refused(Some(record))),
        ]
        .boxed(),
        Command::Put(_) | Command::Del(_) | Command::Wake { .. } | Command::Drained { .. } => {
            prop_oneof![Just(Answer::Done), there().prop_map(Answer::Refused)].boxed()
        }
        Command::Peek { .. } => {
            prop_oneof![Just(Answer::Unchanged), there().prop_map(Answer::Record)].boxed()
        }
        Command::Due(_) => {
            proptest::collection::vec((any_key(7), any_bytes(40)), 0..4).prop_map(Answer::Due).boxed()
        }
        Command::OwnedBy(_) => {
            (proptest::collection::vec(any_key(7), 0..4), proptest::option::of(any::<u64>()))
                .prop_map(|(keys, next)| Answer::Owned { keys, next })
                .boxed()
        }
        Command::List(_) => {
            let records = proptest::collection::vec((any_key(7), any_bytes(40)), 0..4);
            (records, proptest::option::of(any::<u64>()))
                .prop_map(|(records, next)| Answer::Listed { records, next })
                .boxed()
        }
        Command::Find { .. } => proptest::option::of(any_key(7)).prop_map(Answer::Found).boxed(),
        Command::Count { .. } => {
            prop_oneof![Just(Answer::Full), any::<bool>().prop_map(Answer::Counted)].boxed()
        }
        Command::Mark(_) => proptest::collection::btree_map(any::<u32>(), (any_bytes(9), any::<u64>()), 0..4)
            .prop_map(|marks| {
                let mark = |(engine, (address, at))| Mark { engine, address, at };
                Answer::Marks(marks.into_iter().map(mark).collect())
            })
            .boxed(),
        Command::Drain { .. } => proptest::collection::vec((any::<u64>(), any_bytes(9), any_bytes(9)), 0..4)
            .prop_map(|effects| {
                let effect = |(number, key, body)| (number, Effect { key, body });
                Answer::Effects(effects.into_iter().map(effect).collect())
            })
            .boxed(),
    }
}

proptest! {
    #[test]
    fn a_command_and_its_answer_are_read_as_they_were_written(
        (partition, (command, answer)) in any::<u8>().prop_flat_map(|partition| {
            let both = any_command(partition)
                .prop_flat_map(|command| (Just(command.clone()), any_answer(&command)));
            (Just(partition), both)
        })
    ) {
        prop_assert_eq!(read_command(written(partition, &command)), Ok((partition, command.clone())));
        let mut bytes = Vec::new();
        write_answer(&answer, &mut bytes);
        prop_assert_eq!(read_answer(&command, read(&bytes)), Ok(answer));
    }

    #[test]
    fn no_words_and_no_values_panic(
        (mut words, place, word) in any::<u8>().prop_flat_map(|partition| any_command(partition)
            .prop_map(move |command| written(partition, &command)))
            .prop_flat_map(|words| {
                let places = 0..words.len();
                (Just(words), places, any_bytes(30))
            }),
        command in any_command(7),
    ) {
        let value = Value::Array(words.iter().map(|word| Value::Bytes(word.clone())).collect());
        let _ = read_answer(&command, value);
        let whole = words.clone();
        words[place] = word;
        let _ = read_command(words);
        let _ = read_command(whole[..place].to_vec());
    }
}

#[test]
fn a_put_lists_every_name_that_it_may_touch() {
    let mut bytes = Vec::new();
    let also = state::Also {
        counter: Some((b"calls"[..].into(), -1)),
        name: Some(b"room"[..].into()),
        effects: vec![Effect { key: b"k"[..].into(), body: b"b"[..].into() }],
    };
    let put = state::Put {
        key: Key(*b"?123456789ab"),
        expected: state::Stamp::from_bytes(*b"0123456789abcdef"),
        record: b"record"[..].into(),
        wake: Some(1_790_000_000_000),
        also,
    };
    write_command(b'?', &Command::Put(put), &mut bytes);
    let words = read(&bytes).into_words().expect("words");
    let text: Vec<_> = words.iter().map(|word| String::from_utf8_lossy(word)).collect();
    assert_eq!(
        text.join(" "),
        "FCALL strowger_put 5 {p3f}:?123456789ab {p3f}due {p3f}counters {p3f}names {p3f}out \
         0123456789abcdef record W 1790000000000 C calls -1 N room E k b"
    );
}

#[test]
fn words_that_are_no_command_are_refused() {
    let key = "{p3f}:?123456789ab";
    let stamp = "0123456789abcdef";
    let cases = [
        ("FCALL", BadCommand::Function),
        ("FCALL other 1 {p00}due", BadCommand::Function),
        ("FCALL strowger_find", BadCommand::Names),
        ("FCALL strowger_find x {p00}names a", BadCommand::Names),
        ("FCALL strowger_find 0 a", BadCommand::Names),
        ("FCALL strowger_find 9 {p00}names a", BadCommand::Names),
        ("FCALL strowger_find 1 names a", BadCommand::Names),
        ("FCALL strowger_find 1 {p0G}names a", BadCommand::Names),
        ("FCALL strowger_find 1 {p0A}names a", BadCommand::Names),
        ("FCALL strowger_find 1 {p00}due a", BadCommand::Names),
        ("FCALL strowger_find 1 {p00}names", BadCommand::Arguments),
        ("FCALL strowger_find 1 {p00}names a b", BadCommand::Arguments),
        ("FCALL strowger_count 1 {p00}due a b", BadCommand::Names),
        ("FCALL strowger_due 1 {p00}due 1 2 +3", BadCommand::Arguments),
        ("FCALL strowger_due 1 {p00}due 1 2 -3", BadCommand::Arguments),
        ("FCALL strowger_due 1 {p00}due 01 2 3", BadCommand::Arguments),
        ("FCALL strowger_due 1 {p00}due 1 2 4294967296", BadCommand::Arguments),
        ("FCALL strowger_due 1 {p00}due 9007199254740993 0 1", BadCommand::Time),
        ("FCALL strowger_due 1 {p00}due 9007199254740992 1 1", BadCommand::Time),
        ("FCALL strowger_peek 1 {p3f}:short", BadCommand::Names),
        ("FCALL strowger_peek 1 {p3f}?123456789ab", BadCommand::Names),
        ("FCALL strowger_peek 1 {p3e}:?123456789ab", BadCommand::Partition),
        (&format!("FCALL strowger_peek 1 {key} short"), BadCommand::Arguments),
        (&format!("FCALL strowger_wake 2 {key} {{p3e}}due {stamp} 1"), BadCommand::Partition),
        (&format!("FCALL strowger_put 1 {key} {stamp} record W"), BadCommand::Arguments),
        (&format!("FCALL strowger_put 1 {key} {stamp} record E key"), BadCommand::Arguments),
        (&format!("FCALL strowger_put 1 {key} {stamp} record N a C b 1"), BadCommand::Arguments),
        (&format!("FCALL strowger_put 1 {key} {stamp} record C a --1"), BadCommand::Arguments),
        (
            &format!("FCALL strowger_put 1 {key} {stamp} record C a 9223372036854775808"),
            BadCommand::Arguments,
        ),
    ];
    for (text, expected) in cases {
        assert_eq!(read_command(words(text)), Err(expected), "{text}");
    }
}

#[test]
fn values_that_are_no_answer_are_told_from_refusals() {
    let peek = Command::Peek { key: Key([0; 12]), cached: None };
    let moved: Box<str> = "MOVED 1 10.0.0.1:6379".into();
    assert_eq!(read_answer(&peek, Value::Error(moved.clone())), Err(Unread::Error(moved)));
    let count = Command::Count { poll: [].into(), choice: [].into(), voter: [].into() };
    let due = Command::Due(state::Due { now: 0, lease: 0, limit: 1 });
    let mark = Command::Mark(Mark { engine: 1, address: [].into(), at: 1 });
    let text = |text: &str| Value::Bytes(text.as_bytes().into());
    let cases = [
        (&peek, Value::Integer(1)),
        (&peek, Value::Status("OK".into())),
        (&count, Value::Integer(2)),
        (&due, Value::Array(vec![text("?123456789ab")])),
        (&due, Value::Array(vec![text("short"), text("record")])),
        (&mark, Value::Array(vec![text("1"), text("address"), text("-1")])),
        (&mark, Value::Array(vec![Value::Integer(1), text("address"), text("1")])),
    ];
    for (command, value) in cases {
        assert_eq!(read_answer(command, value.clone()), Err(Unread::Strange), "{command:?} {value:?}");
    }
}
