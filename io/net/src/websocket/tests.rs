//! A session that gets bytes, cut at the worst places.

use proptest::prelude::*;

use super::*;

const REQUEST: &str = "GET / HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
                       Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Protocol: sip\r\n\
                       Sec-WebSocket-Version: 13\r\n\r\n";

/// A masked frame; `first` is its first byte.
fn framed(first: u8, payload: &[u8]) -> Vec<u8> {
    let mask = [0x11, 0x22, 0x33, 0x44];
    let mut bytes = OwnHead::new(Kind::Text, payload.len()).bytes().to_vec();
    bytes[0] = first;
    bytes[1] |= 0x80;
    bytes.extend_from_slice(&mask);
    bytes.extend(payload.iter().enumerate().map(|(at, byte)| byte ^ mask[at % 4]));
    bytes
}

/// An open session, what it handed out, and how it ended.
fn fed(bytes: &[u8], part: usize) -> (WebSocket, Vec<Vec<u8>>, Taken) {
    let mut session = WebSocket { is_open: true, ..WebSocket::default() };
    let (mut messages, mut all) = (Vec::new(), Taken::default());
    for part in bytes.chunks(part) {
        let taken = session.take_in(part, Time::ZERO, &mut |message| messages.push(message.to_vec()));
        all.messages += taken.messages;
        all.pings += taken.pings;
        all.answer.extend(taken.answer);
        all.end = all.end.or(taken.end);
        if all.end.is_some() {
            break;
        }
    }
    (session, messages, all)
}

#[test]
fn the_upgrade_comes_first_and_what_follows_is_read() {
    let mut bytes = REQUEST.as_bytes().to_vec();
    bytes.extend(framed(0x81, b"message"));
    for part in [1, 7, bytes.len()] {
        let (mut session, mut messages) = (WebSocket::default(), Vec::new());
        let mut answer = Vec::new();
        for part in bytes.chunks(part) {
            let taken = session.take_in(part, Time::ZERO, &mut |message| messages.push(message.to_vec()));
            answer.extend(taken.answer);
        }
        assert!(answer.starts_with(b"HTTP/1.1 101 ") && session.is_open());
        assert_eq!(messages, [b"message"]);
        assert_eq!((session.held(), session.partial_since()), (0, None));
    }
    let taken =
        WebSocket::default().take_in(b"GET / HTTP/1.1\r\n\r\n", Time::ZERO, &mut |_| panic!("a message"));
    assert_eq!(taken.end, Some(End::RefusedUpgrade));
    assert!(taken.answer.starts_with(b"HTTP/1.1 426 "));
}

#[test]
fn fragments_make_a_message_with_pings_between_them() {
    let bytes = [
        framed(0x01, b"one "),
        framed(0x89, b"alive"),
        framed(0x00, b"two "),
        framed(0x80, b"three"),
        framed(0x8A, b""),
        framed(0x81, b"\r\n\r\n"),
        framed(0x82, b"\xFF"),
    ]
    .concat();
    for part in [1, 3, bytes.len()] {
        let (session, messages, taken) = fed(&bytes, part);
        assert_eq!(messages, [&b"one two three"[..], b"\xFF"]);
        assert_eq!(taken.answer, b"\x8A\x05alive\x81\x02\r\n");
        assert_eq!((taken.pings, taken.end, session.held()), (2, None, 0));
    }
}

#[test]
fn what_is_wrong_ends_it_with_its_code() {
    let long = vec![b'x'; MESSAGE_BYTES_MAX];
    for (bytes, end, code) in [
        (vec![0x81, 0x01, b'x'], End::Unmasked, 1002),
        (framed(0x80, b"of nothing"), End::WrongFrame, 1002),
        ([framed(0x01, b"a"), framed(0x81, b"b")].concat(), End::WrongFrame, 1002),
        (framed(0x83, b""), End::WrongFrame, 1002),
        (framed(0x81, b"\xC3\x28"), End::NotUtf8, 1007),
        ([framed(0x01, &long), framed(0x80, b"x")].concat(), End::TooLarge, 1009),
        (vec![0x81, 0xFF, 0, 0, 1, 0, 0, 0, 0, 0, 1, 2, 3, 4], End::TooLarge, 1009),
    ] {
        let (_, messages, taken) = fed(&bytes, bytes.len());
        assert_eq!((messages.len(), taken.end), (0, Some(end)));
        assert_eq!(taken.answer[0], 0x88);
        assert_eq!(u16::from_be_bytes([taken.answer[2], taken.answer[3]]), code);
        assert!(usize::from(taken.answer[1]) == taken.answer.len() - 2 && taken.answer.len() <= 127);
    }
    assert_eq!(fed(&framed(0x81, &long), 4096).1, [long]);
}

