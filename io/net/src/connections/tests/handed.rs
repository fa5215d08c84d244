//! Connections that another process goes on with.

use std::io::Write as _;

use sip::Transport;

use super::*;

const TCP: &[Transport] = &[Transport::Tcp];

#[test]
fn a_half_message_is_completed_and_messages_name_the_same_connection() {
    let mut first = Bench::new();
    let (mut half, mut silent, gone) = (first.client(), first.client(), first.client());
    let text = message(5);
    silent.write_all(message(1).as_bytes()).unwrap();
    half.write_all(&text.as_bytes()[..40]).unwrap();
    first.until("they are there", |bench| {
        bench.messages.len() == 1 && bench.count("stream_bytes_in") == message(1).len() as u64 + 40
    });
    drop(gone);
    first.until("one is gone", |bench| bench.closed.len() == 1);
    let (stale, known) = (first.closed[0].0, first.messages[0].1);
    let (mut next, _) = first.handed_over(TCP);
    assert_eq!(next.connections.open_count(), 2);
    half.write_all(&text.as_bytes()[40..]).unwrap();
    next.until("the rest", |bench| bench.messages.len() == 1);
    assert_eq!(next.messages[0].0, text);
    next.send("to the silent one", back(known, false));
    read_exactly(&mut silent, "to the silent one");
    let nowhere = Target::Connection { listener: 0, id: stale, to: known.remote, or_connect: false };
    next.send("to nobody", nowhere);
    assert_eq!(next.count("messages_without_connection"), 1);
    // The listener goes on, and what waits in it.
    let mut new = next.client();
    new.write_all(message(2).as_bytes()).unwrap();
    next.until("a new one", |bench| bench.messages.len() == 2);
    assert_ne!(next.messages[1].1.connection, Some(stale));
    drop((half, silent, new));
    next.until("they are half closed", |bench| bench.count("connections_half_closed") == 3);
    next.pass(Limits::default().half_closed_time);
    next.until("all end", |bench| bench.closed.len() == 3);
    assert_eq!(next.connections.open_count(), 0);
}

#[test]
fn what_was_not_written_follows_in_order_and_unanswered_ends_are_told() {
    let mut first = Bench::new();
    let (listener, to) = server();
    first.send(&message(0), to);
    let mut peer = listener.accept().unwrap().0;
    first.until("it is open", |bench| bench.count("connections_opened") == 1);
    // More than the kernel takes.
    let long = "x".repeat(500_000);
    let mut all = message(0);
    for number in 1..12 {
        let text = format!("{number:06}{long}");
        first.send(&text, to);
        all.push_str(&text);
        if first.count("buffered_bytes") > 0 {
            break;
        }
    }
    assert!(first.count("buffered_bytes") > 0);
    let (mut next, _) = first.handed_over(TCP);
    assert!(next.count("buffered_bytes") > 0);
    let reader = std::thread::spawn(move || {
        read_exactly(&mut peer, &all);
        peer
    });
    next.until("all is written", |_| reader.is_finished());
    let peer = reader.join().unwrap();
    // The same connection reaches the server.
    next.send("once more", to);
    let mut peer = peer;
    read_exactly(&mut peer, "once more");
    assert_eq!((next.count("connections_opened"), next.count("buffered_bytes")), (0, 0));
    drop((peer, listener));
    next.until("it ends", |bench| bench.closed.len() == 1);
}

#[test]
fn a_connection_of_a_listener_that_is_gone_is_closed() {
    let mut first = Bench::on(&[Transport::Tcp, Transport::Tcp], Limits::default(), Arc::default());
    let second = first.connections.local_addresses().nth(1).unwrap().unwrap();
    let (mut stays, mut leaves) = (first.client(), TcpStream::connect(second).unwrap());
    stays.write_all(message(1).as_bytes()).unwrap();
    leaves.write_all(message(2).as_bytes()).unwrap();
    first.until("both are there", |bench| bench.messages.len() == 2);
    let (next, _) = first.handed_over(TCP);
    assert_eq!(next.connections.open_count(), 1);
    assert_eq!(leaves.read(&mut [0; 8]).unwrap(), 0, "it is closed");
}

#[test]
fn no_bytes_do_harm() {
    let mut first = Bench::new();
    let mut client = first.client();
    client.write_all(&message(3).as_bytes()[..50]).unwrap();
    first.until("half a message", |bench| bench.count("stream_bytes_in") == 50);
    let (part, _) = first.connections.part();
    for at in 0..part.bytes.len() {
        let mut wrong = part.bytes.clone();
        wrong[at] ^= 0xFF;
        for bytes in [&wrong[..], &part.bytes[..at]] {
            let mut next = Bench::new();
            let descriptor = client.try_clone().unwrap().into();
            next.connections.restore(bytes, vec![descriptor], first.now);
            next.turn(Duration::ZERO);
        }
    }
}
