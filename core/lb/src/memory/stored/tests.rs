//! The stored memory: read by the next run, by other versions, by runs with other keys; cut off, changed, too large.

use std::net::SocketAddr;

use super::*;
use crate::farm::server::ServerId;
use crate::farm::server_counters::ServerCounters;
use crate::memory::large_invites::WentBy;
use crate::settings::{Affinity, Keys, Settings};
use crate::signed::branch::BranchKey;
use crate::signed::keyring::CallKey;

const WALL: u64 = 1_795_172_185_042_000;
const NOW: Time = Time::from_secs(100);

fn settings() -> Settings {
    let settings = Settings::small(Vec::new(), Vec::new(), [7; 16]);
    Settings { affinity: Affinity::Session, ..settings }
}

fn calls() -> Calls {
    let settings = settings();
    Calls::new(&settings, &ServerCounters::for_settings(&settings, 1))
}

fn keys(first: u8, oldest: u8) -> KeyRing {
    KeyRing::new(&Keys { tag: vec![(1, [first; 16].into()), (2, [oldest; 16].into())], heartbeat: None })
}

/// A memory of a thousand calls and one large INVITE.
fn some() -> Calls {
    let calls = calls();
    for call in 0..1000u64 {
        let key = CallKey(call.wrapping_mul(0x9E37_79B9_7F4A_7C15));
        let _ = calls.server_or(NOW, key, b"from", || Some((ServerId(call as u32 % 7), false)));
    }
    calls.large_invites().note(NOW, BranchKey(5), place(), WentBy::Stream);
    calls
}

fn place() -> SocketAddr {
    "10.0.0.1:5060".parse().unwrap()
}

#[test]
fn the_next_run_knows_each_call_for_as_long_as_this_one_would_have() {
    let (before, after, keys) = (some(), calls(), keys(1, 2));
    let bytes = to_bytes(&before, &keys, NOW, WALL);
    // Another process: its clock begins anew.
    let start = Time::from_millis(3);
    let restored = restore(&bytes, &after, &keys, start, WALL + 2_000_000).unwrap();
    assert_eq!(restored, Restored { calls: 1000, left_out: 0, away: Duration::from_secs(2) });
    for call in 0..1000u64 {
        let key = CallKey(call.wrapping_mul(0x9E37_79B9_7F4A_7C15));
        assert_eq!(after.server_of(start, key), Some(ServerId(call as u32 % 7)));
        assert_eq!(after.mark(start, key), before.mark(NOW, key));
        let left = settings().new_call_time - Duration::from_secs(2);
        assert_eq!(
            after.server_of(start + left - Duration::from_millis(100), key),
            Some(ServerId(call as u32 % 7))
        );
        assert_eq!(after.server_of(start + left + Duration::from_millis(200), key), None);
    }
    assert_eq!(after.large_invites().went_by(start, BranchKey(5), place()), Some(WentBy::Stream));
}

#[test]
fn what_expired_meanwhile_is_left_out_and_a_clock_set_back_prolongs_nothing() {
    let (keys, bytes) = (keys(1, 2), to_bytes(&some(), &keys(1, 2), NOW, WALL));
    let late = restore(&bytes, &calls(), &keys, Time::ZERO, WALL + 40_000_000).unwrap();
    assert_eq!((late.calls, late.left_out), (0, 1000), "32 s are over; the large INVITE may ring on");
    let after = calls();
    assert_eq!(
        restore(&bytes, &after, &keys, Time::ZERO, WALL - 3_600_000_000).unwrap().away,
        Duration::ZERO
    );
    assert_eq!(after.server_of(Time::from_secs(33), CallKey(0)), None);
}

