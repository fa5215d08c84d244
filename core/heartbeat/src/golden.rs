//! Golden bytes of the datagrams, made without this code (by Python's struct and hmac), and properties over all values. A
//! change to these bytes is a change of the protocol.

use std::net::IpAddr;

use proptest::prelude::*;

use crate::datagram::{DATAGRAM_BYTES_MAX, PLAIN_BYTES};
use crate::query::QUERY_BYTES;
use crate::{Heartbeat, Ignored, Load, Query, Replay, ServerState, Transport, next_count};

const KEY: &[u8] = b"farm key";

const PLAIN: &str = "deadface 00000007 000013c4 00000001";
const PLAIN_SIGNED: &str = "deadface 00000007 000013c4 00000001 5354524f 0001 0014 \
    ffff 0010 3860d05dd12989975d10d679af3ff22b";
const FULL: &str = "deadface 00000007 000013c4 00000001 5354524f 0001 0055 \
    0001 0004 c0000207  0003 0001 01  0004 0008 00062a3b4c5d6e7f  0005 0004 000003e8 \
    0010 0002 0177  0011 0008 000000000000ec28  0012 0002 0078  0013 0008 00000000000041f8 \
    0014 0004 0000000c  0015 0004 00000058";
const FULL_SIGNED: &str = "deadface 00000007 000013c4 00000001 5354524f 0001 0069 \
    0001 0004 c0000207  0003 0001 01  0004 0008 00062a3b4c5d6e7f  0005 0004 000003e8 \
    0010 0002 0177  0011 0008 000000000000ec28  0012 0002 0078  0013 0008 00000000000041f8 \
    0014 0004 0000000c  0015 0004 00000058  ffff 0010 29e86d9089be2d170009c717fe879022";

const OTHER_PLAIN: &str = "cefaadde 07000000 c4130000 01000000";
const OTHER_PLAIN_SIGNED: &str = "cefaadde 07000000 c4130000 01000000 4f525453 0100 1400 \
    ffff 1000 c4cd1556308801fa85af87fd2225d7cc";
const OTHER_FULL: &str = "cefaadde 07000000 c4130000 01000000 4f525453 0100 5500 \
    0100 0400 c0000207  0300 0100 01  0400 0800 7f6e5d4c3b2a0600  0500 0400 e8030000 \
    1000 0200 7701  1100 0800 28ec000000000000  1200 0200 7800  1300 0800 f841000000000000 \
    1400 0400 0c000000  1500 0400 58000000";
const OTHER_FULL_SIGNED: &str = "cefaadde 07000000 c4130000 01000000 4f525453 0100 6900 \
    0100 0400 c0000207  0300 0100 01  0400 0800 7f6e5d4c3b2a0600  0500 0400 e8030000 \
    1000 0200 7701  1100 0800 28ec000000000000  1200 0200 7800  1300 0800 f841000000000000 \
    1400 0400 0c000000  1500 0400 58000000  ffff 1000 c93ad9fecede78206a4dffaa31f8cd32";

/// Of an engine: the plain form, and the state tier alone in its tail.
const OF_TIER: &str = "deadface 00000007 000013c4 00000001 5354524f 0001 000c 0009 0008 0102030405060708";
const OTHER_OF_TIER: &str =
    "cefaadde 07000000 c4130000 01000000 4f525453 0100 0c00 0900 0800 0807060504030201";

fn bytes(hex: &str) -> Vec<u8> {
    let digits: Vec<u32> =
        hex.chars().filter(|c| !c.is_whitespace()).map(|c| c.to_digit(16).unwrap()).collect();
    digits.chunks(2).map(|pair| (pair[0] * 16 + pair[1]) as u8).collect()
}

fn plain() -> Heartbeat {
    Heartbeat::plain(7, 5060, ServerState::Started)
}

fn full() -> Heartbeat {
    Heartbeat {
        load: Some(Load {
            cpu_permille: Some(375),
            memory_available_kib: Some(60_456),
            server_cpu_permille: Some(120),
            server_memory_kib: Some(16_888),
            calls: Some(12),
            residual_calls: Some(88),
            ..Load::default()
        }),
        sip_address: Some("192.0.2.7".parse().unwrap()),
        transport: Some(Transport::Tcp),
        count: Some(0x0006_2A3B_4C5D_6E7F),
        period_ms: Some(1000),
        ..plain()
    }
}