#[test]
fn a_close_is_answered_with_its_code() {
    for (payload, answer) in
        [(&b""[..], &b"\x88\x00"[..]), (b"\x03\xE8gone", b"\x88\x02\x03\xE8"), (b"\x03", b"\x88\x00")]
    {
        let (_, _, taken) = fed(&framed(0x88, payload), 1);
        assert_eq!((&taken.answer[..], taken.end), (answer, Some(End::Closed)));
    }
}

#[test]
fn a_flood_of_pings_is_answered_in_part() {
    let bytes = framed(0x89, &[b'p'; CONTROL_MAX]).repeat(1000);
    let (_, _, taken) = fed(&bytes, bytes.len());
    assert_eq!(taken.pings, 1000);
    assert!(taken.answer.len() <= (PONGS_MAX + 1) * (CONTROL_MAX + 2));
}

#[test]
fn a_partial_frame_ages_from_its_first_byte() {
    let mut session = WebSocket { is_open: true, ..WebSocket::default() };
    let whole = framed(0x81, b"message");
    for (second, byte) in whole[..whole.len() - 1].iter().enumerate() {
        session.take_in(&[*byte], Time::from_secs(second as u64), &mut |_| {});
        assert_eq!(session.partial_since(), Some(Time::ZERO));
    }
    session.take_in(&whole[whole.len() - 1..], Time::from_secs(99), &mut |_| {});
    assert_eq!(session.partial_since(), None);
}

#[test]
fn a_message_whose_fragments_do_not_end_ages_from_its_first() {
    let mut session = WebSocket { is_open: true, ..WebSocket::default() };
    let mut at = |second: u64, bytes: &[u8]| {
        session.take_in(bytes, Time::from_secs(second), &mut |_| {});
        session.partial_since()
    };
    let begun = Some(Time::from_secs(1));
    assert_eq!(at(1, &framed(0x01, b"MESSAGE")), begun);
    assert_eq!(at(2, &framed(0x00, b" sip")), begun);
    assert_eq!(at(3, &framed(0x89, b"ping")), begun);
    assert_eq!(at(4, &framed(0x00, b"")), begun);
    // After its end, the next message is as old as its own first byte.
    let (end, next) = (framed(0x80, b":a"), framed(0x01, b"MESSAGE"));
    assert_eq!(at(5, &[&end[..], &next[..3]].concat()), Some(Time::from_secs(5)));
    assert_eq!(at(6, &next[3..]), Some(Time::from_secs(5)));
    assert_eq!(at(7, &end), None);
    // A ping in parts is young again with each complete ping.
    let ping = framed(0x89, b"ping");
    assert_eq!(at(8, &ping[..3]), Some(Time::from_secs(8)));
    assert_eq!(at(9, &[&ping[3..], &ping[..3]].concat()), Some(Time::from_secs(9)));
}

#[test]
fn a_ping_between_fragments_takes_no_room_of_the_message() {
    let part = vec![b'x'; MESSAGE_BYTES_MAX - 1];
    let bytes =
        [framed(0x01, &part), framed(0x89, &[b'p'; CONTROL_MAX]), framed(0x80, b"x"), framed(0x81, b"next")];
    let (_, messages, taken) = fed(&bytes.concat(), 50_000);
    assert_eq!((messages.len(), taken.end), (2, None));
    assert_eq!(messages[0].len(), MESSAGE_BYTES_MAX);
}

#[test]
fn a_message_in_many_small_reads_is_copied_once() {
    let bytes = framed(0x81, &[b'x'; 60_000]);
    let mut session = WebSocket { is_open: true, ..WebSocket::default() };
    let mut places = std::collections::HashSet::new();
    for byte in &bytes[..bytes.len() - 1] {
        session.take_in(&[*byte], Time::ZERO, &mut |_| {});
        places.insert(session.partial.capacity());
    }
    assert!(places.len() < 20, "grown {} times", places.len());
}

proptest! {
    #[test]
    fn any_bytes_are_survived_and_bounded(
        bytes in proptest::collection::vec(any::<u8>(), 0..3000),
        open: bool,
        part in 1..200usize,
    ) {
        let mut session = WebSocket { is_open: open, ..WebSocket::default() };
        for part in bytes.chunks(part) {
            let taken = session.take_in(part, Time::ZERO, &mut |_| {});
            prop_assert!(session.held() <= 4 * MESSAGE_BYTES_MAX);
            if taken.end.is_some() {
                break;
            }
        }
    }

    #[test]
    fn messages_come_out_as_they_went_in(
        messages in proptest::collection::vec(proptest::collection::vec(b'a'..=b'z', 1..400), 1..10),
        part in 1..300usize,
    ) {
        let bytes: Vec<u8> = messages.iter().flat_map(|message| framed(0x81, message)).collect();
        let (_, out, taken) = fed(&bytes, part);
        prop_assert_eq!(out, messages);
        prop_assert_eq!(taken.end, None);
    }
}
