//! The form of a record: read as written, of older and newer builds, and of bytes that are none.

use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use sip::{ConnectionId, Flow, Transport};
use state::{Fence, Stamp};

use super::*;
use crate::names::Offset;

fn bytes(length: usize) -> impl Strategy<Value = Box<[u8]>> {
    vec(any::<u8>(), 0..length).prop_map(Box::from)
}

fn flow() -> impl Strategy<Value = Flow> {
    let transports = [Transport::Udp, Transport::Tcp, Transport::Tls, Transport::Ws, Transport::Wss];
    let connection = (any::<u8>(), any::<u16>(), any::<u32>())
        .prop_map(|(worker, slot, generation)| ConnectionId { worker, slot, generation });
    let remote = (any::<std::net::IpAddr>(), any::<u16>()).prop_map(std::net::SocketAddr::from);
    (any::<u8>(), 0..transports.len(), remote, option::of(connection)).prop_map(
        move |(listener, transport, remote, connection)| Flow {
            listener,
            transport: transports[transport],
            remote,
            connection,
        },
    )
}

fn leg() -> impl Strategy<Value = Leg> {
    let states = [LegState::Calling, LegState::Confirmed, LegState::Ending, LegState::Closed];
    let texts = (bytes(40), bytes(40), bytes(40), bytes(40), bytes(40));
    let numbers = (any::<i64>(), any::<u32>(), any::<u64>(), any::<u64>(), any::<u32>());
    (any::<u16>(), 0..states.len(), texts, vec(bytes(30), 0..4), option::of(flow()), numbers).prop_map(
        move |(number, state, texts, routes, flow, numbers)| Leg {
            number,
            state: states[state],
            flags: numbers.1 ^ numbers.4,
            call_id: texts.0,
            remote_tag: texts.1,
            local: texts.2,
            remote: texts.3,
            target: texts.4,
            routes,
            offset: Offset(numbers.0),
            remote_sequence: numbers.1,
            flow,
            session_expires: numbers.2,
            sdp_version: numbers.3,
            reliable_sequence: numbers.4,
            later: Box::default(),
        },
    )
}

fn record() -> impl Strategy<Value = Record> {
    let timer = (any::<u32>(), any::<u64>(), bytes(20)).prop_map(|(id, due, info)| Timer {
        id,
        due,
        info,
        ..Timer::default()
    });
    let usage = (any::<u16>(), bytes(20), any::<u64>()).prop_map(|(leg, event, expires)| Usage {
        leg,
        event,
        expires,
        ..Usage::default()
    });
    let texts = (bytes(200), bytes(2000), bytes(100));
    let lists = (vec(timer, 0..4), vec(leg(), 0..4), vec(usage, 0..3));
    (any::<[u64; 2]>(), any::<bool>(), texts, lists).prop_map(|([version, birth], proxy, texts, lists)| {
        let stamp = Stamp { fence: Fence { engine: 3, worker: 1 }, version };
        Record {
            header: Header { stamp, owner: 3, format: FORMAT, least_reader: 1, ..Header::default() },
            birth,
            mode: if proxy { Mode::Proxy } else { Mode::B2bua },
            bye: if proxy { 0 } else { version },
            bye_status: if birth % 2 == 0 { 200 } else { 0 },
            asked: if birth % 3 == 0 { version } else { 0 },
            reason: if birth % 3 == 0 { b"SIP;cause=200".as_slice().into() } else { Box::default() },
            story: match proxy {
                true => Story::default(),
                false => Story {
                    made_by: 3,
                    rang_ms: version,
                    answered_ms: birth,
                    taken_over: 1,
                    taken_over_ms: 5,
                },
            },
            data: texts.0,
            timers: lists.0,
            legs: lists.1,
            invite: texts.1,
            answer: texts.2,
            usages: lists.2,
            later: Box::default(),
            unknown: Vec::new(),
        }
    })
}

fn written(record: &Record) -> Vec<u8> {
    let mut bytes = Vec::new();
    record.write(&mut bytes);
    bytes
}

