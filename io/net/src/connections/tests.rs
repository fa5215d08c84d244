//! Connections over real sockets on loopback. The test sets the time.

mod bench;
mod half_closed;
mod handed;
mod introduced;
mod secure;
mod shares;
mod websocket;

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};

use base::Duration;
use sip::{Flow, Target};

use super::accepting::ACCEPTS_PER_TURN;
use super::*;
use bench::Bench;

fn message(number: usize) -> String {
    let body = "x".repeat(number % 7);
    format!(
        "MESSAGE sip:a@b SIP/2.0\r\nCSeq: {number} MESSAGE\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    )
}

fn server() -> (TcpListener, Target) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let to = listener.local_addr().unwrap();
    (listener, Target::Stream { listener: 0, to })
}

/// An address where nobody listens.
fn nobody() -> Target {
    server().1
}

fn datagram(port: u16) -> Target {
    Target::Datagram { listener: 1, to: ([127, 0, 0, 1], port).into() }
}

fn back(flow: Flow, or_connect: bool) -> Target {
    Target::Connection { listener: 0, id: flow.connection.unwrap(), to: flow.remote, or_connect }
}

fn read_exactly(stream: &mut TcpStream, text: &str) {
    let mut buffer = vec![0; text.len()];
    stream.read_exact(&mut buffer).unwrap();
    assert_eq!(String::from_utf8_lossy(&buffer), text);
}

#[test]
fn a_message_split_at_every_byte_arrives_whole() {
    let mut bench = Bench::new();
    let mut client = bench.client();
    client.set_nodelay(true).unwrap();
    let whole = message(3);
    for split in 1..whole.len() {
        client.write_all(&whole.as_bytes()[..split]).unwrap();
        bench.until("a part arrives", |bench| {
            bench.count("stream_bytes_in") == ((split - 1) * whole.len() + split) as u64
        });
        assert_eq!(bench.messages.len(), split - 1);
        client.write_all(&whole.as_bytes()[split..]).unwrap();
        bench.until("the rest arrives", |bench| bench.messages.len() == split);
        assert_eq!(bench.messages[split - 1].0, whole);
    }
}

#[test]
fn stray_bytes_between_messages_are_skipped_where_the_limits_say_so() {
    for stray_bytes in [true, false] {
        let mut bench = Bench::with(Limits { stray_bytes, ..Limits::default() });
        let mut client = bench.client();
        let bytes = format!("\0{}\0\0\n{}\0", message(1), message(2));
        client.write_all(bytes.as_bytes()).unwrap();
        if stray_bytes {
            bench.until("both arrive", |bench| bench.messages.len() == 2);
            client.write_all(message(3).as_bytes()).unwrap();
            bench.until("the next arrives", |bench| bench.messages.len() == 3);
        } else {
            bench.until("the frame is broken", |bench| bench.count("frames_broken") == 1);
            assert!(bench.messages.is_empty());
        }
    }
}

#[test]
fn many_messages_in_one_segment_are_cut_apart_in_order() {
    let mut bench = Bench::new();
    let mut client = bench.client();
    let all: Vec<String> = (0..2000).map(message).collect();
    client.write_all(all.concat().as_bytes()).unwrap();
    bench.until("all arrive", |bench| bench.messages.len() == 2000);
    assert!(bench.messages.iter().map(|(text, _)| text).eq(&all));
    let flow = bench.messages[0].1;
    assert_eq!((flow.transport, flow.remote), (Transport::Tcp, client.local_addr().unwrap()));
}

#[test]
fn the_answer_goes_back_on_the_connection() {
    let mut bench = Bench::new();
    let mut client = bench.client();
    client.write_all(message(0).as_bytes()).unwrap();
    bench.until("it arrives", |bench| bench.messages.len() == 1);
    bench.send("answer", back(bench.messages[0].1, false));
    read_exactly(&mut client, "answer");
}

#[test]
fn pings_are_answered() {
    let mut bench = Bench::new();
    let mut client = bench.client();
    client.write_all(b"\r\n\r\n").unwrap();
    bench.until("one ping", |bench| bench.count("pings") == 1);
    read_exactly(&mut client, "\r\n");
    client.write_all(format!("\r\n\r\n{}\r\n\r\n", message(1)).as_bytes()).unwrap();
    bench.until("a message among pings", |bench| bench.count("pings") == 3);
    read_exactly(&mut client, "\r\n\r\n");
    assert_eq!(bench.messages.len(), 1);
}