#[track_caller]
fn check(datagram: &[u8], key: Option<&[u8]>, expected: Result<Heartbeat, Ignored>) {
    assert_eq!(Heartbeat::decode(datagram, key), expected);
}

#[test]
fn what_is_sent_is_in_network_order() {
    assert_eq!(plain().encode(None), bytes(PLAIN));
    assert_eq!(plain().encode(Some(KEY)), bytes(PLAIN_SIGNED));
    assert_eq!(full().encode(None), bytes(FULL));
    assert_eq!(full().encode(Some(KEY)), bytes(FULL_SIGNED));
}

#[test]
fn both_byte_orders_are_understood() {
    for datagram in [PLAIN, OTHER_PLAIN] {
        check(&bytes(datagram), None, Ok(plain()));
        check(&bytes(datagram), Some(KEY), Err(Ignored::NoAuthenticator));
    }
    for datagram in [PLAIN_SIGNED, OTHER_PLAIN_SIGNED] {
        check(&bytes(datagram), Some(KEY), Ok(plain()));
        check(&bytes(datagram), None, Ok(plain()));
        check(&bytes(datagram), Some(b"another"), Err(Ignored::BadAuthenticator));
    }
    for datagram in [FULL, OTHER_FULL] {
        check(&bytes(datagram), None, Ok(full()));
        check(&bytes(datagram), Some(KEY), Err(Ignored::NoAuthenticator));
    }
    for datagram in [FULL_SIGNED, OTHER_FULL_SIGNED] {
        check(&bytes(datagram), Some(KEY), Ok(full()));
        check(&bytes(datagram), None, Ok(full()));
    }
}

#[test]
fn the_state_tier_is_a_section_that_older_readers_skip() {
    let of_tier = Heartbeat { state_tier: Some(0x0102_0304_0506_0708), ..plain() };
    assert_eq!(of_tier.encode(None), bytes(OF_TIER));
    check(&bytes(OF_TIER), None, Ok(of_tier));
    check(&bytes(OTHER_OF_TIER), None, Ok(of_tier));
    // A section with an id that the reader does not know, as 9 is to an older one, is no part of the heartbeat.
    check(&bytes(&OF_TIER.replace("0009 0008", "0f09 0008")), None, Ok(plain()));
}

#[test]
fn every_flaw_has_its_reason() {
    let head = |port: &str, state: &str| bytes(&format!("deadface 00000007 {port} {state}"));
    check(b"", None, Err(Ignored::Short));
    check(&bytes(PLAIN)[..15], None, Err(Ignored::Short));
    check(b"OPTIONS sip:a@example.com SIP/2.0", None, Err(Ignored::WrongProtocol));
    check(&head("00000000", "00000001"), None, Err(Ignored::BadPort));
    check(&head("00010000", "00000001"), None, Err(Ignored::BadPort));
    check(&head("000013c4", "00000003"), None, Err(Ignored::BadState));
    check(&head("000013c4", "01000000"), None, Err(Ignored::BadState));
    check(&[bytes(PLAIN), vec![0]].concat(), None, Err(Ignored::Long));
    check(&[bytes(PLAIN), vec![0; 40]].concat(), None, Err(Ignored::Long));
    check(&[bytes(FULL), vec![0]].concat(), None, Err(Ignored::Long));
    check(&bytes(FULL)[..bytes(FULL).len() - 1], None, Err(Ignored::Short));
    let long = [bytes(PLAIN), vec![0; DATAGRAM_BYTES_MAX]].concat();
    check(&long, None, Err(Ignored::Long));
}

