//! WebSocket on accepted connections: plain sockets that speak it by hand.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::sync::Arc;

use sip::Transport;

use super::bench::Bench;
use super::{back, message};
use crate::connections::Limits;

const REQUEST: &str = "GET /sip HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
                       Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Protocol: sip\r\n\
                       Sec-WebSocket-Version: 13\r\n\r\n";

fn bench() -> Bench {
    Bench::over(Transport::Ws, Limits::default(), Arc::default())
}

/// A masked frame of less than 64 KiB, with a mask that changes nothing.
fn framed(first: u8, payload: &[u8]) -> Vec<u8> {
    let mut bytes = vec![first, 0xFE];
    match payload.len() {
        0..=125 => bytes[1] = 0x80 | payload.len() as u8,
        length => bytes.extend_from_slice(&(length as u16).to_be_bytes()),
    }
    bytes.extend_from_slice(&[0; 4]);
    bytes.extend_from_slice(payload);
    bytes
}

/// A client whose upgrade was agreed to.
fn client(bench: &mut Bench) -> TcpStream {
    let done = bench.count("handshakes_done");
    let mut client = bench.client();
    client.write_all(REQUEST.as_bytes()).unwrap();
    bench.until("the upgrade", |bench| bench.count("handshakes_done") == done + 1);
    let mut answer = Vec::new();
    while !answer.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        client.read_exact(&mut byte).unwrap();
        answer.push(byte[0]);
    }
    assert!(answer.starts_with(b"HTTP/1.1 101 "));
    client
}

fn rest(client: &mut TcpStream) -> Vec<u8> {
    let mut bytes = Vec::new();
    client.read_to_end(&mut bytes).unwrap();
    bytes
}

#[test]
fn another_process_goes_on_within_a_frame() {
    let mut first = bench();
    let mut client = client(&mut first);
    let mut asking = first.client();
    let (request, frames) = (REQUEST.as_bytes(), framed(0x01, b"MESSAGE sip:a@b SIP/2.0\r\n"));
    asking.write_all(&request[..40]).unwrap();
    client.write_all(&frames).unwrap();
    let last = framed(0x80, b"Content-Length: 0\r\n\r\n");
    client.write_all(&last[..9]).unwrap();
    let bytes = (REQUEST.len() + 40 + frames.len() + 9) as u64;
    first.until("all has come", |bench| bench.count("stream_bytes_in") == bytes);
    let (mut next, _) = first.handed_over(&[Transport::Ws]);
    client.write_all(&last[9..]).unwrap();
    next.until("the message", |bench| bench.messages.len() == 1);
    assert_eq!(next.messages[0].0, "MESSAGE sip:a@b SIP/2.0\r\nContent-Length: 0\r\n\r\n");
    next.send("answer", back(next.messages[0].1, false));
    let mut answer = [0; 8];
    client.read_exact(&mut answer).unwrap();
    assert_eq!(&answer, b"\x81\x06answer");
    asking.write_all(&request[40..]).unwrap();
    next.until("the upgrade", |bench| bench.count("handshakes_done") == 1);
}

#[test]
fn messages_and_pings_go_both_ways() {
    let mut bench = bench();
    let mut client = client(&mut bench);
    let all: Vec<String> = (0..500).map(message).collect();
    let mut bytes: Vec<u8> = all.iter().flat_map(|text| framed(0x81, text.as_bytes())).collect();
    bytes.extend(framed(0x89, b"hello"));
    client.write_all(&bytes).unwrap();
    bench.until("all arrive", |bench| bench.messages.len() == 500);
    assert!(bench.messages.iter().map(|(text, _)| text).eq(&all));
    assert_eq!(bench.messages[0].1.transport, Transport::Ws);
    bench.until("the ping", |bench| bench.count("pings") == 1);
    let mut pong = [0; 7];
    client.read_exact(&mut pong).unwrap();
    assert_eq!(&pong, b"\x8A\x05hello");
    // Two messages of one turn are two frames, and a long message has a long head.
    let to = back(bench.messages[0].1, true);
    bench.send("short", to);
    bench.send(&"y".repeat(300), to);
    let mut frames = vec![0; 2 + 5 + 4 + 300];
    client.read_exact(&mut frames).unwrap();
    assert_eq!(&frames[..11], b"\x81\x05short\x81\x7E\x01\x2C");
    assert_eq!(bench.count("messages_out"), 2);
}

