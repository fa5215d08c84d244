//! Connections that another process goes on with.

use std::io::Write as _;

use base::Network;
use base::fields::Reader;
use base::fields::other_build::{newer, older};
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

#[test]
fn one_value_more_costs_nothing_and_one_less_one_connection_at_most() {
    let limits = Limits { stray_bytes: true, ..Limits::default() };
    let mut first = Bench::with(limits);
    first.connections.trust_proxies(vec![vec![Network::parse("127.0.0.1").unwrap()]]);
    let (mut half, silent) = (first.client(), first.client());
    let text = message(5);
    half.write_all(format!("PROXY UNKNOWN\r\n\0{}", &text[..40]).as_bytes()).unwrap();
    silent.set_nodelay(true).unwrap();
    first.until("half a message, and nothing", |bench| {
        bench.count("stream_bytes_in") == 41 && bench.connections.introducing.len() == 1
    });
    let (listener, to) = server();
    first.send(&message(0), to);
    let peer = listener.accept().unwrap().0;
    first.until("it is open", |bench| bench.count("connections_opened") == 1);
    // More than the kernel takes.
    for _ in 0..12 {
        if first.count("buffered_bytes") < 1000 {
            first.send(&"x".repeat(500_000), to);
        }
    }
    assert!(first.count("buffered_bytes") > 1000);
    let (part, _) = first.connections.part();
    assert_eq!(part.descriptors.len(), 3);
    let go_on = |bytes: &[u8]| {
        let mut next = Bench::with(limits);
        // In the order of their slots, and the silent one in the end. The sockets of another process never block.
        let [one, two, three] = [&half, &peer, &silent].map(|stream| {
            stream.set_nonblocking(true).unwrap();
            stream.try_clone().unwrap().into()
        });
        let (all, left_out) = next.connections.restore(bytes, vec![one, two, three], first.now);
        assert_eq!(all, 3);
        (next, left_out)
    };
    let (next, left_out) = go_on(&newer(&part.bytes));
    assert_eq!((left_out, next.connections.open_count(), next.connections.introducing.len()), (0, 2, 1));
    assert_eq!(next.count("buffered_bytes"), first.count("buffered_bytes"));
    let lacking = older(&part.bytes);
    assert!(lacking.len() > 20, "{}", lacking.len());
    for bytes in lacking {
        let (mut next, left_out) = go_on(&bytes);
        let most = if Reader::new(&bytes).get(2).is_some() { 1 } else { 2 };
        assert!(left_out <= most, "{left_out}: {bytes:?}");
        next.turn(Duration::ZERO);
    }
}