#[test]
fn every_flaw_of_the_tail_has_its_reason() {
    #[track_caller]
    fn tail(version: &str, sections: &str, expected: Result<(), Ignored>) {
        let sections = bytes(sections);
        let head = bytes(&format!("{PLAIN} 5354524f {version} {:04x}", sections.len()));
        let decoded = Heartbeat::decode(&[head, sections].concat(), None);
        assert_eq!(decoded.map(|_| ()), expected);
    }
    tail("0001", "", Ok(()));
    tail("0001", "7777 0003 010203", Ok(())); // a section of a later version
    tail("0002", "", Err(Ignored::BadTail));
    tail("0001", "00", Err(Ignored::BadTail));
    tail("0001", "0004 0009 0000000000000000", Err(Ignored::BadTail)); // goes beyond the end
    tail("0001", "0004 0004 00000000", Err(Ignored::BadTail)); // a count of four bytes
    tail("0001", "0010 0002 03e8", Ok(()));
    tail("0001", "0010 0002 03e9", Err(Ignored::BadTail)); // 1001 permille
    tail("0001", "0003 0001 02", Err(Ignored::BadTail)); // no such transport
    tail("0001", "0009 0004 00000001", Err(Ignored::BadTail)); // a state tier of four bytes
    tail("0001", "0005 0004 000003e8 0005 0004 000003e8", Err(Ignored::BadTail)); // twice
    tail("0001", "0001 0004 00000000", Err(Ignored::BadTail)); // 0.0.0.0
    tail("0001", "0001 0004 ffffffff", Err(Ignored::BadTail)); // broadcast
    tail("0001", "0001 0004 e0000001", Err(Ignored::BadTail)); // 224.0.0.1
    tail("0001", "ffff 0010 00000000000000000000000000000000 7777 0000", Err(Ignored::BadTail)); // not last
}

#[test]
fn an_authenticator_before_the_end_signs_nothing() {
    let mut datagram = bytes(PLAIN_SIGNED);
    datagram.extend_from_slice(&bytes("0005 0004 00000001"));
    datagram[23] += 8;
    check(&datagram, Some(KEY), Err(Ignored::NoAuthenticator));
}

#[test]
fn a_count_that_does_not_rise_is_a_replay() {
    let mut replay = Replay::default();
    let mut admit = |count| replay.admit(&Heartbeat { count, ..plain() });
    assert_eq!(admit(None), Ok(()), "the plain form has no count");
    assert_eq!(admit(Some(10)), Ok(()));
    assert_eq!(admit(Some(10)), Err(Ignored::Replayed));
    assert_eq!(admit(Some(9)), Err(Ignored::Replayed));
    assert_eq!(admit(None), Err(Ignored::Replayed));
    assert_eq!(admit(Some(12)), Ok(()));
    assert_eq!(next_count(0, 500), 500);
    assert_eq!(next_count(500, 500), 501, "two within a microsecond");
    assert_eq!(next_count(500, 100), 501, "the wall clock was set back");
}

#[test]
fn every_reason_has_its_counter() {
    for (index, reason) in Ignored::ALL.into_iter().enumerate() {
        assert_eq!(reason.index(), index, "{}", reason.name());
    }
}

#[test]
fn a_query_is_answered_to_those_with_the_key() {
    let query = Query { nonce: 0x0102_0304_0506_0708 };
    let open = query.encode(None);
    let signed = query.encode(Some(KEY));
    assert_eq!(open[..24], bytes("deadfacf 00000000 0102030405060708 0000000000000000"));
    assert_eq!(signed[176..], bytes("696951cab0e67723385d2336f112d8d9"));
    assert_eq!(Query::decode(&open, None), Ok(query));
    assert_eq!(Query::decode(&signed, None), Ok(query));
    assert_eq!(Query::decode(&signed, Some(KEY)), Ok(query));
    assert_eq!(Query::decode(&open, Some(KEY)), Err(Ignored::NoAuthenticator));
    assert_eq!(Query::decode(&signed, Some(b"another")), Err(Ignored::BadAuthenticator));
    assert_eq!(Query::decode(&signed[..16], None), Err(Ignored::Short), "a short query would be amplified");
    assert_eq!(Query::decode(&[&signed[..], &[0]].concat(), None), Err(Ignored::Long));
    assert_eq!(Query::decode(b"", None), Err(Ignored::Short));
    assert_eq!(Query::decode(&bytes(PLAIN), None), Err(Ignored::WrongProtocol));
    assert_eq!(Heartbeat::decode(&signed, None), Err(Ignored::WrongProtocol));
}

