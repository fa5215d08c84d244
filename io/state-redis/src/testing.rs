//! What tests of several rooms need: any command for a partition.

use proptest::prelude::*;
use state::{
    Also, Command, Create, Del, Due, Effect, Fence, Header, Key, List, Mark, OwnedBy, Put, Stamp, TOMBSTONE,
};

/// Of few keys, so that commands meet.
pub(crate) fn any_key(partition: u8) -> impl Strategy<Value = Key> {
    prop_oneof![Just(b'a'), Just(b'b'), Just(0), Just(255)].prop_map(move |byte| {
        let mut key = [byte; 12];
        key[0] = partition;
        Key(key)
    })
}

pub(crate) fn any_bytes(length_max: usize) -> impl Strategy<Value = Box<[u8]>> {
    proptest::collection::vec(any::<u8>(), 0..=length_max).prop_map(Box::from)
}

/// Of few, so that names meet.
fn any_name() -> impl Strategy<Value = Box<[u8]>> {
    prop_oneof![Just("a"), Just("b"), Just("N"), Just("")].prop_map(|name| name.as_bytes().into())
}

/// Of few stamps, so that some are the expected ones.
fn any_stamp() -> impl Strategy<Value = Stamp> {
    (0..2_u32, 0..3_u64).prop_map(|(worker, version)| Stamp { fence: Fence { engine: 1, worker }, version })
}

fn any_record() -> impl Strategy<Value = Box<[u8]>> {
    let whole = (any_stamp(), 1..3_u32, any_bytes(40), proptest::bool::weighted(0.1));
    let whole = whole.prop_map(|(stamp, owner, rest, tombstone)| {
        let flags = if tombstone { TOMBSTONE } else { 0 };
        let mut bytes = Vec::new();
        Header { stamp, owner, flags, ..Header::default() }.write(&mut bytes);
        bytes.extend_from_slice(&rest);
        bytes.into_boxed_slice()
    });
    // Nobody but a test writes half a header.
    prop_oneof![20 => whole, 1 => any_bytes(31)]
}

/// Some small times that meet, and some of the size of a true one.
fn any_time() -> impl Strategy<Value = u64> {
    prop_oneof![4 => 0..20_u64, 1 => 1_790_000_000_000..1_790_000_000_003_u64]
}

fn any_also() -> impl Strategy<Value = Also> {
    let added = prop_oneof![5 => -9..9_i64, 1 => Just(i64::MAX), 1 => Just(i64::MIN)];
    let effect = (any_name(), any_bytes(9)).prop_map(|(key, body)| Effect { key, body });
    let effects = proptest::collection::vec(effect, 0..3);
    let counter = proptest::option::of((any_name(), added));
    (counter, proptest::option::of(any_name()), effects).prop_map(|(counter, name, effects)| Also {
        counter,
        name,
        effects,
    })
}

/// A command that a server takes.
pub(crate) fn any_command(partition: u8) -> impl Strategy<Value = Command> {
    let key = move || any_key(partition);
    let limit = || 0..6_u32;
    let engine = || 1..4_u32;
    let create = (key(), any_record(), any_time(), any_also())
        .prop_map(|(key, record, wake, also)| Command::Create(Create { key, record, wake, also }));
    let put = (key(), any_stamp(), any_record(), proptest::option::of(any_time()), any_also()).prop_map(
        |(key, expected, record, wake, also)| Command::Put(Put { key, expected, record, wake, also }),
    );
    let del = (key(), any_stamp(), proptest::option::weighted(0.2, any_record()), any_also())
        .prop_map(|(key, expected, tombstone, also)| Command::Del(Del { key, expected, tombstone, also }));
    let peek =
        (key(), proptest::option::of(any_stamp())).prop_map(|(key, cached)| Command::Peek { key, cached });
    let wake =
        (key(), any_stamp(), any_time()).prop_map(|(key, expected, at)| Command::Wake { key, expected, at });
    let due = (any_time(), 0..9_u64, limit())
        .prop_map(|(now, lease, limit)| Command::Due(Due { now, lease, limit }));
    let owned_by = (engine(), any_time(), any_time(), limit())
        .prop_map(|(engine, after, until, limit)| Command::OwnedBy(OwnedBy { engine, after, until, limit }));
    let list = (any_time(), limit()).prop_map(|(after, limit)| Command::List(List { after, limit }));
    let count = (any_name(), any_name(), any_name()).prop_map(|(poll, choice, voter)| Command::Count {
        poll,
        choice,
        voter,
    });
    let mark = (engine(), any_bytes(9), prop_oneof![any_time(), Just(600_010)])
        .prop_map(|(engine, address, at)| Command::Mark(Mark { engine, address, at }));
    let drain = (engine(), any_time(), 0..9_u64, limit())
        .prop_map(|(engine, now, lease, limit)| Command::Drain { engine, now, lease, limit });
    let drained = (engine(), prop_oneof![0..20_u64, any::<u64>()])
        .prop_map(|(engine, last)| Command::Drained { engine, last });
    prop_oneof![
        4 => create,
        4 => put,
        2 => del,
        2 => peek,
        2 => wake,
        2 => due,
        2 => owned_by,
        1 => list,
        1 => any_name().prop_map(|name| Command::Find { name }),
        1 => count,
        1 => mark,
        1 => drain,
        1 => drained,
    ]
}