#[test]
fn a_connection_is_opened_on_demand_and_used_again() {
    let mut bench = Bench::new();
    let (server, to) = server();
    for text in ["one ", "two ", "three "] {
        bench.send(text, to);
    }
    bench.until("all are written", |bench| bench.count("messages_out") == 3);
    let (mut stream, _) = server.accept().unwrap();
    read_exactly(&mut stream, "one two three ");
    bench.send("four", to);
    read_exactly(&mut stream, "four");
    // What the server asks comes over the same connection.
    stream.write_all(message(2).as_bytes()).unwrap();
    bench.until("the server's request", |bench| bench.messages.len() == 1);
    assert_eq!(bench.connections.open_count(), 1);
    assert_eq!(bench.count("connections_opened"), 1);
}

#[test]
fn messages_of_one_turn_to_one_connection_keep_their_order_among_others() {
    let mut bench = Bench::new();
    let (one, to_one) = server();
    let (other, to_other) = server();
    let mut bytes = Vec::new();
    for number in 0..200 {
        let start = bytes.len() as u32;
        bytes.extend_from_slice(format!("{number:04}").as_bytes());
        let to = if number % 2 == 0 { to_one } else { to_other };
        bench.connections.stage(&bytes, start..start + 4, to, None, bench.now);
    }
    bench.connections.flush(&bytes, bench.now);
    bench.until("all are written", |bench| bench.count("messages_out") == 200);
    for (server, first) in [(one, 0), (other, 1)] {
        let expected: String = (first..200).step_by(2).map(|number| format!("{number:04}")).collect();
        read_exactly(&mut server.accept().unwrap().0, &expected);
    }
}

#[test]
fn nobody_listens_so_each_message_fails_and_its_fallback_is_handed_back() {
    let mut bench = Bench::new();
    let to = nobody();
    bench.send_or("large", to, Some(("for udp", datagram(7))));
    bench.send("no fallback", to);
    bench.until("both failed", |bench| bench.failed.len() == 2);
    assert_eq!(bench.failed, [to, to]);
    assert_eq!(bench.fallbacks, [("for udp".to_owned(), datagram(7))]);
    assert_eq!(bench.connections.open_count(), 0);
    assert_eq!(bench.closed.len(), 1);
}

#[test]
fn an_attempt_to_connect_has_an_end() {
    let mut bench = Bench::new();
    let (_server, to) = server();
    // The event of the connection is only looked at after the time has passed.
    bench.send("late", to);
    bench.now = bench.now + Limits::default().connect_time;
    bench.connections.handle_timeout(bench.now);
    bench.turn(Duration::ZERO);
    assert_eq!(bench.failed, [to]);
    assert_eq!((bench.count("connect_failures"), bench.count("connections_open")), (1, 0));
}

#[test]
fn idle_connections_are_closed_and_opened_again() {
    let mut bench = Bench::new();
    let (server, to) = server();
    let mut client = bench.client();
    bench.send("first", to);
    bench.until("written", |bench| bench.count("messages_out") == 1 && bench.connections.open_count() == 2);
    let mut stream = server.accept().unwrap().0;
    read_exactly(&mut stream, "first");
    bench.pass(Limits::default().idle_opened - Duration::from_secs(5));
    assert_eq!(bench.connections.open_count(), 2);
    bench.pass(Duration::from_secs(5));
    assert_eq!((bench.connections.open_count(), bench.count("connections_closed_idle")), (1, 1));
    assert_eq!(stream.read(&mut [0]).unwrap(), 0);
    bench.send("second", to);
    bench.until("written again", |bench| bench.count("messages_out") == 2);
    read_exactly(&mut server.accept().unwrap().0, "second");
    bench.pass(Limits::default().idle_accepted);
    assert_eq!(client.read(&mut [0]).unwrap(), 0);
}

#[test]
fn a_partial_message_does_not_wait_for_ever() {
    let mut bench = Bench::new();
    let (mut slow, mut line_end) = (bench.client(), bench.client());
    slow.write_all(b"INVITE sip:").unwrap();
    line_end.write_all(b"\r\n").unwrap();
    bench.until("both arrive", |bench| bench.count("stream_bytes_in") == 13);
    bench.pass(Limits::default().partial_time - Duration::from_secs(3));
    // A byte now and then does not help.
    slow.write_all(b"a").unwrap();
    bench.until("one byte", |bench| bench.count("stream_bytes_in") == 14);
    assert_eq!(bench.connections.open_count(), 2);
    bench.pass(Duration::from_secs(3));
    assert_eq!((bench.connections.open_count(), bench.count("connections_closed_slow")), (1, 1));
    assert_eq!(slow.read(&mut [0]).unwrap(), 0);
    // Half a keep-alive is not a message.
    line_end.write_all(message(1).as_bytes()).unwrap();
    bench.until("the other goes on", |bench| bench.messages.len() == 1);
}

