//! Peers that have ended their sending and still listen (RFC 3261 §18.2.2).

use std::io::{Read as _, Write as _};
use std::net::{Shutdown, TcpStream};

use base::Duration;

use super::bench::Bench;
use super::{back, message, read_exactly};
use crate::connections::Limits;

const FINAL: &str = "SIP/2.0 200 OK\r\nContent-Length: 0\r\n\r\n";
const PROVISIONAL: &str = "SIP/2.0 180 Ringing\r\nContent-Length: 0\r\n\r\n";

/// A client that has sent this and then its end.
fn half_closed(bench: &mut Bench, text: &str, messages: usize) -> TcpStream {
    let mut client = bench.client();
    client.write_all(text.as_bytes()).unwrap();
    client.shutdown(Shutdown::Write).unwrap();
    bench.until("its messages", |bench| bench.messages.len() == messages);
    for _ in 0..5 {
        bench.turn(Duration::from_millis(1));
    }
    client
}

#[test]
fn who_writes_no_more_gets_all_answers_and_then_the_end() {
    let mut bench = Bench::new();
    let mut client = half_closed(&mut bench, &[message(0), message(1)].concat(), 2);
    bench.pass(Duration::from_secs(60));
    assert_eq!((bench.connections.open_count(), bench.count("connections_half_closed")), (1, 1));
    let to = back(bench.messages[0].1, false);
    for answer in [PROVISIONAL, FINAL] {
        bench.send(answer, to);
        bench.pass(Duration::from_secs(1));
        assert_eq!(bench.connections.open_count(), 1, "one answer is to come");
    }
    bench.send(FINAL, to);
    read_exactly(&mut client, &[PROVISIONAL, FINAL, FINAL].concat());
    bench.pass(Duration::ZERO);
    assert_eq!(client.read(&mut [0]).unwrap(), 0);
    assert_eq!((bench.connections.open_count(), bench.count("connections_closed_by_peer")), (0, 1));
    assert_eq!(bench.count("connections_half_closed"), 1);
}

#[test]
fn a_large_answer_is_written_to_its_end() {
    let mut bench = Bench::with(Limits { queue_bytes: 8 << 20, ..Limits::default() });
    let mut client = half_closed(&mut bench, &message(0), 1);
    let answer = format!("{FINAL}{}", "x".repeat(7_000_000));
    bench.send(&answer, back(bench.messages[0].1, false));
    let reader = std::thread::spawn(move || {
        let mut all = String::new();
        client.read_to_string(&mut all).map(|_| all)
    });
    bench.until("it is written", |bench| bench.count("messages_out") == 1);
    bench.pass(Duration::ZERO);
    assert!(reader.join().unwrap().unwrap() == answer);
}

#[test]
fn nobody_is_waited_for_in_vain() {
    let mut bench = Bench::new();
    let ack = message(0).replace("MESSAGE", "ACK");
    let answered = message(1);
    let mut none_owed = half_closed(&mut bench, &[ack.as_str(), FINAL, "MESSAGE sip:half"].concat(), 2);
    assert_eq!(none_owed.read(&mut [0]).unwrap(), 0);
    let _never_answered = half_closed(&mut bench, &answered, 3);
    bench.pass(Limits::default().half_closed_time - Duration::from_secs(3));
    assert_eq!(bench.connections.open_count(), 1);
    bench.pass(Duration::from_secs(3));
    assert_eq!(bench.connections.open_count(), 0);
}

#[test]
fn who_has_closed_both_ways_is_found_out_by_the_first_answer() {
    let mut bench = Bench::new();
    drop(half_closed(&mut bench, &[message(0), message(1)].concat(), 2));
    let to = back(bench.messages[0].1, false);
    bench.send(FINAL, to);
    bench.until("it is gone", |bench| bench.connections.open_count() == 0);
    bench.send(FINAL, to);
    bench.turn(Duration::ZERO);
    assert_eq!(bench.failed, [to]);
}