#[test]
fn what_these_keys_did_not_sign_is_not_read() {
    let bytes = to_bytes(&some(), &keys(1, 2), NOW, WALL);
    let read = |bytes: &[u8], keys: &KeyRing| {
        let calls = calls();
        let outcome = restore(bytes, &calls, keys, Time::ZERO, WALL);
        assert!(outcome.is_ok() || calls.known_calls().is_empty(), "half of a file was taken");
        outcome.map(|restored| restored.calls)
    };
    assert_eq!(read(&bytes, &keys(1, 2)), Ok(1000));
    assert_eq!(read(&bytes, &keys(3, 2)), Err(NotRestored::Damaged), "another key of the same id");
    assert_eq!(read(&bytes, &keys(1, 3)), Err(NotRestored::Keys), "the calls' hashes hang on the oldest key");
    let other_id = KeyRing::new(&Keys { tag: vec![(9, [1; 16].into())], heartbeat: None });
    assert_eq!(read(&bytes, &other_id), Err(NotRestored::Keys));
    assert_eq!(read(b"", &keys(1, 2)), Err(NotRestored::NoMemory));
    assert_eq!(read(b"tag 1 00112233", &keys(1, 2)), Err(NotRestored::NoMemory));
    let mut newer = bytes.clone();
    newer[NAME.len()] = VERSION + 1;
    assert_eq!(read(&newer, &keys(1, 2)), Err(NotRestored::Version));
    for length in (NAME.len() + 1..bytes.len()).step_by(13) {
        assert!(read(&bytes[..length], &keys(1, 2)).is_err(), "cut off after {length} bytes");
    }
    for at in (0..bytes.len()).step_by(97) {
        let mut changed = bytes.clone();
        changed[at] ^= 1;
        assert!(read(&changed, &keys(1, 2)).is_err(), "changed at {at}");
    }
}

#[test]
fn entries_and_parts_of_a_later_version_are_skipped_where_they_are_unknown() {
    let keys = keys(1, 2);
    let mut bytes = to_bytes(&calls(), &keys, NOW, WALL);
    bytes.truncate(NAME.len() + 2 + 16);
    // A part of another kind, then a call with four bytes more than today's.
    bytes.extend([200, 3, 0, 0, 0, 2, 1, 2, 3, 4, 5, 6]);
    bytes.extend([KNOWN_CALLS, ENTRY_BYTES as u8 + 4, 0, 0, 0, 1]);
    bytes.extend(77u64.to_be_bytes());
    bytes.extend([0, 0, 0, 3, 0, 0, 0, 0]);
    bytes.extend(10_000u32.to_be_bytes());
    bytes.extend([9; 4]);
    bytes.extend(keys.memory_authenticator(1, &bytes).unwrap().to_be_bytes());
    let after = calls();
    assert_eq!(restore(&bytes, &after, &keys, Time::ZERO, WALL).unwrap().calls, 1);
    assert_eq!(after.server_of(Time::from_secs(9), CallKey(77)), Some(ServerId(3)));
}

#[test]
fn a_full_memory_takes_what_it_has_room_for() {
    let keys = keys(1, 2);
    let bytes = to_bytes(&some(), &keys, NOW, WALL);
    let settings = Settings { sessions_max: 100, ..settings() };
    let small = Calls::new(&settings, &ServerCounters::for_settings(&settings, 1));
    let restored = restore(&bytes, &small, &keys, Time::ZERO, WALL).unwrap();
    assert_eq!((restored.calls, restored.left_out), (100, 900));
}

/// The form of version 1: a load manager of today must read what an old one wrote.
#[test]
fn the_form_of_version_1_stays() {
    let keys = keys(1, 2);
    let calls = calls();
    let _ = calls.server_or(NOW, CallKey(0x0102_0304_0506_0708), b"from", || Some((ServerId(9), false)));
    let text: String = to_bytes(&calls, &keys, NOW, WALL).iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(text, GOLDEN);
}

const GOLDEN: &str = "7374726f77676572206d656d6f72790101aadcacee00da2e4d000660b318666c5001140000\
    0001010203040506070800000009a19e000000007d37021400000000252f189614534f13";