#[test]
fn a_peer_that_does_not_read_costs_a_bounded_queue_and_then_its_connection() {
    let limits = Limits { queue_bytes: 100_000, ..Limits::default() };
    let mut bench = Bench::with(limits);
    let (server, to) = server();
    let text = "x".repeat(10_000);
    bench.send(&text, to);
    bench.until("connected", |bench| bench.count("connections_opened") == 1);
    let _unread = server.accept().unwrap();
    let mut sent = 1;
    while bench.count("messages_dropped_full") < 20 {
        bench.send(&text, to);
        sent += 1;
        assert!(sent < 5000, "the queue has no bound");
    }
    let written = bench.count("messages_out");
    assert!((sent - 20 - 10..=sent - 20 - 9).contains(&written), "{sent} sent, {written} written");
    bench.turn(Duration::ZERO);
    assert_eq!(bench.failed.len(), 20);
    bench.pass(limits.stuck_time);
    assert_eq!((bench.count("connections_closed_stuck"), bench.connections.open_count()), (1, 0));
    assert_eq!(bench.failed.len() as u64, sent - written);
}

#[test]
fn what_waits_is_written_whole_when_the_peer_reads_again() {
    let mut bench = Bench::with(Limits { queue_bytes: 8 << 20, ..Limits::default() });
    let (server, to) = server();
    bench.send("", to);
    bench.until("connected", |bench| bench.count("connections_opened") == 1);
    let mut stream = server.accept().unwrap().0;
    let text: String = (0..1_000_000).map(|number| format!("{number:07}\n")).collect();
    for part in text.as_bytes().chunks(5000) {
        bench.send(std::str::from_utf8(part).unwrap(), to);
    }
    assert!(bench.count("messages_out") < 1600, "nothing had to wait");
    let reader = std::thread::spawn(move || {
        let mut buffer = vec![0; 8_000_000];
        stream.read_exact(&mut buffer).unwrap();
        buffer
    });
    bench.until("all is written", |bench| bench.count("messages_out") == 1601);
    assert!(reader.join().unwrap() == text.as_bytes());
    assert_eq!(bench.count("messages_dropped_full"), 0);
}

#[test]
fn a_stale_id_reaches_nobody() {
    let mut bench = Bench::new();
    let mut first = bench.client();
    first.write_all(message(0).replace("MESSAGE", "ACK").as_bytes()).unwrap();
    bench.until("the first", |bench| bench.messages.len() == 1);
    drop(first);
    bench.until("it is gone", |bench| bench.closed.len() == 1);
    let mut second = bench.client();
    second.write_all(message(1).as_bytes()).unwrap();
    bench.until("the second", |bench| bench.messages.len() == 2);
    let (old, new) = (bench.messages[0].1, bench.messages[1].1);
    assert_eq!(old.connection.unwrap().slot, new.connection.unwrap().slot);
    let stale = back(old, false);
    bench.send("for the first", stale);
    bench.send("for the second", back(new, false));
    read_exactly(&mut second, "for the second");
    bench.turn(Duration::ZERO);
    assert_eq!(bench.failed, [stale]);
    assert_eq!(bench.count("messages_without_connection"), 1);
}

#[test]
fn an_answer_finds_the_peer_though_its_connection_is_gone() {
    let mut bench = Bench::new();
    let mut client = bench.client();
    client.write_all(message(0).as_bytes()).unwrap();
    bench.until("the request", |bench| bench.messages.len() == 1);
    drop(client);
    for _ in 0..5 {
        bench.turn(Duration::from_millis(1));
    }
    let (sent_by, other) = server();
    let Target::Stream { to, .. } = other else { unreachable!() };
    let id = bench.messages[0].1.connection.unwrap();
    // The peer may have closed only its own direction; this shows when the answer is refused.
    bench.send("lost", Target::Connection { listener: 0, id, to, or_connect: true });
    bench.until("it is gone", |bench| bench.closed.len() == 1);
    assert_eq!(bench.fallbacks, [("lost".to_owned(), other)]);
    bench.send("answer", Target::Connection { listener: 0, id, to, or_connect: true });
    bench.until("written", |bench| bench.count("messages_out") == 2);
    read_exactly(&mut sent_by.accept().unwrap().0, "answer");
}

#[test]
fn a_broken_frame_is_answered_and_ends_the_connection() {
    let mut bench = Bench::new();
    bench.answer_broken = Some("SIP/2.0 400 Bad Request");
    let mut client = bench.client();
    client.write_all(format!("{}GET / HTTP/1.1\r\n\r\n", message(0)).as_bytes()).unwrap();
    bench.until("it broke", |bench| bench.broken.len() == 1);
    assert_eq!(bench.messages.len(), 1);
    // More of the same must not reset the connection before the answer is read.
    let _ = client.write_all(&[b'x'; 10_000]);
    bench.turn(Duration::from_millis(10));
    let mut answer = String::new();
    client.read_to_string(&mut answer).unwrap();
    assert_eq!(answer, "SIP/2.0 400 Bad Request");
    drop(client);
    bench.until("closed", |bench| bench.closed.len() == 1);
    assert_eq!((bench.messages.len(), bench.broken.len()), (1, 1));
}