proptest! {
    #[test]
    fn a_record_is_read_as_it_was_written(record in record()) {
        let bytes = written(&record);
        prop_assert_eq!(Record::read(&bytes), Ok(record.clone()));
    }

    #[test]
    fn what_is_read_of_any_bytes_is_written_as_it_is_read(bytes in vec(any::<u8>(), 0..400)) {
        let mut with_header = written(&Record::default())[..Header::BYTES].to_vec();
        with_header.extend_from_slice(&bytes);
        if let Ok(record) = Record::read(&with_header) {
            prop_assert_eq!(Record::read(&written(&record)), Ok(record));
        }
    }

    #[test]
    fn a_cut_record_never_reads_as_the_whole(record in record(), at in any::<prop::sample::Index>()) {
        let bytes = written(&record);
        let cut = &bytes[..at.index(bytes.len())];
        prop_assert_ne!(Record::read(cut), Ok(record));
    }
}

/// A confirmed call of two legs, with fixed values.
fn confirmed() -> Record {
    let leg = |number, remote_tag: &str| Leg {
        number,
        state: LegState::Confirmed,
        call_id: b"dbtoca32vgg5hcet6i2mhp3jnq".as_slice().into(),
        remote_tag: remote_tag.as_bytes().into(),
        local: b"<sip:bob@example.com>".as_slice().into(),
        remote: b"Alice <sip:alice@example.com>".as_slice().into(),
        target: b"sip:alice@192.0.2.1:5060;transport=udp".as_slice().into(),
        routes: vec![b"<sip:198.51.100.1;lr;farmtag=abc>".as_slice().into()],
        remote_sequence: 1,
        flow: Some(Flow {
            listener: 0,
            transport: Transport::Udp,
            remote: "198.51.100.1:5060".parse().unwrap(),
            connection: None,
        }),
        ..Leg::default()
    };
    let stamp = Stamp { fence: Fence { engine: 1, worker: 0 }, version: 2 };
    Record {
        header: Header { stamp, owner: 1, format: FORMAT, least_reader: 1, ..Header::default() },
        birth: 1_700_000_000_123_456,
        legs: vec![leg(0, "alice"), leg(1, "carol")],
        invite: b"SIP/2.0/UDP 192.0.2.1;branch=z9hG4bKa 1".as_slice().into(),
        ..Record::default()
    }
}

/// Each release must read what the one before it wrote: these bytes do not change, and a new format adds its own.
#[test]
fn the_bytes_of_format_1_are_read() {
    let bytes = written(&confirmed());
    let text: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(text, include_str!("format_1.hex").trim());
    assert_eq!(Record::read(&bytes), Ok(confirmed()));
    assert!(bytes.len() < 850, "{}: what a call of two legs is expected to take", bytes.len());
}

#[test]
fn what_a_newer_build_added_is_kept_and_what_an_older_one_left_out_is_empty() {
    let mut newer = confirmed();
    newer.header.format = FORMAT + 1;
    newer.later = b"\x07more".as_slice().into();
    newer.legs[1].later = b"\x05".as_slice().into();
    newer.timers.push(Timer { id: 1, due: 2, later: b"\x01".as_slice().into(), ..Timer::default() });
    newer.usages.push(Usage { leg: 1, later: b"\x09".as_slice().into(), ..Usage::default() });
    newer.unknown.push((9, b"section".as_slice().into()));
    newer.unknown.push((10, Box::default()));
    let bytes = written(&newer);
    let read = Record::read(&bytes).unwrap();
    assert_eq!(read, newer);
    assert_eq!(written(&read), bytes);

    // A leg of an older build that knew only its first four fields.
    let mut older = written(&Record::default())[..Header::BYTES].to_vec();
    older.extend_from_slice(&[4, 6, 1, 2, 0, 2, b'i', b'd']);
    let leg =
        Leg { number: 1, state: LegState::Confirmed, call_id: b"id".as_slice().into(), ..Leg::default() };
    assert_eq!(Record::read(&older).unwrap().legs, [leg]);
}

#[test]
fn a_tombstone_a_newer_least_reader_and_a_huge_record_are_told_apart() {
    let read = |change: fn(&mut Header)| {
        let mut record = confirmed();
        change(&mut record.header);
        Record::read(&written(&record))
    };
    assert_eq!(read(|header| header.flags = state::TOMBSTONE), Err(RecordError::Tombstone));
    let too_new = RecordError::Header(HeaderError::TooNew { least_reader: FORMAT + 1 });
    assert_eq!(read(|header| header.least_reader = FORMAT + 1), Err(too_new));
    assert_eq!(Record::read(&vec![0; BYTES_MAX + 1]), Err(RecordError::TooLarge));
    assert_eq!(Record::read(b"short"), Err(RecordError::Header(HeaderError::Short)));
}