#[test]
fn what_the_peer_does_not_take_waits_in_whole_frames() {
    let mut bench = bench();
    let mut client = client(&mut bench);
    client.write_all(&framed(0x81, message(1).as_bytes())).unwrap();
    bench.until("it arrives", |bench| bench.messages.len() == 1);
    let to = back(bench.messages[0].1, false);
    let text = "z".repeat(60_000);
    let sent = 12;
    (0..sent).for_each(|_| bench.send(&text, to));
    let reader = std::thread::spawn(move || {
        let mut all = vec![0; sent * (4 + 60_000)];
        client.read_exact(&mut all).unwrap();
        all
    });
    bench.until("the reader has all", |_| reader.is_finished());
    let all = reader.join().unwrap();
    assert!(all.chunks(60_004).all(|frame| frame.starts_with(b"\x81\x7E\xEA\x60zzz")));
    assert_eq!(bench.count("messages_out"), sent as u64);
}

#[test]
fn a_misbehaving_client_is_told_counted_and_closed() {
    for (bytes, counter, code) in [
        (vec![0x81, 1, b'x'], "frames_unmasked", 1002u16),
        (framed(0x80, b"x"), "frames_wrong", 1002),
        (vec![0x81, 0xFF, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0], "frames_too_large", 1009),
        (framed(0x81, b"\xFF"), "texts_not_utf8", 1007),
    ] {
        let mut bench = bench();
        let mut client = client(&mut bench);
        client.write_all(&bytes).unwrap();
        bench.until(counter, |bench| bench.count(counter) == 1);
        let said = rest(&mut client);
        assert_eq!((said[0], &said[2..4]), (0x88, &code.to_be_bytes()[..]));
        drop(client);
        bench.until("it is closed", |bench| bench.count("websockets_ended") == 1);
        assert_eq!(bench.connections.open_count(), 0);
    }
}

#[test]
fn a_close_is_answered_and_the_connection_ends() {
    let mut bench = bench();
    let mut client = client(&mut bench);
    client.write_all(&framed(0x88, b"\x03\xE8")).unwrap();
    bench.until("the end", |bench| bench.count("stream_bytes_in") > REQUEST.len() as u64);
    assert_eq!(rest(&mut client), b"\x88\x02\x03\xE8");
    drop(client);
    bench.until("it is closed", |bench| bench.connections.open_count() == 0);
}

#[test]
fn who_wants_something_else_is_told_and_who_says_nothing_is_let_go() {
    let mut bench = bench();
    let mut client = bench.client();
    client.write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
    bench.until("the refusal", |bench| bench.count("upgrades_refused") == 1);
    assert!(rest(&mut client).starts_with(b"HTTP/1.1 426 "));
    let _silent = bench.client();
    bench.until("two are in", |bench| bench.count("connections_accepted") == 2);
    bench.pass(Limits::default().handshake_time);
    assert_eq!(bench.count("handshakes_slow"), 1);
    assert_eq!(bench.connections.open_count(), 0);
}

#[test]
fn nobody_is_connected_to() {
    let mut bench = bench();
    bench.send("lost", super::nobody());
    assert_eq!(bench.count("messages_without_connection"), 1);
    assert_eq!(bench.connections.open_count(), 0);
}

#[test]
fn a_message_whose_fragments_do_not_end_costs_its_connection() {
    let mut bench = bench();
    let (mut endless, mut good) = (client(&mut bench), client(&mut bench));
    endless.write_all(&framed(0x01, b"MESSAGE sip:a@b SIP/2.0\r\n")).unwrap();
    let tenth = Limits::default().partial_time / 10;
    for _ in 0..9 {
        let before = bench.count("stream_bytes_in");
        endless.write_all(&framed(0x00, b"X: y\r\n")).unwrap();
        good.write_all(&framed(0x81, message(0).as_bytes())).unwrap();
        bench.until("both arrive", |bench| bench.count("stream_bytes_in") > before + 50);
        bench.pass(tenth - base::Duration::from_millis(1200));
    }
    assert_eq!(bench.connections.open_count(), 2);
    bench.pass(4 * tenth);
    assert_eq!((bench.connections.open_count(), bench.count("connections_closed_slow")), (1, 1));
    assert!(rest(&mut endless).is_empty());
}