#[test]
fn a_server_that_leaves_the_length_out_keeps_its_connection_and_a_client_does_not() {
    let mut bench = Bench::new();
    let (server, to) = server();
    bench.send("request", to);
    bench.until("connected", |bench| bench.count("messages_out") == 1);
    let mut stream = server.accept().unwrap().0;
    let answer = "SIP/2.0 200 OK\r\nCSeq: 1 INVITE\r\n\r\n";
    for count in 1..4 {
        stream.write_all(answer.as_bytes()).unwrap();
        bench.until("an answer", |bench| bench.messages.len() == count);
        assert_eq!(bench.messages[count - 1].0, answer);
    }
    assert_eq!((bench.count("messages_without_length"), bench.count("frames_broken")), (3, 0));
    bench.client().write_all(answer.as_bytes()).unwrap();
    bench.until("it broke", |bench| bench.broken.len() == 1);
    assert_eq!(bench.count("messages_without_length"), 3);
    // The program does not guess the length of a body.
    stream
        .write_all(format!("{}v=0\r\n", answer.replace("\r\n\r\n", "\r\nc: a/b\r\n\r\n")).as_bytes())
        .unwrap();
    bench.until("it broke too", |bench| bench.broken.len() == 2);
}

#[test]
fn one_source_and_the_worker_have_bounds() {
    let mut bench = Bench::with(Limits { per_source: 2, ..Limits::default() });
    let mut clients: Vec<_> = (0..3).map(|_| bench.client()).collect();
    bench.until("all are seen", |bench| bench.count("connections_refused_source_full") == 1);
    assert_eq!(bench.connections.open_count(), 2);
    // One that goes makes room.
    clients.remove(0);
    bench.until("gone", |bench| bench.connections.open_count() == 1);
    let _client = bench.client();
    bench.until("room again", |bench| bench.connections.open_count() == 2);

    let mut bench = Bench::with(Limits { connections: 2, ..Limits::default() });
    let _clients: Vec<_> = (0..3).map(|_| bench.client()).collect();
    bench.until("all are seen", |bench| bench.count("connections_refused_worker_full") == 1);
    assert_eq!(bench.connections.open_count(), 2);
    let (_server, to) = server();
    bench.send("a server comes first", to);
    bench.turn(Duration::ZERO);
    assert_eq!((bench.failed.len(), bench.count("connections_displaced")), (0, 1));
}

#[test]
fn a_crowd_is_admitted_without_waiting_for_a_tick() {
    let mut bench = Bench::new();
    let _clients: Vec<_> = (0..3 * ACCEPTS_PER_TURN).map(|_| bench.client()).collect();
    bench.until("all are in", |bench| bench.connections.open_count() == 3 * ACCEPTS_PER_TURN);
    assert!(!bench.connections.has_more());
}

#[test]
fn all_connections_together_have_a_bound_for_what_they_hold() {
    let mut bench = Bench::with(Limits { buffered_bytes: 10_000, ..Limits::default() });
    let mut clients: Vec<_> = (0..3).map(|_| bench.client()).collect();
    let part = format!("MESSAGE sip:a@b SIP/2.0\r\nContent-Length: 4900\r\n\r\n{}", "x".repeat(4000));
    for client in &mut clients {
        client.write_all(part.as_bytes()).unwrap();
    }
    bench.until("one had no room", |bench| bench.count("connections_closed_memory") == 1);
    assert_eq!(bench.connections.open_count(), 2);
    assert_eq!(bench.count("buffered_bytes"), 2 * part.len() as u64);
    // A message to a server takes the room of the source that holds the most, as long as that is enough.
    let (_server, to) = server();
    bench.send(&"y".repeat(20_000), to);
    bench.turn(Duration::ZERO);
    assert_eq!((bench.count("messages_dropped_full"), &bench.without_room[..]), (1, &[to][..]));
    assert_eq!((bench.count("connections_closed_memory"), bench.failed.len()), (2, 0));
    bench.send(&"y".repeat(2000), to);
    bench.until("written", |bench| bench.count("messages_out") == 1);
    // A complete message no longer counts as held.
    for client in &mut clients {
        let _ = client.write_all(&[b'x'; 900]);
    }
    bench.until("one is whole", |bench| bench.messages.len() == 1);
    assert_eq!(bench.count("buffered_bytes"), 0);
}

#[test]
fn a_connection_costs_little_while_it_is_idle() {
    assert!(size_of::<Connection>() <= 144, "{}", size_of::<Connection>());
}