fn any_load() -> impl Strategy<Value = Load> {
    let permille = || proptest::option::of(0..=1000u16);
    (
        permille(),
        any::<Option<u64>>(),
        permille(),
        any::<Option<u64>>(),
        any::<Option<u32>>(),
        any::<Option<u32>>(),
        permille(),
        any::<Option<u32>>(),
    )
        .prop_map(|(cpu, memory, server_cpu, server_memory, calls, residual, network, latency)| Load {
            cpu_permille: cpu,
            memory_available_kib: memory,
            server_cpu_permille: server_cpu,
            server_memory_kib: server_memory,
            calls,
            residual_calls: residual,
            network_permille: network,
            latency_us: latency,
        })
}

fn any_heartbeat() -> impl Strategy<Value = Heartbeat> {
    let state =
        prop_oneof![Just(ServerState::Started), Just(ServerState::Draining), Just(ServerState::Stopped)];
    let transport = proptest::option::of(prop_oneof![Just(Transport::Udp), Just(Transport::Tcp)]);
    let host = |ip: &IpAddr| match ip {
        IpAddr::V4(ip) => !(ip.is_unspecified() || ip.is_multicast() || ip.is_broadcast()),
        IpAddr::V6(ip) => !(ip.is_unspecified() || ip.is_multicast()),
    };
    let address = proptest::option::of(any::<IpAddr>().prop_filter("one host", host));
    let head = (any::<u32>(), 1..=u16::MAX, state);
    let tail =
        (any_load(), address, transport, any::<Option<u64>>(), any::<Option<u32>>(), any::<Option<u64>>());
    let polled = (any::<Option<u32>>(), any::<bool>());
    (head, tail, polled, any::<Option<u64>>()).prop_map(
        |((server_id, sip_port, state), tail, (age_ms, down), state_tier)| {
            let (load, sip_address, transport, count, period_ms, nonce) = tail;
            // Figures that are all unknown are no figures.
            let load = (load != Load::default()).then_some(load);
            let plain = Heartbeat::plain(server_id, sip_port, state);
            Heartbeat {
                load,
                sip_address,
                transport,
                count,
                period_ms,
                nonce,
                age_ms,
                down,
                state_tier,
                ..plain
            }
        },
    )
}

proptest! {
    #[test]
    fn round_trip(heartbeat in any_heartbeat(), key in any::<Option<Vec<u8>>>()) {
        let datagram = heartbeat.encode(key.as_deref());
        prop_assert!(datagram.len() <= QUERY_BYTES, "an answer is no longer than its query");
        prop_assert_eq!(Heartbeat::decode(&datagram, key.as_deref()), Ok(heartbeat));
    }

    #[test]
    fn a_changed_byte_is_noticed(heartbeat in any_heartbeat(), at in any::<prop::sample::Index>(), change in 1..=255u8) {
        let mut datagram = heartbeat.encode(Some(KEY));
        let at = at.index(datagram.len());
        datagram[at] ^= change;
        prop_assert!(Heartbeat::decode(&datagram, Some(KEY)).is_err());
    }

    #[test]
    fn a_cut_datagram_is_refused(heartbeat in any_heartbeat(), end in any::<prop::sample::Index>()) {
        let datagram = heartbeat.encode(None);
        let end = end.index(datagram.len());
        // Cut at the head's end it is the plain form.
        let whole = end == PLAIN_BYTES;
        prop_assert_eq!(Heartbeat::decode(&datagram[..end], None).is_ok(), whole);
    }

    #[test]
    fn garbage_is_survived(mut garbage in proptest::collection::vec(any::<u8>(), 0..600), shape in 0..4u8) {
        for (at, template) in [(1, FULL), (2, OTHER_FULL), (3, PLAIN_SIGNED)] {
            if at == shape {
                let template = bytes(template);
                let head = garbage.len().min(20);
                garbage[..head].copy_from_slice(&template[..head]);
            }
        }
        let open = Heartbeat::decode(&garbage, None);
        let keyed = Heartbeat::decode(&garbage, Some(KEY));
        prop_assert!(keyed.is_err());
        if let Ok(heartbeat) = open {
            prop_assert_eq!(Heartbeat::decode(&heartbeat.encode(None), None), Ok(heartbeat));
        }
        let _ = Query::decode(&garbage, None);
    }
}
