//! Connections of proxies that say who is behind them.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};

use base::{Duration, Network};
use sip::Transport;

use super::bench::Bench;
use super::message;
use crate::connections::Limits;

const HEADER: &str = "PROXY TCP4 192.0.2.1 192.0.2.2 40000 5060\r\n";

fn trusting(network: &str) -> Bench {
    let mut bench = Bench::new();
    bench.connections.trust_proxies(vec![vec![Network::parse(network).unwrap()]]);
    bench
}

/// A connection that is closed while it has unread bytes is reset.
fn is_closed(client: &mut TcpStream) -> bool {
    match client.read(&mut [0]) {
        Ok(length) => length == 0,
        Err(error) => error.kind() == ErrorKind::ConnectionReset,
    }
}

#[test]
fn the_client_is_whom_the_header_names_wherever_the_header_is_split() {
    let client: SocketAddr = "192.0.2.1:40000".parse().unwrap();
    let whole = HEADER.to_owned() + &message(3);
    for split in 1..whole.len() {
        let mut bench = trusting("127.0.0.0/8");
        let mut proxy = bench.client();
        proxy.set_nodelay(true).unwrap();
        proxy.write_all(&whole.as_bytes()[..split]).unwrap();
        bench.turn(Duration::from_millis(2));
        proxy.write_all(&whole.as_bytes()[split..]).unwrap();
        bench.until("a message arrives", |bench| !bench.messages.is_empty());
        assert_eq!((&bench.messages[0].0, bench.messages[0].1.remote), (&message(3), client), "{split}");
    }
}

#[test]
fn a_proxy_that_speaks_for_itself_is_the_client() {
    let mut bench = trusting("127.0.0.0/8");
    let mut proxy = bench.client();
    let local = b"\r\n\r\n\0\r\nQUIT\n\x20\0\0\0";
    proxy.write_all(&[&local[..], message(1).as_bytes()].concat()).unwrap();
    bench.until("a message arrives", |bench| !bench.messages.is_empty());
    assert_eq!(bench.messages[0].1.remote, proxy.local_addr().unwrap());
}

#[test]
fn whoever_is_no_proxy_sends_no_header_and_is_believed_none() {
    let mut bench = trusting("10.0.0.0/8");
    let mut client = bench.client();
    client.write_all(message(1).as_bytes()).unwrap();
    bench.until("a message arrives", |bench| !bench.messages.is_empty());
    assert_eq!(bench.messages[0].1.remote, client.local_addr().unwrap());
    client.write_all(HEADER.as_bytes()).unwrap();
    client.write_all(message(2).as_bytes()).unwrap();
    bench.until("a broken frame, or more bytes", |bench| bench.count("stream_bytes_in") > 100);
    assert!(bench.messages.iter().all(|(_, flow)| flow.remote == client.local_addr().unwrap()));
}

#[test]
fn a_proxy_without_a_good_header_is_closed_and_a_silent_one_in_time() {
    let mut bench = trusting("127.0.0.1");
    let (mut wrong, mut silent, mut gone) = (bench.client(), bench.client(), bench.client());
    wrong.write_all(message(1).as_bytes()).unwrap();
    silent.write_all(b"PROXY ").unwrap();
    bench.until("one is closed", |bench| bench.count("introductions_failed") == 1);
    assert!(is_closed(&mut wrong));
    gone.shutdown(std::net::Shutdown::Both).unwrap();
    assert_eq!(gone.read(&mut [0]).unwrap(), 0);
    bench.turn(Duration::from_millis(20));
    bench.pass(Limits::default().handshake_time);
    bench.until("one was slow", |bench| bench.count("introductions_slow") == 1);
    assert!(is_closed(&mut silent));
    assert_eq!((bench.messages.len(), bench.count("connections_accepted")), (0, 0));
}

#[test]
fn no_more_wait_for_their_header_than_handshakes_may_be_in_progress() {
    let mut bench = Bench::with(Limits { handshakes: 2, ..Limits::default() });
    bench.connections.trust_proxies(vec![vec![Network::parse("127.0.0.1").unwrap()]]);
    let mut proxies: Vec<TcpStream> = (0..3).map(|_| bench.client()).collect();
    bench.until("one is refused", |bench| bench.count("connections_refused_handshakes_full") == 1);
    for proxy in &mut proxies {
        let _ = proxy.write_all((HEADER.to_owned() + &message(1)).as_bytes());
    }
    bench.until("two are heard", |bench| bench.messages.len() == 2);
    let mut late = bench.client();
    late.write_all((HEADER.to_owned() + &message(1)).as_bytes()).unwrap();
    bench.until("their places are free", |bench| bench.messages.len() == 3);
}

#[test]
fn another_process_knows_the_clients_and_hears_the_rest_of_a_header() {
    let client: SocketAddr = "192.0.2.1:40000".parse().unwrap();
    let mut first = trusting("127.0.0.1");
    let (mut known, mut half, mut silent) = (first.client(), first.client(), first.client());
    known.write_all((HEADER.to_owned() + &message(1)).as_bytes()).unwrap();
    half.write_all(&HEADER.as_bytes()[..20]).unwrap();
    first.until("one is known", |bench| bench.messages.len() == 1);
    // All are accepted before anything of them is read.
    first.turn(Duration::from_millis(20));
    let (mut next, _) = first.handed_over(&[Transport::Tcp]);
    // Whom the next one trusts is the matter of connections that it accepts itself.
    half.write_all(&HEADER.as_bytes()[20..]).unwrap();
    half.write_all(message(2).as_bytes()).unwrap();
    next.until("the rest of a header", |bench| bench.messages.len() == 1);
    known.write_all(message(3).as_bytes()).unwrap();
    next.until("more of the known one", |bench| bench.messages.len() == 2);
    assert!(next.messages.iter().all(|(_, flow)| flow.remote == client), "{:?}", next.messages);
    assert_eq!(next.count("connections_accepted"), 1, "the one that had not said who it is");
    next.pass(Limits::default().handshake_time);
    next.until("the silent one was slow", |bench| bench.count("introductions_slow") == 1);
    assert!(is_closed(&mut silent));
}
